package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api"
	"longshore/pkg/fault"
	"longshore/pkg/logline"
	"longshore/pkg/run"
)

func request(method, target, body, token string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// broken is a store whose methods fail or panic.
type broken struct {
	run.Store
	err   error
	panic any
}

func (b broken) fail() error {
	if b.panic != nil {
		panic(b.panic)
	}
	return b.err
}

func (b broken) Get(context.Context, string) (*run.Run, error)           { return nil, b.fail() }
func (b broken) Read(context.Context, string) (*run.Record, error)       { return nil, b.fail() }
func (b broken) List(context.Context, run.Filter) (*run.Page, error)     { return nil, b.fail() }
func (b broken) AppendLog(context.Context, *run.Log) error               { return b.fail() }
func (b broken) Attempts(context.Context, string) ([]run.Attempt, error) { return nil, b.fail() }
func (b broken) Update(context.Context, string, func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	return nil, b.fail()
}

const secret = "hunter2-in-the-cause"

func TestFailingStore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		store   broken
		status  int
		word    string
		message string
		retry   string
	}{
		"throttled": {
			broken{err: fault.Busy(errors.New(secret), 1500*time.Millisecond, "the store is throttled")},
			503, "unavailable", "the store is throttled", "2",
		},
		"unavailable":         {broken{err: fault.New(fault.Unavailable, "", "the store is away")}, 503, "unavailable", "the store is away", "1"},
		"unknown":             {broken{err: errors.New(secret)}, 500, "internal_error", "internal error", ""},
		"out of time":         {broken{err: context.DeadlineExceeded}, 503, "unavailable", "the request could not be dealt with in time", "1"},
		"a panic":             {broken{panic: secret}, 500, "internal_error", "internal error", ""},
		"an error as a panic": {broken{panic: errors.New("index out of range")}, 500, "internal_error", "internal error", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(c *api.Config) { test.store.Store, c.Runs = c.Runs, test.store })
			const one = "/v1/actions/runs/r_0000000000000000"
			for _, q := range [][3]string{
				{"GET", "/v1/actions/runs", ""}, {"GET", one, ""}, {"PATCH", one, `{}`}, {"GET", one + "/logs", ""},
				{"GET", one + "/attempts", ""}, {"POST", one + "/logs", `{"message":"m"}`},
				{"POST", one + "/logs", `{"message":"m","terminationStatus":"SUCCESS"}`}, {"POST", one + "/redeliver", ``},
			} {
				g := f.call(q[0], q[1], q[2])
				if message := g.fault(test.status, test.word); message != test.message {
					t.Errorf("%s %s: got message %q, want %q", q[0], q[1], message, test.message)
				}
				if got := g.header.Get("Retry-After"); got != test.retry {
					t.Errorf("%s %s: got Retry-After %q, want %q", q[0], q[1], got, test.retry)
				}
				if strings.Contains(string(g.text), secret) {
					t.Errorf("the answer holds the cause: %s", g.text)
				}
				if log := f.log.String(); !strings.Contains(log, g.header.Get("X-Request-Id")) || !strings.Contains(log, `"error":`) {
					t.Errorf("%s %s: the request id or the error is not in the log: %s", q[0], q[1], log)
				}
			}
			if name == "a panic" && (strings.Contains(f.log.String(), secret) || !strings.Contains(f.log.String(), "failure_test.go")) {
				t.Errorf("want the stack and not the value of the panic in the log: %s", f.log)
			}
		})
	}
}

// A request's id is ours, or the platform's; that of its client is noted beside it.
func TestRequestID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id    string
		noted bool
	}{
		"a word":       {"abc-1.2_3", true},
		"a trace":      {"Root=1-67891233-abcdef012345678912345678", true},
		"none":         {"", false},
		"128":          {strings.Repeat("a", 128), true},
		"129":          {strings.Repeat("a", 129), false},
		"a space":      {"a b", false},
		"a line":       {"a\nb", false},
		"a quote":      {`a"b`, false},
		"not in ASCII": {"é", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			ask := func(ctx context.Context) (id string, line map[string]any) {
				r := request("GET", "/v1/actions/none", "", f.token).WithContext(ctx)
				r.Header["X-Request-Id"] = []string{test.id}
				id = f.do(r, nil).header.Get("X-Request-Id")
				for text := range strings.Lines(f.log.String()) {
					if strings.Contains(text, id) {
						if err := json.Unmarshal([]byte(text), &line); err != nil {
							t.Fatal(err)
						}
					}
				}
				return id, line
			}
			id, line := ask(t.Context())
			if id == "" || id == test.id || line["request_id"] != id {
				t.Errorf("answered %q to %q, logged %v", id, test.id, line)
			}
			if noted := line["client_request_id"] == test.id; noted != test.noted {
				t.Errorf("client_request_id of %q is %v", test.id, line["client_request_id"])
			}
			if id, line = ask(logline.Begin(t.Context(), slog.String(logline.RequestID, "the-platforms"))); id != "the-platforms" || line["request_id"] != id {
				t.Errorf("with the platform's id: answered %q, logged %v", id, line)
			}
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("GET", "/readyz", "", "Authorization", "").want(200)
	f = newFixture(t, func(c *api.Config) {
		c.Ready = func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the check has no deadline")
			}
			return errors.New(secret)
		}
	})
	f.call("GET", "/readyz", "", "Authorization", "").fault(503, "unavailable")
	f.call("GET", "/healthz", "", "Authorization", "").want(200)
}

// cut is a body that ends too early.
type cut struct{ io.Reader }

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestBodyThatIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := request("POST", "/v1/actions", "", f.token)
	r.Body = io.NopCloser(cut{strings.NewReader(deploy)})
	f.do(r, nil).fault(422, "invalid_request")
	if got := f.snapshot(); len(got.Actions) != 0 {
		t.Errorf("got %v stored", got.Actions)
	}
}

// What a request carries does not reach the log.
func TestLogHoldsNoInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	f.call("POST", "/v1/actions/deploy/runs?x="+secret, `{"properties":{"service":"`+secret+`"}}`, "Idempotency-Key", secret, "X-Custom", secret).want(202)
	f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"`+secret+`":1},"`+secret+`":2}`).want(422)
	f.call("GET", "/v1/actions/"+secret, "").want(404)
	if log := f.log.String(); strings.Contains(log, secret) {
		t.Errorf("the log holds it: %s", log)
	}
}
