package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		outcome backend.Outcome
		event   dispatch.Event
		status  run.Status
		label   string
		lines   []string
		// sent is the delay of the next message, 0 when there is none.
		sent     time.Duration
		response bool
	}{
		{name: "delivered", outcome: backend.Outcome{Verdict: run.Deliver, StatusCode: 202}, event: dispatch.Delivered, status: run.InProgress},
		{
			name:    "synchronized success",
			outcome: backend.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`{"a":1}`), StatusLabel: "done"},
			event:   dispatch.Delivered, status: run.Success, label: "done", response: true,
		},
		{
			name: "refused", outcome: backend.Outcome{Verdict: run.Fail, StatusCode: 404, Error: "HTTP 404 from example.com"},
			event: dispatch.Failed, status: run.Failure, label: "delivery failed",
			lines: []string{"Delivery failed after 1 attempt: HTTP 404 from example.com"},
		},
		{
			name:    "synchronized failure",
			outcome: backend.Outcome{Verdict: run.Fail, StatusCode: 400, Response: json.RawMessage(`"no"`), StatusLabel: "HTTP 400"},
			event:   dispatch.Failed, status: run.Failure, label: "HTTP 400", response: true, lines: []string{"Delivery failed after 1 attempt: HTTP 400"},
		},
		{
			name: "refused without a reason", outcome: backend.Outcome{Verdict: run.Fail},
			event: dispatch.Failed, status: run.Failure, label: "delivery failed", lines: []string{"Delivery failed after 1 attempt: no reason was given"},
		},
		{
			name: "refused with a reason that is too long", outcome: backend.Outcome{Verdict: run.Fail, Error: strings.Repeat("é", 64<<10)},
			event: dispatch.Failed, status: run.Failure, label: "delivery failed",
			lines: []string{"Delivery failed after 1 attempt: " + strings.Repeat("é", (64<<10-33)/2)},
		},
		{name: "again in 5 s", outcome: backend.Outcome{Verdict: run.Retry, StatusCode: 503}, event: dispatch.Retried, status: run.InProgress, sent: 6 * time.Second},
		{name: "Retry-After", outcome: backend.Outcome{Verdict: run.Retry, StatusCode: 429, RetryAfter: 90500 * time.Millisecond}, event: dispatch.Retried, status: run.InProgress, sent: 92 * time.Second},
		{name: "Retry-After at the limit of the queue", outcome: backend.Outcome{Verdict: run.Retry, RetryAfter: 14 * time.Minute}, event: dispatch.Retried, status: run.InProgress, sent: 14*time.Minute + time.Second},
		{name: "Retry-After that the sweeper sends", outcome: backend.Outcome{Verdict: run.Retry, RetryAfter: 14*time.Minute + 1}, event: dispatch.Retried, status: run.InProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answer = func(context.Context, backend.Call) backend.Outcome {
				b.pass(1500 * time.Millisecond)
				return c.outcome
			}
			r := b.record(t)
			if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); again != nil {
				t.Errorf("messages come again: %q", again)
			}
			b.wantEvents(t, c.event)
			got := b.get(t, r.ID)
			if got.Status != c.status || got.StatusLabel != c.label || got.HasResponse != c.response {
				t.Errorf("run is %s %q, response %t; want %s %q, %t", got.Status, got.StatusLabel, got.HasResponse, c.status, c.label, c.response)
			}
			var response json.RawMessage
			if c.response {
				response = c.outcome.Response
			}
			if diff := cmp.Diff(response, b.read(t, r.ID).Response); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
			if a := got.Attempts[0]; a.DurationMs != 1500 || a.StatusCode != c.outcome.StatusCode {
				t.Errorf("attempt is %+v", a)
			}
			if diff := cmp.Diff(c.lines, b.lines(t, r.ID)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			var want []envelope
			if c.sent != 0 {
				want = []envelope{{"webhook", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun}, c.sent, exampleHost}}
			}
			if diff := cmp.Diff(want, b.sent); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			wantCall := []backend.Call{{RunID: r.ID, Action: "deploy", Attempt: 1, Invocation: call(), By: author(r)}}
			if diff := cmp.Diff(wantCall, b.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDelays follows a target that never answers, to the end: P4's distances, at the middle and at
// both ends of the jitter.
func TestDelays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		jitter float64
		want   []string
	}{
		{0.5, []string{"5s", "30s", "2m0s", "10m0s", "30m0s"}},
		{0, []string{"4s", "24s", "1m36s", "8m0s", "24m0s"}},
		{0.9999999, []string{"6s", "36s", "2m24s", "12m0s", "36m0s"}},
	} {
		t.Run(fmt.Sprint(c.jitter), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.config.Rand = func() float64 { return c.jitter }
			b.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503 from example.com"})
			d := dispatch.New(b.config)
			r := b.record(t)
			m := message(r)
			var delays []string
			for range run.MaxAttempts {
				if again := d.Handle(t.Context(), []queue.Received{m}); again != nil {
					t.Fatalf("messages come again: %q", again)
				}
				got := b.get(t, r.ID)
				if got.Status.Ended() {
					break
				}
				delays = append(delays, got.Delivery.NextTry.Sub(b.now).Round(time.Millisecond).String())
				b.now = got.Delivery.NextTry
			}
			if diff := cmp.Diff(c.want, delays); diff != "" {
				t.Errorf("delays (-want +got):\n%s", diff)
			}
			got := b.get(t, r.ID)
			if got.Status != run.Failure || got.Delivery.State != run.Undeliverable || len(got.Attempts) != run.MaxAttempts {
				t.Errorf("run is %s, delivery %s after %d attempts", got.Status, got.Delivery.State, len(got.Attempts))
			}
			want := []string{"Delivery failed after 6 attempts; the last: HTTP 503 from example.com"}
			if diff := cmp.Diff(want, b.lines(t, r.ID)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			// The fifth wait is the sweeper's.
			if len(b.sent) != 4 {
				t.Errorf("%d next tries were sent, want 4", len(b.sent))
			}
			for i, e := range b.sent {
				next, err := time.ParseDuration(c.want[i])
				if err != nil {
					t.Fatal(err)
				}
				if e.Delay != next+time.Second {
					t.Errorf("try %d is sent with a delay of %s, want %s", i+2, e.Delay, next+time.Second)
				}
			}
		})
	}
}

func TestRetryAfterIsOnceAndAtMostAnHour(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := dispatch.New(b.config)
	r := b.record(t)
	var delays []string
	for _, asked := range []time.Duration{3 * time.Second, 0, 5 * time.Hour, 0} {
		b.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 429, RetryAfter: asked})
		d.Handle(t.Context(), []queue.Received{message(r)})
		next := b.get(t, r.ID).Delivery.NextTry
		delays = append(delays, next.Sub(b.now).String())
		b.now = next
	}
	if diff := cmp.Diff([]string{"3s", "30s", "1h0m0s", "10m0s"}, delays); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
}

// A target that takes nothing for now is waited for, however often it says so: that is no attempt.
func TestLimitedRunWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := dispatch.New(b.config)
	r := b.record(t)
	const reason = "a rate limit is reached"
	b.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 403, Error: reason, RetryAfter: time.Minute, Limited: true})
	for range 2 * run.MaxAttempts {
		d.Handle(t.Context(), []queue.Received{message(r)})
		got := b.get(t, r.ID)
		if wait := got.Delivery.NextTry.Sub(b.now); got.Status != run.InProgress || got.Delivery.Waiting != reason || len(got.Attempts) != 0 || wait != time.Minute {
			t.Fatalf("run is %s after %d attempts and waits %s: %q", got.Status, len(got.Attempts), wait, got.Delivery.Waiting)
		}
		b.now = got.Delivery.NextTry
	}
	b.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 200})
	d.Handle(t.Context(), []queue.Received{message(r)})
	if got := b.get(t, r.ID); got.Delivery.State != run.Delivered || got.Delivery.Waiting != "" || len(got.Attempts) != 1 {
		t.Errorf("delivery is %s after %d attempts, waiting %q", got.Delivery.State, len(got.Attempts), got.Delivery.Waiting)
	}
	if b.events[0] != dispatch.Waiting {
		t.Errorf("the message was %s, want %s", b.events[0], dispatch.Waiting)
	}
}

func TestMessagesThatAreNoCall(t *testing.T) {
	t.Parallel()
	busy := fault.Busy(errors.New("throttled"), 0, "the store refuses")
	text := func(r *run.Run, edit func(map[string]any)) queue.Received {
		m := message(r)
		var members map[string]any
		if err := json.Unmarshal([]byte(m.Body), &members); err != nil {
			panic(err)
		}
		edit(members)
		body, err := json.Marshal(members)
		if err != nil {
			panic(err)
		}
		m.Body = string(body)
		return m
	}
	bare := func(_ *bench, r *run.Run) queue.Received {
		return received("m1", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun})
	}
	for _, c := range []struct {
		name    string
		message func(b *bench, r *run.Run) queue.Received
		event   dispatch.Event
		again   bool
	}{
		{"no JSON", func(*bench, *run.Run) queue.Received { return queue.Received{ID: "m1", Body: secret} }, dispatch.Undecodable, true},
		{"empty", func(*bench, *run.Run) queue.Received { return queue.Received{ID: "m1"} }, dispatch.Undecodable, true},
		{"newer message", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["v"] = queue.Version + 1 })
		}, dispatch.Undecodable, true},
		{"unknown kind", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["kind"] = "lookup" })
		}, dispatch.Undecodable, true},
		{"newer invocation", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["invocation"].(map[string]any)["v"] = invocation.Version + 1 })
		}, dispatch.Undecodable, true},
		{"invocation of another backend", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["invocation"].(map[string]any)["backend"] = "kafka" })
		}, dispatch.Undecodable, true},
		{"unknown run", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["pk"] = "r_0000000000000000" })
		}, dispatch.Dropped, false},
		{"unknown run, bare message", func(*bench, *run.Run) queue.Received {
			return received("m1", queue.Message{PK: "r_0000000000000000", Generation: 1, Kind: queue.KindRun})
		}, dispatch.Dropped, false},
		{"older generation", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["generation"] = 0 })
		}, dispatch.Dropped, false},
		{"newer generation than the run", func(_ *bench, r *run.Run) queue.Received {
			return text(r, func(m map[string]any) { m["generation"] = 2 })
		}, dispatch.Dropped, false},
		{"store refuses the read", func(b *bench, r *run.Run) queue.Received {
			b.store.Fail = func(string, string) error { return busy }
			return bare(b, r)
		}, dispatch.Broken, true},
		{"store refuses the claim", func(b *bench, r *run.Run) queue.Received {
			b.store.Fail = func(string, string) error { return busy }
			return message(r)
		}, dispatch.Broken, true},
		{"store panics", func(b *bench, r *run.Run) queue.Received {
			b.store.Fail = func(string, string) error { panic(secret) }
			return message(r)
		}, dispatch.Broken, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.record(t)
			m := c.message(b, r)
			again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{m})
			if (len(again) == 1 && again[0] == "m1") != c.again {
				t.Errorf("messages that come again are %q, want it to: %t", again, c.again)
			}
			b.wantEvents(t, c.event)
			b.store.Fail = nil
			if got := b.get(t, r.ID); len(b.calls) != 0 || len(got.Attempts) != 0 || len(b.sent) != 0 {
				t.Errorf("%d calls, %d attempts, %d messages; want none", len(b.calls), len(got.Attempts), len(b.sent))
			}
			if !strings.Contains(b.logs.String(), `"message_id":"m1"`) {
				t.Errorf("the log does not name the message:\n%s", b.logs.String())
			}
		})
	}
}

func TestInvocationFromTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(t)
	m := received("m1", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun})
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{m}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	want := []backend.Call{{RunID: r.ID, Action: "deploy", Attempt: 1, Invocation: call(), By: author(r)}}
	if diff := cmp.Diff(want, b.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestInvocationThatIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(t, func(_ *run.Run, body *run.Body) { body.Invocation = nil })
	m := received("m1", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun})
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{m}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	want := []string{"Delivery failed after 1 attempt: what was to be sent is not stored"}
	if diff := cmp.Diff(want, b.lines(t, r.ID)); diff != "" || b.get(t, r.ID).Status != run.Failure || len(b.calls) != 0 {
		t.Errorf("run is %s after %d calls; log (-want +got):\n%s", b.get(t, r.ID).Status, len(b.calls), diff)
	}
}

// A receiver often reports before it answers.
func TestReportDuringTheCall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		outcome backend.Outcome
		event   dispatch.Event
		state   run.DeliveryState
	}{
		{"call succeeds", backend.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`1`), StatusLabel: "late"}, dispatch.Delivered, run.Delivered},
		{"call fails", backend.Outcome{Verdict: run.Fail, StatusCode: 500, Error: "HTTP 500", StatusLabel: "late"}, dispatch.Dropped, run.Pending},
		{"call is to be repeated", backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"}, dispatch.Dropped, run.Pending},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answer = func(ctx context.Context, call backend.Call) backend.Outcome {
				_, err := b.store.Update(ctx, call.RunID, func(r *run.Run) (*run.Write, error) {
					return &run.Write{}, r.End(b.config.Now(), "client", run.Success, "by the receiver")
				})
				if err != nil {
					t.Error(err)
				}
				return c.outcome
			}
			r := b.record(t)
			if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); again != nil {
				t.Errorf("messages come again: %q", again)
			}
			b.wantEvents(t, c.event)
			got := b.get(t, r.ID)
			if got.Status != run.Success || got.StatusLabel != "by the receiver" || got.HasResponse || got.Delivery.State != c.state {
				t.Errorf("run is %s %q, response %t, delivery %s", got.Status, got.StatusLabel, got.HasResponse, got.Delivery.State)
			}
			if a := got.Attempts[0]; a.Open || a.StatusCode != c.outcome.StatusCode {
				t.Errorf("attempt is %+v", a)
			}
			if response := b.read(t, r.ID).Response; response != nil {
				t.Errorf("response %s is kept", response)
			}
			if len(b.sent) != 0 || len(b.lines(t, r.ID)) != 0 {
				t.Errorf("%d messages and %d lines, want none", len(b.sent), len(b.lines(t, r.ID)))
			}
		})
	}
}

// Whatever a panic carries stays out of the log.
func TestPanicKeepsItsValue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answer = func(context.Context, backend.Call) backend.Outcome { panic(errors.New(secret)) }
	r := b.record(t)
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); len(again) != 1 {
		t.Errorf("messages that come again are %q, want the one", again)
	}
	b.wantEvents(t, dispatch.Broken)
	if !strings.Contains(b.logs.String(), "handle_test.go") {
		t.Error("the log has no stack")
	}
}

// TestAllMessagesAtOnce would wait for ever if messages were handled in turn.
func TestAllMessagesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var meet sync.WaitGroup
	meet.Add(10)
	b.answer = func(context.Context, backend.Call) backend.Outcome {
		meet.Done()
		meet.Wait()
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 200}
	}
	var messages []queue.Received
	for i := range 10 {
		r, to := b.record(t), call()
		// One host does not get all of a batch at once.
		to.Webhook.URL = fmt.Sprintf("https://%d.example/", i%2)
		messages = append(messages, received(fmt.Sprint("m", i), queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: to}))
	}
	if again := dispatch.New(b.config).Handle(t.Context(), messages); again != nil {
		t.Errorf("messages come again: %q", again)
	}
}

func TestNoMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if again := dispatch.New(b.config).Handle(t.Context(), nil); again != nil {
		t.Errorf("messages come again: %q", again)
	}
}
