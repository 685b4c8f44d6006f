package awsevent_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/awsevent"
)

func streamOf(records ...string) json.RawMessage {
	return json.RawMessage(`{"Records":[` + strings.Join(records, ",") + `]}`)
}

func TestStreamHandsOverBothImages(t *testing.T) {
	t.Parallel()
	record := `{"eventSource":"aws:dynamodb","eventName":"MODIFY","dynamodb":{"SequenceNumber":"11","Keys":{"pk":{"S":"a"}},
		"OldImage":{"pk":{"S":"a"},"n":{"N":"1.50"},"b":{"B":"AAE="},"yes":{"BOOL":true},"no":{"NULL":true}},
		"NewImage":{"m":{"M":{"x":{"S":""}}},"l":{"L":[{"N":"1"},{"S":"b"}]},"ss":{"SS":["a"]},"ns":{"NS":["1"]},"bs":{"BS":["AAE="]}}}}`
	removed := `{"eventSource":"aws:dynamodb","eventName":"REMOVE","dynamodb":{"SequenceNumber":"12","OldImage":{"pk":{"S":"a"}}}}`
	want := []awsevent.Record{{
		Sequence: "11", Text: json.RawMessage(record),
		Old: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "a"}, "n": &types.AttributeValueMemberN{Value: "1.50"},
			"b": &types.AttributeValueMemberB{Value: []byte{0, 1}}, "yes": &types.AttributeValueMemberBOOL{Value: true},
			"no": &types.AttributeValueMemberNULL{Value: true},
		},
		New: map[string]types.AttributeValue{
			"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"x": &types.AttributeValueMemberS{}}},
			"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{
				&types.AttributeValueMemberN{Value: "1"}, &types.AttributeValueMemberS{Value: "b"},
			}},
			"ss": &types.AttributeValueMemberSS{Value: []string{"a"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1"}},
			"bs": &types.AttributeValueMemberBS{Value: [][]byte{{0, 1}}},
		},
	}, {
		Sequence: "12", Text: json.RawMessage(removed), Old: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"}},
	}}
	var got []awsevent.Record
	h := awsevent.Stream(func(_ context.Context, records []awsevent.Record) int { got = records; return -1 })
	answer, err := h(t.Context(), streamOf(record, removed))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(
		types.AttributeValueMemberS{}, types.AttributeValueMemberN{}, types.AttributeValueMemberB{}, types.AttributeValueMemberBOOL{},
		types.AttributeValueMemberNULL{}, types.AttributeValueMemberM{}, types.AttributeValueMemberL{}, types.AttributeValueMemberSS{},
		types.AttributeValueMemberNS{}, types.AttributeValueMemberBS{},
	)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if text, _ := json.Marshal(answer); string(text) != `{"batchItemFailures":[]}` {
		t.Errorf("got answer %s, want an empty list", text)
	}
}

func TestStreamGoesOnFromTheFirstThatFailed(t *testing.T) {
	t.Parallel()
	h := awsevent.Stream(func(context.Context, []awsevent.Record) int { return 1 })
	record := func(number string) string {
		return `{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"` + number + `"}}`
	}
	answer, err := h(t.Context(), streamOf(record("11"), record("12"), record("13")))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(answer); string(text) != `{"batchItemFailures":[{"itemIdentifier":"12"}]}` {
		t.Errorf("got answer %s, want the second record's number", text)
	}
}

func TestStreamTellsOfARecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	var got []awsevent.Record
	h := awsevent.Stream(func(_ context.Context, records []awsevent.Record) int { got = records; return -1 })
	if _, err := h(t.Context(), streamOf(
		`{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"11","NewImage":{"pk":{"X":"a"}}}}`,
		`{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"12","NewImage":{"pk":{"S":"a"}}}}`,
	)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Err == nil || got[0].Sequence != "11" || got[1].Err != nil || got[1].New == nil {
		t.Errorf("got %+v, want a fault in the first and the second whole", got)
	}
}

func TestStreamRefusesOtherEvents(t *testing.T) {
	t.Parallel()
	h := awsevent.Stream(func(context.Context, []awsevent.Record) int {
		t.Error("the handler was called")
		return -1
	})
	for _, event := range []string{`{"Records":[{"eventSource":"aws:sqs","messageId":"1"}]}`, `{"Records":[1]}`, `[]`} {
		if _, err := h(t.Context(), json.RawMessage(event)); err == nil {
			t.Errorf("%s was taken for records of a stream", event)
		}
	}
}
