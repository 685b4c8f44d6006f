package dynamostore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/action"
	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// doer is an HTTP client of the SDK.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// through returns a client whose requests pass an HTTP client of the test's.
func through(t *testing.T, d doer) *dynamodb.Client {
	t.Helper()
	return dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)), func(o *dynamodb.Options) {
		o.HTTPClient = d
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 10 * time.Millisecond })
	})
}

// losingWrites returns a client whose connection breaks after each write has arrived, once for each
// request, so that the SDK repeats what has been done.
func losingWrites(t *testing.T, lost *atomic.Int64) *dynamodb.Client {
	t.Helper()
	seen := map[string]bool{}
	return through(t, func(r *http.Request) (*http.Response, error) {
		answer, err := http.DefaultClient.Do(r)
		operation := r.Header.Get("X-Amz-Target")
		write := strings.HasSuffix(operation, ".PutItem") || strings.HasSuffix(operation, ".TransactWriteItems")
		if err != nil || !write {
			return answer, err
		}
		id := r.Header.Get("Amz-Sdk-Invocation-Id")
		if seen[id] {
			return answer, nil
		}
		seen[id] = true
		lost.Add(1)
		_ = answer.Body.Close()
		return nil, io.ErrUnexpectedEOF
	})
}

// A write whose answer was lost is repeated by the SDK and refused by its own condition: it won.
func TestLostAnswersAreNotLostRaces(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	now := time.Now().UTC().Truncate(time.Millisecond)

	t.Run("runs", func(t *testing.T) {
		t.Parallel()
		var lost atomic.Int64
		runs := s.store(losingWrites(t, &lost))
		r, b := newRun(now)
		r.Summary = strings.Repeat("s", 1000)
		if err := runs.Create(t.Context(), r, b); err != nil {
			t.Fatalf("create: %v", err)
		}
		if n := lost.Load(); n != 3 {
			t.Fatalf("%d answers were lost, want those of body, detail and head", n)
		}
		for _, c := range []struct {
			name string
			move func(*run.Run) (*run.Write, error)
		}{
			{"claim", func(r *run.Run) (*run.Write, error) {
				_, err := r.Claim(now, 1, "owner", time.Minute)
				return &run.Write{}, err
			}},
			{"outcome", func(r *run.Run) (*run.Write, error) {
				return &run.Write{Response: json.RawMessage(`"no"`)}, r.Settle(now, 1, "owner", time.Hour, run.Outcome{Verdict: run.Fail, Response: json.RawMessage(`"no"`)})
			}},
			{"redelivery", func(r *run.Run) (*run.Write, error) {
				closed, err := r.Redeliver(now, "client_1")
				return &run.Write{Closed: closed, ClosedGeneration: 1}, err
			}},
			{"line that ends the run", func(r *run.Run) (*run.Write, error) {
				return &run.Write{Logs: []*run.Log{run.NewLog(now, r.ID, run.Own, "done")}}, r.End(now, run.Own, run.Success, "")
			}},
		} {
			before := lost.Load()
			calls := 0
			_, err := runs.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
				calls++
				return c.move(r)
			})
			if err != nil || calls != 1 {
				t.Errorf("%s: %d calls of the move, %v; want one", c.name, calls, err)
			}
			if lost.Load() == before {
				t.Errorf("%s: no answer was lost", c.name)
			}
		}
		lines, err := runs.Logs(t.Context(), r.ID, run.LogQuery{Limit: 10})
		if err != nil || len(lines) != 1 {
			t.Errorf("%d lines, %v; want one", len(lines), err)
		}
	})

	t.Run("reservation", func(t *testing.T) {
		t.Parallel()
		var lost atomic.Int64
		runs := s.store(losingWrites(t, &lost))
		want := run.Reservation{Key: "key", RunID: run.NewID(now), BodyHash: "h", Until: now.Add(time.Minute), Expires: now.Add(time.Hour)}
		if _, won, err := runs.Reserve(t.Context(), want, now); err != nil || !won || lost.Load() != 1 {
			t.Errorf("won %t, %v, %d answers lost", won, err, lost.Load())
		}
		// So does the one that takes it over.
		if held, won, err := runs.Reserve(t.Context(), want, now.Add(2*time.Minute)); err != nil || !won || held.RunID != want.RunID {
			t.Errorf("won %t as %s, %v; want %s", won, held.RunID, err, want.RunID)
		}
	})

	t.Run("definitions", func(t *testing.T) {
		t.Parallel()
		var lost atomic.Int64
		actions := dynamocatalog.NewActions(losingWrites(t, &lost), s.catalog)
		r := &action.Record{Identifier: "deploy", ID: "action_1", Definition: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now}
		if err := actions.Create(t.Context(), r); err != nil {
			t.Fatalf("create: %v", err)
		}
		r.Rev, r.Identifier = 1, "renamed"
		if err := actions.Replace(t.Context(), "deploy", r); err != nil {
			t.Fatalf("rename: %v", err)
		}
		if err := actions.Delete(t.Context(), "renamed", "client_1", now); err != nil {
			t.Fatalf("delete: %v", err)
		}
		if stamp, err := actions.Stamp(t.Context()); err != nil || stamp != 3 || lost.Load() != 3 {
			t.Errorf("stamp %d after 3 changes, %v, %d answers lost", stamp, err, lost.Load())
		}
	})
}

// calls are all methods of the stores.
func calls(runs *dynamostore.Runs, actions *dynamocatalog.Actions, now time.Time) map[string]func(context.Context) error {
	id := run.NewID(now)
	r, b := newRun(now)
	definition := &action.Record{Identifier: "deploy", ID: "action_1", Definition: json.RawMessage(`{}`)}
	active := true
	return map[string]func(context.Context) error{
		"Create": func(ctx context.Context) error { return runs.Create(ctx, r, b) },
		"Get":    func(ctx context.Context) error { _, err := runs.Get(ctx, id); return err },
		"Read":   func(ctx context.Context) error { _, err := runs.Read(ctx, id); return err },
		"List":   func(ctx context.Context) error { _, err := runs.List(ctx, run.Filter{Limit: 10}); return err },
		"active": func(ctx context.Context) error {
			_, err := runs.List(ctx, run.Filter{Limit: 10, Active: &active})
			return err
		},
		"Due":     func(ctx context.Context) error { _, err := runs.Due(ctx, now, 10); return err },
		"Log":     func(ctx context.Context) error { return runs.AppendLog(ctx, run.NewLog(now, id, run.Own, "x")) },
		"Logs":    func(ctx context.Context) error { _, err := runs.Logs(ctx, id, run.LogQuery{Limit: 1}); return err },
		"Attempt": func(ctx context.Context) error { _, err := runs.Attempts(ctx, id); return err },
		"Reserve": func(ctx context.Context) error {
			_, _, err := runs.Reserve(ctx, run.Reservation{Key: "k", RunID: id, Until: now, Expires: now}, now)
			return err
		},
		"Update": func(ctx context.Context) error {
			_, err := runs.Update(ctx, id, func(*run.Run) (*run.Write, error) { return &run.Write{}, nil })
			return err
		},
		"Stamp":              func(ctx context.Context) error { _, err := actions.Stamp(ctx); return err },
		"List definitions":   func(ctx context.Context) error { _, err := actions.List(ctx); return err },
		"Get definition":     func(ctx context.Context) error { _, err := actions.Get(ctx, "deploy"); return err },
		"Create definition":  func(ctx context.Context) error { return actions.Create(ctx, definition) },
		"Replace definition": func(ctx context.Context) error { return actions.Replace(ctx, "deploy", definition) },
		"Delete definition":  func(ctx context.Context) error { return actions.Delete(ctx, "deploy", "client_1", now) },
	}
}

func TestFailuresOfTheTable(t *testing.T) {
	t.Parallel()
	answer := func(status int, code string) doer {
		return func(r *http.Request) (*http.Response, error) {
			body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"arn:aws:dynamodb:eu-west-1:123456789012:table/runs"}`
			if code == "TransactionCanceledException" {
				body = strings.TrimSuffix(body, "}") + `,"CancellationReasons":[{"Code":"ThrottlingError"}]}`
			}
			return &http.Response{
				StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(bytes.NewReader([]byte(body))),
			}, nil
		}
	}
	for _, c := range []struct {
		name string
		do   doer
		want fault.Kind
	}{
		{"throttled", answer(400, "ProvisionedThroughputExceededException"), fault.Unavailable},
		{"on-demand limit", answer(400, "ThrottlingException"), fault.Unavailable},
		{"too many requests", answer(400, "RequestLimitExceeded"), fault.Unavailable},
		{"throttled transaction", answer(400, "TransactionCanceledException"), fault.Unavailable},
		{"internal error", answer(500, "InternalServerError"), fault.Unavailable},
		{"down", answer(503, "ServiceUnavailable"), fault.Unavailable},
		{"connection cut", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, fault.Unavailable},
		{"time-out", func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }, fault.Unavailable},
		{"no such table", answer(400, "ResourceNotFoundException"), fault.Internal},
		{"not allowed", answer(400, "AccessDeniedException"), fault.Internal},
		{"caller gave up", func(*http.Request) (*http.Response, error) { return nil, context.Canceled }, fault.Internal},
	} {
		client := dynamodb.NewFromConfig(emulator.Config("http://127.0.0.1:1"), func(o *dynamodb.Options) {
			o.HTTPClient, o.RetryMaxAttempts = c.do, 1
		})
		runs := dynamostore.NewRuns(client, "runs", retention, time.Now)
		all := calls(runs, dynamocatalog.NewActions(client, "catalog"), time.Now())
		maps.Copy(all, catalogCalls(dynamocatalog.NewCatalog(client, "catalog", time.Now), time.Now()))
		for name, call := range all {
			t.Run(c.name+", "+name, func(t *testing.T) {
				t.Parallel()
				err := call(t.Context())
				if err == nil {
					t.Fatal("no error")
				}
				if got := fault.KindOf(err); got != c.want {
					t.Fatalf("got kind %d of %v, want %d", got, err, c.want)
				}
				var f *fault.Error
				if !errors.As(err, &f) {
					return // an internal error, whose text nobody outside sees
				}
				if !f.Retryable || f.RetryAfter <= 0 || strings.Contains(f.Message, "arn") || strings.Contains(f.Message, "dynamo") {
					t.Errorf("sentence %q, retry %t after %v", f.Message, f.Retryable, f.RetryAfter)
				}
			})
		}
	}
}

// A table that does not answer is unavailable, whosever time-out it is that passes.
func TestNoAnswerInTime(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	t.Cleanup(func() { close(done); silent.Close() })
	const short = 50 * time.Millisecond
	for _, c := range []struct {
		name   string
		client time.Duration
		call   func(ctx context.Context) (context.Context, context.CancelFunc)
		want   fault.Kind
	}{
		{"the HTTP client's", short, context.WithCancel, fault.Unavailable},
		{"the caller's", time.Minute, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, short)
		}, fault.Unavailable},
		{"the caller gives up", time.Minute, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(short, cancel)
			return ctx, cancel
		}, fault.Internal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := dynamodb.NewFromConfig(emulator.Config(silent.URL), func(o *dynamodb.Options) {
				o.HTTPClient, o.RetryMaxAttempts = &http.Client{Timeout: c.client}, 1
			})
			ctx, cancel := c.call(t.Context())
			defer cancel()
			_, err := dynamostore.NewRuns(client, "runs", retention, time.Now).Get(ctx, run.NewID(time.Now()))
			if err == nil || fault.KindOf(err) != c.want {
				t.Errorf("got kind %d of %v, want %d", fault.KindOf(err), err, c.want)
			}
		})
	}
}

// stingy answers a part of each batch.
type stingy struct{ *dynamodb.Client }

func (c stingy) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	left := map[string]types.KeysAndAttributes{}
	for table, request := range in.RequestItems {
		all := request.Keys
		request.Keys = all[:min(len(all), 3)]
		in.RequestItems[table] = request
		if rest := all[len(request.Keys):]; len(rest) > 0 {
			request.Keys = rest
			left[table] = request
		}
	}
	out, err := c.Client.BatchGetItem(ctx, in, o...)
	if err == nil {
		out.UnprocessedKeys = left
	}
	return out, err
}

func TestListReadsWhatABatchLeavesOut(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(stingy{s.client})
	now := time.Now()
	const n = 9
	for i := range n {
		r, b := newRun(now.Add(time.Duration(i) * time.Millisecond))
		if err := runs.Create(t.Context(), r, b); err != nil {
			t.Fatal(err)
		}
	}
	page, err := runs.List(t.Context(), run.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Runs) != n {
		t.Errorf("%d runs, want %d", len(page.Runs), n)
	}
	for _, r := range page.Runs {
		if string(r.Properties) != `{"name":"cart"}` {
			t.Errorf("run %s has the properties %s", r.ID, r.Properties)
		}
	}
}
