package kafka_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
)

// A changelog message goes to the topic of changes as it was made, to the byte, under the key of what changed.
func TestChange(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	org := organization(t)
	b := open(t, kafka.Config{Brokers: []string{broker.Plain}, OrgID: org})
	const value = `{"id":"event_1","action":"UPDATE","diff":{"before":{"z":"<ü>","a":1e-07},"after":{"z":"\u0001"}},"changelogDestination":{"type":"KAFKA"}}`
	call := backend.Call{RunID: "d_0123456789abcdef", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: invocation.TypeChange, Backend: invocation.BackendKafka, Key: "service/cart", Payload: []byte(value),
	}}
	if diff := cmp.Diff(delivered, b.Call(t.Context(), call)); diff != "" {
		t.Fatalf("outcome (-want +got):\n%s", diff)
	}
	r := records(t, broker.Plain, org+".change.log", 1)[0]
	if string(r.Key) != "service/cart" || string(r.Value) != value || len(r.Headers) != 0 {
		t.Errorf("got key %s, headers %v and value %s, want %s", r.Key, r.Headers, r.Value, value)
	}
	// The topic of runs has nothing of it: a run's record is the first there.
	if diff := cmp.Diff(delivered, b.Call(t.Context(), attempt(`{"payload":{}}`))); diff != "" {
		t.Fatalf("outcome (-want +got):\n%s", diff)
	}
	if r := records(t, broker.Plain, org+".runs", 1)[0]; string(r.Key) != runID {
		t.Errorf("the topic of runs has a record of %s", r.Key)
	}
}
