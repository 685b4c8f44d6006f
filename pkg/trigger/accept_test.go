package trigger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/trigger"
)

// steps notes what StoreAndSend does and fails where it is told to.
type steps struct {
	did  []string
	fail map[string]error
	// during is called in each step.
	during func(step string)
}

func (s *steps) step(ctx context.Context, name string) error {
	if s.during != nil {
		s.during(name)
	}
	if err := errors.Join(s.fail[name], ctx.Err()); err != nil {
		return err
	}
	s.did = append(s.did, name)
	return nil
}

func (s *steps) Create(ctx context.Context, _ *run.Run, _ *run.Body) error {
	return s.step(ctx, "create")
}
func (s *steps) AppendLog(ctx context.Context, _ *run.Log) error { return s.step(ctx, "log") }
func (s *steps) Send(ctx context.Context, backend string, _ queue.Message, _ time.Duration, group string) error {
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("send without a deadline")
	}
	return s.step(ctx, "send "+backend+" "+group)
}

func TestStoreAndSend(t *testing.T) {
	t.Parallel()
	const send = "send webhook https://example.com:443"
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fail    map[string]error
		message bool
		line    bool
		gone    string
		want    []string
		err     error
		logged  string
	}{
		"record, then send":              {message: true, want: []string{"create", send}},
		"a run that waits":               {line: true, want: []string{"create", "log"}},
		"not recorded":                   {message: true, line: true, fail: map[string]error{"create": broken}, err: broken},
		"not sent":                       {message: true, fail: map[string]error{send: broken}, want: []string{"create"}, logged: "message not sent"},
		"no line":                        {message: true, line: true, fail: map[string]error{"log": broken}, want: []string{"create", send}, logged: "log line"},
		"caller gone before":             {message: true, gone: "create", err: context.Canceled},
		"caller gone after it was there": {message: true, line: true, gone: "log", want: []string{"create", "log", send}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &steps{fail: c.fail, during: func(step string) {
				if step == c.gone {
					cancel()
				}
			}}
			var log bytes.Buffer
			a := &trigger.StoreAndSend{Store: s, Sender: s, Log: slog.New(slog.NewJSONHandler(&log, nil))}
			r := &run.Run{ID: "r_1", Backend: "webhook"}
			b := &run.Body{Invocation: &invocation.Invocation{Webhook: &invocation.Webhook{URL: "https://example.com/?token=hunter2"}}}
			var m *queue.Message
			if c.message {
				m = &queue.Message{V: 1, PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: b.Invocation}
			}
			var line *run.Log
			if c.line {
				line = &run.Log{RunID: r.ID}
			}
			if err := a.Accept(ctx, r, b, m, line); !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Errorf("error is %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, s.did); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			text := log.String()
			if !strings.Contains(text, c.logged) || c.logged == "" && text != "" || strings.Contains(text, "hunter2") {
				t.Errorf("our log is %q, want %q in it", text, c.logged)
			}
			if c.logged != "" && !strings.Contains(text, `"run_id":"r_1"`) {
				t.Errorf("our log %q does not name the run", text)
			}
		})
	}
}

// crash stands for the death of the process at a fault point.
type crash struct{ point string }

// dying is a store and a queue whose process dies after one of their steps. Unlike an error, a crash
// leaves nobody who could clean up.
type dying struct {
	run.Store
	queue.Sender
	after     string
	twoWrites bool
}

func (d *dying) die(point string, err error) error {
	if err == nil && point == d.after {
		panic(crash{point})
	}
	return err
}

func (d *dying) Reserve(ctx context.Context, want run.Reservation, now time.Time) (run.Reservation, bool, error) {
	held, won, err := d.Store.Reserve(ctx, want, now)
	return held, won, d.die("trigger: key reserved", err)
}

func (d *dying) Create(ctx context.Context, r *run.Run, b *run.Body) error {
	// A store that writes body and head at once leaves nothing here; one of two writes dies by itself
	// between them and leaves an orphan body.
	if !d.twoWrites {
		if err := d.die("trigger: body", nil); err != nil {
			return err
		}
	}
	return d.die("trigger: head", d.Store.Create(ctx, r, b))
}

func (d *dying) Send(ctx context.Context, backend string, m queue.Message, delay time.Duration, group string) error {
	return d.die("trigger: send, before 202", d.Sender.Send(ctx, backend, m, delay, group))
}

// headless is DynamoDB for a process that dies before it writes a head.
type headless struct{ dynamostore.Client }

func (h headless) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if sk, ok := in.Item["sk"].(*types.AttributeValueMemberS); ok && sk.Value == "head" {
		panic(crash{"trigger: body"})
	}
	return h.Client.PutItem(ctx, in, o...)
}

func TestCrashOnSQLite(t *testing.T) {
	t.Parallel()
	crashes(t, func(t *testing.T, after string) (run.Store, *dying) {
		s := openStore(t)
		return s, &dying{Store: s, after: after}
	})
}

func TestCrashOnDynamoDB(t *testing.T) {
	t.Parallel()
	client := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)))
	crashes(t, func(t *testing.T, after string) (run.Store, *dying) {
		table := rand.Text()
		if err := dynamostore.CreateTables(t.Context(), client, table, table+"-catalog"); err != nil {
			t.Fatal(err)
		}
		const retention = 100 * 365 * 24 * time.Hour
		s := dynamostore.NewRuns(client, table, retention, time.Now)
		d := &dying{Store: s, after: after, twoWrites: true}
		if after == "trigger: body" {
			d.Store = dynamostore.NewRuns(headless{client}, table, retention, time.Now)
		}
		return s, d
	})
}

// crashes shows what a crash of a trigger leaves, and who goes on with it. Open returns a store, and
// the same as a process has it that dies after a fault point.
func crashes(t *testing.T, open func(t *testing.T, after string) (run.Store, *dying)) {
	for _, c := range []struct {
		point string
		// recorded says that the run exists, sent that its message does.
		recorded, sent bool
	}{
		{"trigger: key reserved", false, false},
		{"trigger: body", false, false},
		{"trigger: head", true, false},
		{"trigger: send, before 202", true, true},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			store, d := open(t, c.point)
			begun := time.Now().UTC().Truncate(time.Millisecond)
			w := newWorld(t, func(w *world, tc *trigger.Config) {
				w.store, w.now, d.Sender = store, begun, w.queue
				tc.Runs, tc.Sender = d, d
				tc.Accepter = &trigger.StoreAndSend{Store: d, Sender: d, Log: tc.Log}
			})
			w.actions.add(t, hello)
			died := func() (point string) {
				defer func() {
					if dead, ok := recover().(crash); ok {
						point = dead.point
					}
				}()
				_, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`))
				t.Errorf("answered, error %v", err)
				return ""
			}()
			if died != c.point {
				t.Fatalf("died at %q, want %q", died, c.point)
			}
			id := runID(1)
			wantRuns := map[bool]int{true: 1}[c.recorded]
			w.wantRuns(t, wantRuns)
			if got := len(w.queue.sent); got != map[bool]int{true: 1}[c.sent] {
				t.Errorf("%d messages, sent is %t", got, c.sent)
			}
			w.restart(nil)

			if !c.recorded {
				// Until the holder of the key is known to be dead, the client is told to wait.
				_, err := w.Start(t.Context(), keyed(t, "k", `{"name":"x"}`))
				wantFault(t, err, fault.Conflict, "request_in_progress")
				w.later(run.ReserveFor + time.Second)
			} else if stored := w.read(t, id); stored.Due.After(begun.Add(2*time.Minute)) || stored.Delivery.State != run.Pending {
				// The sweeper sends what is due, so that an unsent run waits two minutes at most.
				t.Errorf("due %s, delivery %s", stored.Due, stored.Delivery.State)
			}
			got := w.start(t, keyed(t, "k", `{"name":"x"}`))
			if got.Record.ID != id || got.Replayed != c.recorded {
				t.Errorf("id %s, replayed %t; want %s, %t", got.Record.ID, got.Replayed, id, c.recorded)
			}
			w.wantRuns(t, 1)
			ids := slices.Collect(func(yield func(string) bool) {
				for _, s := range w.queue.sent {
					yield(s.Message.PK)
				}
			})
			want := []string{id}
			if c.recorded && !c.sent {
				want = nil // A replay sends nothing: the sweeper does.
			}
			if diff := cmp.Diff(want, ids); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}
