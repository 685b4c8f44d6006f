package automatefunction_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/boot/automatefunction"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

// sender keeps what was parked.
type sender struct {
	bodies []string
	err    error
}

func (s *sender) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if s.err != nil {
		return nil, s.err
	}
	if *in.QueueUrl != "https://sqs/parked" {
		return nil, errors.New("another queue")
	}
	s.bodies = append(s.bodies, *in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

// function returns the function's answer to an event, and what became of its records.
func function(t *testing.T, s *sender, queue string, h feed.HandlerFunc, event []byte) (answer string, counts map[string]int) {
	t.Helper()
	counts = map[string]int{}
	c := automatefunction.Config{
		Decoder: &dynamofeed.Decoder{Actions: dynamocatalog.NewActions(nil, ""), Catalog: dynamocatalog.NewCatalog(nil, "", time.Now)},
		Handler: h, Send: s, Log: slog.New(slog.DiscardHandler), Count: func(event string) { counts[event]++ },
	}
	c.ParkedQueue = queue
	got, err := automatefunction.Handler(c)(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), counts
}

func entityEvent(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../events/automate-entity.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestChangesComeInOrder(t *testing.T) {
	t.Parallel()
	var got []string
	answer, counts := function(t, &sender{}, "", func(_ context.Context, c *feed.Change) error {
		switch {
		case c.Entity.Before == nil:
			got = append(got, "created by "+c.Entity.By.ID)
		case c.Entity.After == nil:
			got = append(got, "deleted by "+c.Entity.By.ID)
		default:
			got = append(got, "changed by "+c.Entity.By.ID)
		}
		return nil
	}, entityEvent(t))
	if diff := cmp.Diff([]string{"created by client_1", "changed by client_1", "deleted by client_2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if answer != `{"batchItemFailures":[]}` || counts["handled"] != 3 {
		t.Errorf("got answer %s and counts %v", answer, counts)
	}
}

func TestRefusedChangeComesAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	answer, _ := function(t, &sender{}, "https://sqs/parked", func(context.Context, *feed.Change) error {
		if calls++; calls == 2 {
			return fault.Busy(nil, 0, "not now")
		}
		return nil
	}, entityEvent(t))
	if want := `{"batchItemFailures":[{"itemIdentifier":"111000000000000000000000002"}]}`; answer != want || calls != 2 {
		t.Errorf("got answer %s after %d calls, want %s after 2", answer, calls, want)
	}
}

func TestPoisonRecordIsParkedWhole(t *testing.T) {
	t.Parallel()
	s := &sender{}
	answer, counts := function(t, s, "https://sqs/parked", func(_ context.Context, c *feed.Change) error {
		if c.Entity.Before == nil {
			panic("a fault of the handler")
		}
		return nil
	}, entityEvent(t))
	if answer != `{"batchItemFailures":[]}` || counts["parked"] != 1 || len(s.bodies) != 1 {
		t.Fatalf("got answer %s, counts %v and %d messages; want the others handled and one parked", answer, counts, len(s.bodies))
	}
	var parked struct {
		Reason string
		Record struct {
			EventName string
			DynamoDB  struct{ NewImage map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(s.bodies[0]), &parked); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(parked.Reason, "a fault of the handler") || parked.Record.EventName != "INSERT" || len(parked.Record.DynamoDB.NewImage) < 10 {
		t.Errorf("parked %s, want the reason and the whole record", s.bodies[0])
	}
}

func TestRecordThatCannotBeParkedComesAgain(t *testing.T) {
	t.Parallel()
	fail := func(context.Context, *feed.Change) error { return errors.New("bad") }
	for name, c := range map[string]struct {
		s     *sender
		queue string
	}{
		"the queue refuses": {&sender{err: errors.New("down")}, "https://sqs/parked"},
		"there is no queue": {&sender{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, counts := function(t, c.s, c.queue, fail, entityEvent(t))
			if !strings.Contains(answer, `"111000000000000000000000001"`) || counts["again"] != 1 {
				t.Errorf("got answer %s and counts %v, want the first record again", answer, counts)
			}
		})
	}
}

// SQS takes no message as large as two images may be.
func TestParkedRecordFitsAMessage(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 200<<10)
	image := func(rev string) string {
		return `{"pk":{"S":"entity#bp_1#0"},"sk":{"S":"a"},"id":{"S":"e"},"rev":{"N":"` + rev + `"},"content":{"S":"` + large + `"}}`
	}
	event := `{"Records":[{"eventSource":"aws:dynamodb","eventName":"MODIFY","dynamodb":{"SequenceNumber":"1","Keys":{"pk":{"S":"entity#bp_1#0"}},"OldImage":` +
		image("1") + `,"NewImage":` + image("2") + `}}]}`
	s := &sender{}
	function(t, s, "https://sqs/parked", func(context.Context, *feed.Change) error { return errors.New("bad") }, []byte(event))
	if len(s.bodies) != 1 || len(s.bodies[0]) > 256<<10 {
		t.Fatalf("%d messages are parked, want one that fits", len(s.bodies))
	}
	for _, want := range []string{`"left":["OldImage"]`, `"rev":{"N":"2"}`, `"Keys"`} {
		if !strings.Contains(s.bodies[0], want) {
			t.Errorf("the parked record has no %s", want)
		}
	}
}
