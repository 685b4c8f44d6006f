package queue_test

import (
	"encoding/json"
	"strings"
	"testing"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
)

// TestPayloadIsKeptToTheByte: what is signed and sent is what was rendered.
func TestPayloadIsKeptToTheByte(t *testing.T) {
	t.Parallel()
	const payload = `{"type":"KAFKA","payload":{"b":"<a> & \u2028ü","a":1.0}}`
	text, err := queue.Encode(queue.Message{PK: "r_1", Generation: 1, Kind: queue.KindRun, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "KAFKA", Backend: invocation.BackendKafka, Payload: json.RawMessage(payload),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(string(text), "\n") {
		t.Error("the message ends with a line break")
	}
	m, err := queue.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Invocation.Payload); got != payload {
		t.Errorf("got %s, want %s", got, payload)
	}
}
