// Package queue is the way from the trigger to a dispatcher: at least once, in no order, after a
// delay of up to 15 minutes.
//
// A message is a hint that a run is due; the run in the store is the truth. Losing one delays a run
// until the sweeper sends another; a duplicate is dropped by the claim.
package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/trace"
)

// Version is the version of Message that this code writes. It reads 1 to Version.
const Version = 1

// Kinds of message.
const (
	// KindRun asks for the delivery of a run.
	KindRun = "run"
	// KindDelete asks for the next slice of a migration of the catalog: PK is its id, Generation the
	// number of the slice.
	KindDelete = "delete"
	// KindLookup asks how the work of a delivered run goes on.
	KindLookup = "lookup"
)

const (
	// MaxDelay is the longest delay of a message (SQS, SendMessage, DelaySeconds: 900 s).
	MaxDelay = 15 * time.Minute
	// MaxInline is the largest message text in bytes that carries its invocation; with a larger one
	// the dispatcher reads the stored invocation.
	MaxInline = 200 << 10
)

// Message asks a dispatcher to deal with one run.
type Message struct {
	V int `json:"v"`
	// PK is the run's id, or the migration's.
	PK         string `json:"pk"`
	Generation int    `json:"generation"`
	Kind       string `json:"kind"`
	// Invocation spares the dispatcher a read; absent where it is too large or holds a secret.
	Invocation *invocation.Invocation `json:"invocation,omitempty"`
}

// Encode writes a message. An invocation that would make the text longer than MaxInline is left out.
func Encode(m Message) ([]byte, error) {
	m.V = Version
	text, err := encode(m)
	if err == nil && len(text) > MaxInline {
		m.Invocation = nil
		text, err = encode(m)
	}
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return text, nil
}

// encode leaves the invocation's payload as it is: json.Marshal would escape <, > and & in it, which
// backends send and sign to the byte.
func encode(m Message) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(m)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// Decode reads a message. It fails on a version that this code does not know.
func Decode(text []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(text, &m); err != nil {
		return Message{}, fmt.Errorf("decode message: %w", err)
	}
	if m.V < 1 || m.V > Version {
		return Message{}, fmt.Errorf("decode message: version %d, this code reads 1 to %d", m.V, Version)
	}
	if m.PK == "" || m.Kind == "" {
		return Message{}, fmt.Errorf("decode message: no pk or kind")
	}
	return m, nil
}

// Sender puts messages on the queue of a backend.
type Sender interface {
	// Send returns once the message is kept. A delay is rounded up to whole seconds and is at most
	// MaxDelay. Group is the fair queue's group, empty for none; a queue may ignore it. The trace that
	// the context is at, if any, goes with the message.
	// Errors: fault.Unavailable when the queue refuses or cannot be reached.
	Send(ctx context.Context, backend string, m Message, delay time.Duration, group string) error
}

// Received is a message in the hands of a receiver until its visibility time-out.
type Received struct {
	ID string
	// Receipt stands for this receive; Ack takes it.
	Receipt string
	// Body is the text as Encode wrote it; nothing has looked at it.
	Body string
	// Count says how often the message was received, this time included.
	Count int
	// Traceparent and Tracestate are those of the context that it was sent in, empty for none.
	Traceparent, Tracestate string
	// Sent is when the message came to the queue, on SQLite when it was due; zero if nobody knows.
	Sent time.Time
}

// Trace returns the trace that the message belongs to, false for none.
func (r *Received) Trace() (trace.Context, bool) { return trace.Parse(r.Traceparent, r.Tracestate) }

// Queue is a sender whose messages can be taken off again. On Lambda the platform receives and
// acknowledges; the local process uses this.
type Queue interface {
	Sender
	// Receive returns up to limit messages of one backend as soon as there is one, none after wait.
	// Each is invisible to others for the queue's visibility time-out. A message that was received
	// MaxReceive times goes to the dead-letter queue instead.
	Receive(ctx context.Context, backend string, limit int, wait time.Duration) ([]Received, error)
	// Ack removes messages for good. A receipt that is no longer valid is no error.
	Ack(ctx context.Context, backend string, receipts ...string) error
}

const (
	// Visibility is how long a received message is hidden: six times the dispatcher's own time-out.
	Visibility = 360 * time.Second
	// MaxReceive is how often a message is received before it goes to the dead-letter queue.
	MaxReceive = 5
	// DeadLetter is the name under which Receive and Ack reach the dead-letter queue of all backends.
	DeadLetter = "deadletter"
)
