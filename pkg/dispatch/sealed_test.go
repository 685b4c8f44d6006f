package dispatch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	sealing "longshore/pkg/secret"
)

func ring(t *testing.T, id string, fill byte) sealing.Ring {
	t.Helper()
	k, err := sealing.NewKey(id, bytes.Repeat([]byte{fill}, sealing.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return sealing.Ring{k}
}

// withSecret seals what is sent and leaves the body masked.
func withSecret(t *testing.T) func(*run.Run, *run.Body) {
	return func(r *run.Run, b *run.Body) {
		sealed, err := invocation.Seal(t.Context(), sealing.NewSealer(ring(t, "one", 1)), r.ID, call(), []string{secret})
		if err != nil {
			t.Fatal(err)
		}
		body := sealing.Hidden
		b.Secrets, b.Sealed = true, sealed
		b.Invocation = &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: "webhook",
			Webhook: &invocation.Webhook{URL: "https://example.com/?" + body, Method: "POST", Body: &body},
		}
	}
}

func bare(r *run.Run) queue.Received {
	return received("m1", queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindRun})
}

// What is sent is what was sealed; whatever the target says of it is masked before it is kept.
func TestSecretsOfARunAreSentAndMasked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]backend.Outcome{
		"delivered": {Verdict: run.Deliver, StatusCode: 202},
		"succeeded": {Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`{"echo":"` + secret + `","n":1}`), StatusLabel: "got " + secret,
			Link: json.RawMessage(`"https://example.com/` + secret + `"`), ExternalRunID: secret},
		"failed": {Verdict: run.Fail, StatusCode: 400, Error: "the target " + secret + " refused", StatusLabel: secret,
			Faults:   []string{"a: is " + secret, "b: is required"},
			Response: json.RawMessage(`["` + secret + `"]`)},
		"retried": {Verdict: run.Retry, StatusCode: 503, Error: "no answer from " + secret, Cause: "write " + secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.config.Sealer = sealing.NewSealer(ring(t, "one", 1))
			r := b.record(t, withSecret(t))
			b.answers(o)
			if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{bare(r)}); len(again) > 0 {
				t.Fatalf("the message comes again: %s", b.logs.String())
			}
			if len(b.calls) != 1 || *b.calls[0].Invocation.Webhook.Body != secret {
				t.Fatalf("%d calls, want one with the secret in it", len(b.calls))
			}
			got := b.read(t, r.ID)
			kept := fmt.Sprintf("%+v %+v %s %s %s", *got.Run, got.Attempts, got.Response, got.Link, b.lines(t, r.ID))
			if strings.Contains(kept, secret) {
				t.Errorf("what is kept holds the secret: %s", kept)
			}
			if o.Response != nil && !strings.Contains(string(got.Response), sealing.Hidden) {
				t.Errorf("response %s, want it masked", got.Response)
			}
			if o.Cause != "" && !strings.Contains(b.logs.String(), "write "+sealing.Hidden) {
				t.Errorf("the log does not have the cause: %s", b.logs.String())
			}
			for _, e := range b.sent {
				if e.Message.Invocation != nil || strings.Contains(e.Group, secret) {
					t.Errorf("a message holds what is sent: %+v", e)
				}
			}
		})
	}
}

// A run whose sealed invocation cannot be opened now is not called, and no attempt is counted.
func TestSealedThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	down := fault.Busy(errors.New("throttled"), 0, "the store is busy")
	for name, test := range map[string]struct {
		sealer *sealing.Sealer
		fail   func(method, id string) error
		log    string
	}{
		"no sealer":   {nil, nil, "sealing key"},
		"no key":      {sealing.NewSealer(nil), nil, "sealing key"},
		"another key": {sealing.NewSealer(ring(t, "one", 2)), nil, "cannot be opened"},
		"key is gone": {sealing.NewSealer(ring(t, "two", 2)), nil, "sealing key"},
		"store fails": {sealing.NewSealer(ring(t, "one", 1)), func(method, _ string) error {
			if method == "Sealed" {
				return down
			}
			return nil
		}, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.config.Sealer = test.sealer
			r := b.record(t, withSecret(t))
			b.store.Fail = test.fail
			again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{bare(r)})
			if len(again) != 1 || len(b.calls) != 0 || len(b.get(t, r.ID).Attempts) != 0 {
				t.Errorf("comes again %v, %d calls, attempts %v; want it again without either", again, len(b.calls), b.get(t, r.ID).Attempts)
			}
			if got := b.get(t, r.ID).Delivery.Waiting; !strings.Contains(got, "cannot be opened") {
				t.Errorf("the run does not say why it waits: %q", got)
			}
			if !strings.Contains(b.logs.String(), "open the sealed invocation") || !strings.Contains(b.logs.String(), test.log) {
				t.Errorf("the log does not say why: %s", b.logs.String())
			}
			b.wantEvents(t, dispatch.Broken)
		})
	}
}

// Without what was sealed nothing is sent: never the masked text in its place.
func TestSealedThatIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Sealer = sealing.NewSealer(ring(t, "one", 1))
	r := b.record(t, withSecret(t), func(_ *run.Run, b *run.Body) { b.Sealed = nil })
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{bare(r)}); len(again) > 0 {
		t.Fatal("the message comes again")
	}
	if got := b.get(t, r.ID); len(b.calls) != 0 || got.Status != run.Failure {
		t.Errorf("%d calls, status %s, want none and FAILURE", len(b.calls), got.Status)
	}
}
