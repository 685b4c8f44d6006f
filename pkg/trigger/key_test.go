package trigger_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// keyed is a request of the action hello under a key.
func keyed(t *testing.T, key, properties string) trigger.Request {
	t.Helper()
	q := request(t, "hello", properties)
	q.IdempotencyKey = key
	return q
}

func TestKeyReplays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, hello)
	first := w.start(t, keyed(t, "k", `{"name":"x","size":1.0,"o":{"a":1,"b":[{"c":1,"d":2}]}}`))
	if first.Replayed {
		t.Fatal("the first request was replayed")
	}
	for name, properties := range map[string]string{
		"the same":      `{"name":"x","size":1.0,"o":{"a":1,"b":[{"c":1,"d":2}]}}`,
		"other order":   `{"o":{"b":[{"d":2,"c":1}],"a":1},"size":1.0,"name":"x"}`,
		"other spaces":  `{ "name" : "x" , "size":1.0,"o":{"a":1,"b":[{"c":1,"d":2}]}}`,
		"other numbers": `{"name":"\u0078","size":1e0,"o":{"a":1,"b":[{"c":1,"d":2}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := w.start(t, keyed(t, "k", properties))
			if diff := cmp.Diff(first.Record, got.Record, cmpopts.IgnoreFields(run.Run{}, "Rev")); diff != "" || !got.Replayed {
				t.Errorf("replayed %t (-first +got):\n%s", got.Replayed, diff)
			}
		})
	}
	w.wantRuns(t, 1)
	if len(w.queue.sent) != 1 {
		t.Errorf("%d messages, want 1", len(w.queue.sent))
	}
}

// TestKeyReplaysWhatTheRunIsNow: a replay answers the run as it is, ended runs included.
func TestKeyReplaysWhatTheRunIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, hello)
	first := w.start(t, keyed(t, "k", `{"name":"x"}`))
	if _, err := w.store.Update(t.Context(), first.Record.ID, func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, r.End(start, "client", run.Success, "done")
	}); err != nil {
		t.Fatal(err)
	}
	w.later(23 * time.Hour)
	if got := w.start(t, keyed(t, "k", `{"name":"x"}`)); got.Record.Status != run.Success || !got.Replayed {
		t.Errorf("status %s, replayed %t", got.Record.Status, got.Replayed)
	}
}

// A client that repeats its request learns the run that it started, whatever became of the action.
func TestKeyReplaysAfterTheActionChanged(t *testing.T) {
	t.Parallel()
	for name, edited := range map[string]string{
		"another required input": strings.Replace(hello, `"required":["name"]`, `"required":["name","size","more"]`, 1),
		"not published":          strings.Replace(hello, `"requiredApproval":false`, `"publish":false`, 1),
		"approval":               strings.Replace(hello, `"requiredApproval":false`, `"requiredApproval":true`, 1),
		"a URL that is none":     strings.Replace(hello, "https://example.com/hooks/", "{{ null }}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, hello)
			first := w.start(t, keyed(t, "k", `{"name":"x"}`))
			w.actions.add(t, edited)
			w.later(time.Hour)
			if got := w.start(t, keyed(t, "k", `{"name":"x"}`)); got.Record.ID != first.Record.ID || !got.Replayed {
				t.Errorf("run %s, replayed %t; want %s again", got.Record.ID, got.Replayed, first.Record.ID)
			}
			if _, err := w.Start(t.Context(), keyed(t, "k", `{"name":5}`)); !fault.Is(err, "idempotency_key_reused") {
				t.Errorf("another body: %v, want idempotency_key_reused", err)
			}
		})
	}
}

func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*trigger.Request){
		"other value":    func(q *trigger.Request) { q.Properties.Set("name", "y") },
		"other type":     func(q *trigger.Request) { q.Properties.Set("more", "1") },
		"one more":       func(q *trigger.Request) { q.Properties.Set("size", 3.0) },
		"order of lists": func(q *trigger.Request) { q.Properties.Set("list", []any{2.0, 1.0}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, hello)
			const properties = `{"name":"x","more":1,"list":[1,2]}`
			w.start(t, keyed(t, "k", properties))
			q := keyed(t, "k", properties)
			edit(&q)
			_, err := w.Start(t.Context(), q)
			wantFault(t, err, fault.Invalid, "idempotency_key_reused")
			w.wantRuns(t, 1)
		})
	}
	t.Run("other entity", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.actions.add(t, v2("hello", `{"type":"WEBHOOK","url":"https://example.com"}`))
		w.start(t, keyed(t, "k", "{}"))
		q := keyed(t, "k", "{}")
		q.Entity = "e"
		_, err := w.Start(t.Context(), q)
		wantFault(t, err, fault.Invalid, "idempotency_key_reused")
		w.wantRuns(t, 1)
	})
}

// TestKeyIsFree: a key belongs to one caller and one action, for a day.
func TestKeyIsFree(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*testing.T, *world, *trigger.Request){
		"other key":    func(_ *testing.T, _ *world, q *trigger.Request) { q.IdempotencyKey = "k2" },
		"other caller": func(_ *testing.T, _ *world, q *trigger.Request) { q.Caller.ID = "somebody" },
		"other action": func(t *testing.T, w *world, q *trigger.Request) {
			w.actions.add(t, strings.Replace(hello, `"hello"`, `"hi"`, 1))
			q.Action = "hi"
		},
		"re-created action": func(t *testing.T, w *world, _ *trigger.Request) {
			w.actions.add(t, hello).ID = "action_other"
		},
		"a day later": func(_ *testing.T, w *world, _ *trigger.Request) { w.later(run.KeyLifetime + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, hello)
			w.start(t, keyed(t, "k", `{"name":"x"}`))
			q := keyed(t, "k", `{"name":"x"}`)
			edit(t, w, &q)
			if w.start(t, q).Replayed {
				t.Error("the run was replayed")
			}
			w.wantRuns(t, 2)
		})
	}
}

func TestKeyOfEveryLength(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"one character":  "k",
		"255 characters": strings.Repeat("ü", 255),
		"with spaces":    "a b ~!\"#\\",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, hello)
			w.start(t, keyed(t, key, `{"name":"x"}`))
			if !w.start(t, keyed(t, key, `{"name":"x"}`)).Replayed {
				t.Error("the second run was not replayed")
			}
		})
	}
}

// TestKeyAfterRefusal: a refused request leaves its key free for a better one.
func TestKeyAfterRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, hello)
	w.actions.add(t, v2("url", `{"type":"WEBHOOK","url":"{{ .inputs.u }}"}`))
	if _, err := w.Start(t.Context(), keyed(t, "k", `{}`)); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("error is %v", err)
	}
	if w.start(t, keyed(t, "k", `{"name":"x"}`)).Replayed {
		t.Error("an input's fault left a key")
	}
	q := request(t, "url", `{"u":"none"}`)
	q.IdempotencyKey = "k"
	if _, err := w.Start(t.Context(), q); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("error is %v", err)
	}
	q.Properties.Set("u", "https://example.com")
	if w.start(t, q).Replayed {
		t.Error("a template's fault left a key")
	}
}

// TestKeyInProgress: while the first request is being recorded the second is told to wait.
func TestKeyInProgress(t *testing.T) {
	t.Parallel()
	recording, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Accepter = slow{c.Accepter, recording, release}
	})
	w.actions.add(t, hello)
	done := make(chan error, 1)
	first := keyed(t, "k", `{"name":"x"}`)
	go func() {
		_, err := w.Start(context.Background(), first)
		done <- err
	}()
	<-recording
	_, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`))
	if e := wantFault(t, err, fault.Conflict, "request_in_progress"); e.RetryAfter <= 0 || !e.Retryable {
		t.Errorf("retry after %s", e.RetryAfter)
	}
	_, err = w.Start(t.Context(), keyed(t, "k", `{"name":"y"}`))
	wantFault(t, err, fault.Invalid, "idempotency_key_reused")
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !w.start(t, keyed(t, "k", `{"name":"x"}`)).Replayed {
		t.Error("the run was not replayed")
	}
	w.wantRuns(t, 1)
}

type slow struct {
	trigger.Accepter
	recording, release chan struct{}
}

func (s slow) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	close(s.recording)
	<-s.release
	return s.Accepter.Accept(ctx, r, b, m, line)
}

// TestKeyAtOnce: of many requests under one key one starts a run, the others get it or are told to
// wait.
func TestKeyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, hello)
	var started, replayed, waits atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		q := keyed(t, "k", `{"name":"x"}`)
		group.Go(func() {
			got, err := w.Start(context.Background(), q)
			switch {
			case err == nil && got.Replayed:
				replayed.Add(1)
			case err == nil:
				started.Add(1)
			case fault.Is(err, "request_in_progress"):
				waits.Add(1)
			default:
				t.Errorf("error is %v", err)
			}
		})
	}
	group.Wait()
	if started.Load() != 1 || replayed.Load()+waits.Load() != 49 {
		t.Errorf("%d started, %d replayed, %d to wait", started.Load(), replayed.Load(), waits.Load())
	}
	w.wantRuns(t, 1)
}

// TestKeyTakenOver: the run of a holder that died is started under the id that the key stands for,
// and what is sent names that id.
func TestKeyTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Accepter = refuser{errors.New("died")} })
	w.actions.add(t, hello)
	if _, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`)); err == nil {
		t.Fatal("no error")
	}
	w.restart(nil)
	_, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`))
	wantFault(t, err, fault.Conflict, "request_in_progress")
	w.later(run.ReserveFor + time.Second)
	got := w.start(t, keyed(t, "k", `{"name":"x"}`))
	id := runID(1)
	if got.Replayed || got.Record.ID != id {
		t.Errorf("replayed %t, id %s, want %s", got.Replayed, got.Record.ID, id)
	}
	if headers := got.Record.Invocation.Webhook.Headers; headers[0].Value != id {
		t.Errorf("headers are %v, want %s in them", headers, id)
	}
	if len(w.queue.sent) != 1 || w.queue.sent[0].Message.PK != id {
		t.Errorf("sent %+v", w.queue.sent)
	}
	w.wantRuns(t, 1)
}

// TestKeyOvertaken: a holder that was taken for dead records its run just before the one that took
// its key over.
func TestKeyOvertaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		later, runAs string
		word         string
	}{
		"same request":    {`{"size":3,"name":"x"}`, "", ""},
		"another request": {`{"name":"y"}`, "", "idempotency_key_reused"},
		"for somebody":    {`{"name":"x"}`, "ada@example.com", "idempotency_key_reused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var late func()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Accepter = keeper{c.Accepter, &late} })
			w.addUser(t, `{"identifier":"ada@example.com"}`)
			w.actions.add(t, hello)
			if _, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`)); err == nil {
				t.Fatal("no error")
			}
			w.restart(func(_ *world, c *trigger.Config) { c.Accepter = overtaker{c.Accepter, late} })
			w.later(run.ReserveFor + time.Second)
			q := keyed(t, "k", c.later)
			q.RunAs = c.runAs
			got, err := w.Start(t.Context(), q)
			if c.word != "" {
				wantFault(t, err, fault.Invalid, c.word)
			} else if err != nil || !got.Replayed || got.Record.ID != runID(1) {
				t.Errorf("got %+v, error %v", got, err)
			}
			w.wantRuns(t, 1)
			if len(w.queue.sent) != 1 {
				t.Errorf("%d messages, want 1", len(w.queue.sent))
			}
		})
	}
}

// keeper fails and keeps what it was to accept.
type keeper struct {
	trigger.Accepter
	late *func()
}

func (k keeper) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	*k.late = func() { _ = k.Accepter.Accept(ctx, r, b, m, line) }
	return errors.New("stuck")
}

// overtaker lets an earlier one through first.
type overtaker struct {
	trigger.Accepter
	earlier func()
}

func (o overtaker) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	o.earlier()
	return o.Accepter.Accept(ctx, r, b, m, line)
}
