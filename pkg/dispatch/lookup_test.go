package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	sealing "longshore/pkg/secret"
)

// lookuper is a backend that can be looked up.
type lookuper struct {
	*bench
	asked  []backend.LookUp
	answer func(context.Context, backend.LookUp) run.Finding
}

func (l *lookuper) LookUp(ctx context.Context, q backend.LookUp) run.Finding {
	l.asked = append(l.asked, q)
	return l.answer(ctx, q)
}

func newLookuper(t *testing.T, f run.Finding, edits ...func(*run.Run, *run.Body)) (*lookuper, *run.Run) {
	t.Helper()
	b := newBench(t)
	b.config.Sealer = sealing.NewSealer(ring(t, "one", 1))
	l := &lookuper{bench: b, answer: func(context.Context, backend.LookUp) run.Finding { return f }}
	b.config.Backend = l
	b.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 200, ExternalRunID: "7", Link: json.RawMessage(`"https://x"`), Watch: true})
	r := b.record(t, edits...)
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{bare(r)}); again != nil {
		t.Fatal("not delivered")
	}
	b.events = nil
	b.pass(2 * time.Minute)
	return l, r
}

func (l *lookuper) look(t *testing.T, r *run.Run, edits ...func(*queue.Message)) []string {
	t.Helper()
	m := queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindLookup}
	for _, edit := range edits {
		edit(&m)
	}
	return dispatch.New(l.config).Handle(t.Context(), []queue.Received{received("m2", m)})
}

func TestDeliveredRunIsWatched(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Finding{})
	got := l.get(t, r.ID)
	if got.ExternalRunID != "7" || string(got.Link) != `"https://x"` || !got.Watched() || !got.Due.Equal(start.Add(2*time.Minute)) {
		t.Errorf("run has %q, %s, due %s, watched: %t", got.ExternalRunID, got.Link, got.Due, got.Watched())
	}
}

func TestLookUpEndsTheRun(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Conclusion("failure"))
	for range 2 {
		if again := l.look(t, r); again != nil {
			t.Errorf("%v come again", again)
		}
	}
	got := l.get(t, r.ID)
	if got.Status != run.Failure || got.StatusLabel != "failure" {
		t.Errorf("run is %s %q, want FAILURE failure", got.Status, got.StatusLabel)
	}
	if diff := cmp.Diff([]string{"The workflow run ended: failure."}, l.lines(t, r.ID)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if n := len(l.asked); n != 1 || l.asked[0].ExternalRunID != "7" || l.asked[0].RunID != r.ID || !l.asked[0].Since.Equal(start) || l.asked[0].Invocation == nil {
		t.Errorf("asked for %+v, want one look-up of 7 since the attempt", l.asked)
	}
	l.wantEvents(t, dispatch.LookedUp, dispatch.Dropped)
	if n := len(l.calls); n != 1 {
		t.Errorf("%d calls, want the delivery alone", n)
	}
}

func TestLookUpThatFindsNothing(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Finding{Waiting: "GitHub is down"})
	if again := l.look(t, r); again != nil {
		t.Errorf("%v come again", again)
	}
	if got := l.get(t, r.ID); got.Status != run.InProgress || got.Delivery.Waiting != "GitHub is down" {
		t.Errorf("run is %s, waiting %q", got.Status, got.Delivery.Waiting)
	}
	rev := l.get(t, r.ID).Rev
	l.look(t, r)
	if got := l.get(t, r.ID); got.Rev != rev {
		t.Error("a look-up that changed nothing wrote the run")
	}
}

// A look-up asks with what was sealed, and what is found is masked before it is kept.
func TestLookUpOfARunWithSecrets(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]run.Finding{
		"nothing": {Waiting: "no work at " + secret},
		"work":    {ExternalRunID: "7", Link: json.RawMessage(`"https://x/` + secret + `"`)},
		"an end":  {Status: run.Failure, StatusLabel: secret, Line: "it ended: " + secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := newLookuper(t, f, withSecret(t))
			if again := l.look(t, r); again != nil || len(l.asked) != 1 || *l.asked[0].Invocation.Webhook.Body != secret {
				t.Fatalf("%v come again, asked for %+v, want once with the secret in it", again, l.asked)
			}
			got := l.read(t, r.ID)
			kept := fmt.Sprintf("%+v %s %+v %s", *got.Run, got.Link, got.Attempts, l.lines(t, r.ID))
			if strings.Contains(kept, secret) {
				t.Errorf("what is kept holds the secret: %s", kept)
			}
		})
	}
}

// A run whose sealed invocation cannot be opened now is looked up later.
func TestLookUpOfARunThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Conclusion("success"), withSecret(t))
	l.config.Sealer = sealing.NewSealer(ring(t, "two", 2))
	if again := l.look(t, r); len(again) != 1 || len(l.asked) != 0 {
		t.Errorf("%v come again, asked %d times, want the message and no question", again, len(l.asked))
	}
	l.wantEvents(t, dispatch.Broken)
}

func TestLookUpDropped(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*queue.Message){
		"of an older generation": func(m *queue.Message) { m.Generation = 0 },
		"of a run that is gone":  func(m *queue.Message) { m.PK = run.NewID(start.Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := newLookuper(t, run.Conclusion("success"))
			if again := l.look(t, r, edit); again != nil || len(l.asked) > 0 {
				t.Errorf("%v come again, asked %d times", again, len(l.asked))
			}
			l.wantEvents(t, dispatch.Dropped)
		})
	}
}

func TestLookUpWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Conclusion("success"))
	l.config.Runs = failing{fault.Busy(errors.New("x"), 0, "the store is busy")}
	if again := l.look(t, r); len(again) != 1 {
		t.Errorf("%v come again, want the message", again)
	}
	l.wantEvents(t, dispatch.Broken)
}

func TestLookUpOfABackendWithout(t *testing.T) {
	t.Parallel()
	l, r := newLookuper(t, run.Finding{})
	l.config.Backend = l.bench
	if again := l.look(t, r); len(again) != 1 {
		t.Errorf("%v come again, want the message", again)
	}
	l.wantEvents(t, dispatch.Undecodable)
}

// failing is a store that answers nothing.
type failing struct{ err error }

func (f failing) Update(context.Context, string, func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	return nil, f.err
}
func (f failing) Read(context.Context, string) (*run.Record, error) { return nil, f.err }
func (f failing) Sealed(context.Context, string) ([]byte, error)    { return nil, f.err }

func TestUncertainAttemptIsToldToTheNext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 502, Error: "bad gateway", Unknown: true})
	r := b.record(t)
	d := dispatch.New(b.config)
	d.Handle(t.Context(), []queue.Received{message(r)})
	b.pass(time.Minute)
	d.Handle(t.Context(), []queue.Received{message(r)})
	if len(b.calls) != 2 || !b.calls[0].Uncertain.IsZero() || !b.calls[1].Uncertain.Equal(start) {
		t.Errorf("calls %+v, want the second to know of the first", b.calls)
	}
	// So does the call of a redelivery.
	b.answers(backend.Outcome{Verdict: run.Fail, StatusCode: 422})
	b.pass(time.Minute)
	d.Handle(t.Context(), []queue.Received{message(r)})
	reopened, err := b.store.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
		_, err := r.Redeliver(b.now.Add(time.Hour), "client")
		return &run.Write{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Handle(t.Context(), []queue.Received{message(reopened)})
	if last := b.calls[len(b.calls)-1]; len(b.calls) != 4 || last.Attempt != 1 || !last.Uncertain.Equal(start) || last.UncertainUntil.IsZero() {
		t.Errorf("calls %+v, want that of the redelivery to know of the first", b.calls)
	}
}
