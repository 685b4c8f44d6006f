package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"longshore/pkg/backend"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/run"
)

// cluster is a fake one whose brokers answer each produce request with an error, until it is nil.
func cluster(t *testing.T, answer func() error) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(kmsg.Produce.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		failed := answer()
		if failed == nil {
			return nil, nil, false
		}
		var known *kerr.Error
		if !errors.As(failed, &known) {
			return nil, failed, true
		}
		asked := request.(*kmsg.ProduceRequest)
		response := asked.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range asked.Topics {
			answered := kmsg.NewProduceResponseTopic()
			answered.Topic, answered.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, known.Code
				answered.Partitions = append(answered.Partitions, p)
			}
			response.Topics = append(response.Topics, answered)
		}
		return response, nil, true
	})
	return c.ListenAddrs()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer error
		want   run.Verdict
		begins string
	}{
		"not allowed":           {kerr.TopicAuthorizationFailed, run.Fail, "Kafka answered TOPIC_AUTHORIZATION_FAILED: "},
		"a record that is none": {kerr.InvalidRecord, run.Fail, "Kafka answered INVALID_RECORD: "},
		"too few replicas":      {kerr.NotEnoughReplicas, run.Retry, "Kafka "},
		"another leader":        {kerr.NotLeaderForPartition, run.Retry, "Kafka "},
		"a disk that failed":    {kerr.KafkaStorageError, run.Retry, "Kafka "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := kafka.Config{Brokers: cluster(t, func() error { return test.answer }), OrgID: "o"}
			if test.want == run.Retry {
				// It is asked again and again until the call's time is over.
				c.CallTimeout = time.Second
			}
			b := open(t, c)
			got := b.Call(t.Context(), attempt(`{"payload":{}}`))
			if got.Verdict != test.want || !strings.HasPrefix(got.Error, test.begins) || got.StatusLabel != backend.DeliveryFailed {
				t.Errorf("got %+v, want verdict %v and an error that begins with %q", got, test.want, test.begins)
			}
		})
	}
}

// A connection that breaks in the middle of a call is made again within the call.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	broken := 0
	brokers := cluster(t, func() error {
		if broken++; broken <= 2 {
			return net.ErrClosed
		}
		return nil
	})
	got := open(t, kafka.Config{Brokers: brokers, OrgID: "o"}).Call(t.Context(), attempt(`{"payload":{}}`))
	if diff := cmp.Diff(delivered, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if broken < 3 {
		t.Errorf("%d requests were made", broken)
	}
}

// The token of IAM: what it is signed for, and that the secret key is not in it.
func TestIAM(t *testing.T) {
	t.Parallel()
	mechanism, err := kafka.Mechanism(kafka.Config{
		Brokers: []string{"b-1.shop.abc.c2.kafka.eu-west-1.amazonaws.com:9098"}, OrgID: "o", Mechanism: kafka.IAM,
		IAM: func(context.Context) (kafka.IAMCredentials, error) {
			return kafka.IAMCredentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "the-secret-key", SessionToken: "the-session"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := mechanism.Name(); got != "AWS_MSK_IAM" {
		t.Errorf("mechanism %s", got)
	}
	_, text, err := mechanism.Authenticate(t.Context(), "b-1.shop.abc.c2.kafka.eu-west-1.amazonaws.com:9098")
	if err != nil {
		t.Fatal(err)
	}
	var token map[string]string
	if err := json.Unmarshal(text, &token); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"version": "2020_10_22", "host": "b-1.shop.abc.c2.kafka.eu-west-1.amazonaws.com", "user-agent": "longshore",
		"action": "kafka-cluster:Connect", "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-security-token": "the-session",
		"x-amz-signedheaders": "host",
	} {
		if token[name] != want {
			t.Errorf("%s is %q, want %q", name, token[name], want)
		}
	}
	if !strings.HasPrefix(token["x-amz-credential"], "AKIDEXAMPLE/") || !strings.HasSuffix(token["x-amz-credential"], "/eu-west-1/kafka-cluster/aws4_request") {
		t.Errorf("credential %q", token["x-amz-credential"])
	}
	if strings.Contains(string(text), "the-secret-key") {
		t.Error("the token holds the secret key")
	}
}

// Topics are asked for once, also by a user that may not make them; and again when one turns out to be
// missing.
func TestTopicsAreMadeOnce(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "o.runs", "o.change.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var asked atomic.Int64
	var allowed atomic.Bool
	c.ControlKey(kmsg.CreateTopics.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked.Add(1)
		if allowed.Load() {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range request.(*kmsg.CreateTopicsRequest).Topics {
			answered := kmsg.NewCreateTopicsResponseTopic()
			answered.Topic, answered.ErrorCode = topic.Topic, kerr.TopicAuthorizationFailed.Code
			response.Topics = append(response.Topics, answered)
		}
		return response, nil, true
	})
	b := open(t, kafka.Config{Brokers: c.ListenAddrs(), OrgID: "o"})
	call := func(want run.Verdict) {
		t.Helper()
		if got := b.Call(t.Context(), attempt(`{"payload":{}}`)); got.Verdict != want {
			t.Fatalf("got %+v, want verdict %v", got, want)
		}
	}
	if err := b.MakeTopics(t.Context()); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("got %v, want that topics may not be made", err)
	}
	for range 3 {
		call(run.Deliver)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("topics were asked for %d times, want once", n)
	}
	if err := c.DeleteTopic("o.runs"); err != nil {
		t.Fatal(err)
	}
	allowed.Store(true)
	call(run.Retry)
	call(run.Deliver)
}

// A call that this process gives up says nothing about the brokers.
func TestCallThatIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	brokers := cluster(t, func() error {
		cancel()
		return kerr.NotEnoughReplicas
	})
	if got := open(t, kafka.Config{Brokers: brokers, OrgID: "o"}).Call(ctx, attempt(`{"payload":{}}`)); got.Verdict != run.Retry || got.NoAnswer {
		t.Errorf("got %+v, want another try and nothing about the host", got)
	}
}
