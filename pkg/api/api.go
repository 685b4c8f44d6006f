// Package api is Longshore's HTTP API: Port's routes for actions, runs and their logs and for
// the catalog, and what an operator asks a process for. It knows nothing of AWS: the Lambda
// functions and the local process serve the same handler.
//
// It promises:
//   - every answer, faults, unknown routes and panics included, is JSON with a boolean "ok"; faults
//     carry a stable word and a sentence, and details where there are several;
//   - a request is refused as a whole, with every fault that it has, and nothing of it is stored;
//   - no body over MaxBody is read, and no answer over MaxAnswer is written;
//   - no body, header, input or token reaches the log.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/inbound"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/trace"
	"longshore/pkg/trigger"
)

const (
	// MaxBody is the largest request body in bytes; a larger one is answered with 413.
	MaxBody = 1 << 20
	// MaxAnswer is the largest answer in bytes: below the 6 MB that a Lambda function may return.
	MaxAnswer = 5_000_000
)

// Starter starts and restarts runs; *trigger.Trigger is one.
type Starter interface {
	Start(ctx context.Context, q trigger.Request) (*trigger.Started, error)
	DryRun(ctx context.Context, q trigger.Request) (*trigger.Dry, error)
	Redeliver(ctx context.Context, by identity.Caller, id string) (*run.Record, error)
}

// Tokens issues machine tokens and tells who a token stands for; *identity.Access and *identity.Tokens
// are one.
type Tokens interface {
	// Issue exchanges a client's credentials for a token. fault.Unauthorized for wrong ones.
	Issue(clientID, clientSecret string) (token string, expiresIn time.Duration, err error)
	// Verify tells who a token stands for. fault.Unauthorized for one that is not valid,
	// fault.Unavailable when that cannot be told now.
	Verify(ctx context.Context, token string) (identity.Caller, error)
}

// Config is what the API works with.
type Config struct {
	Tokens  Tokens
	Actions action.Store
	// Cache reads Actions.
	Cache *action.Cache
	Runs  run.Store
	// Catalog has the blueprints and entities. It is nil in a function that does not serve their routes:
	// the gateway sends those elsewhere, and what reaches them here nevertheless is answered with 404.
	Catalog *catalog.Service
	// Organization has the settings and the secrets; nil as Catalog.
	Organization *organization.Service
	// Audit is the audit log; nil where Catalog is.
	Audit audit.Store
	// Starter is nil in a function that starts no runs: the gateway sends those routes elsewhere,
	// and what reaches them here nevertheless is answered with 404.
	Starter Starter
	// Decider is nil where Starter is.
	Decider Decider
	// AgentKafka returns what agents reach Kafka with, nil when they have nothing; it is nil where Kafka is
	// not configured.
	AgentKafka func(context.Context) (*KafkaCredentials, error)
	// Sealer opens what agents are sent of runs with secrets.
	Sealer *secret.Sealer
	Log    *slog.Logger
	// Ready reports whether everything that requests need can be used; nil means always.
	Ready func(context.Context) error
	// Metrics answers GET /metrics; nil means that there is no such route.
	Metrics http.Handler
	// Addresses are those of this API in definitions whose calls carry its own token; nil where they are not
	// known: then the request's host says what may be one.
	Addresses func() []string
	// Trace records a step for each request; nil records none.
	Trace *trace.Tracer
	// Hosts are what is known of the hosts of backends, Configured says to which backends this deployment
	// can deliver; nil where Catalog is.
	Hosts      Hosts
	Configured func(backend string) bool
	// GitHubEvents takes GitHub's events; nil in a deployment that takes none.
	GitHubEvents inbound.Receiver
	// GitLabEvents takes GitLab's events; nil in a deployment that takes none.
	GitLabEvents inbound.Receiver
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

type server struct {
	Config
	router *router
	// judge is nil where there is no catalog.
	judge *permission.Judge
}

// New returns the handler of the whole API. It is safe for concurrent use. Time-outs of connections
// belong to the server that it runs in.
func New(c Config) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &server{Config: c, router: newRouter(routes)}
	if c.Catalog != nil {
		s.judge = permission.New(permission.Config{Catalog: c.Catalog.Reader(), Now: c.Now})
	}
	return s
}

// now is the time as it is stored and answered: in UTC, whole milliseconds.
func (s *server) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// request is a request whose route is known and whose caller may use it.
type request struct {
	*http.Request
	caller identity.Caller
	params map[string]string
	// body is the whole body of a route that takes one.
	body []byte
}

// ServeHTTP answers one request: which route, may the caller, is the body small enough, what does
// the handler say.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.Now()
	found := s.router.find(r.Method, r.URL.EscapedPath())
	r, id, span := s.observed(r, found)
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")

	status, err := s.serve(w, r, found)
	over(span, status, err)
	level := slog.LevelInfo
	attributes := []slog.Attr{slog.String("method", r.Method), slog.String("route", found.pattern), slog.Int("status", status),
		slog.Int64("ms", s.Now().Sub(start).Milliseconds())}
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
		attributes = append(attributes, slog.Any("error", err))
	case found.route != nil && found.access == Open && r.Method == http.MethodGet:
		level = slog.LevelDebug
	}
	s.Log.LogAttrs(r.Context(), level, "request", attributes...)
}

// serve writes the answer and returns its status and the fault in it.
func (s *server) serve(w http.ResponseWriter, r *http.Request, found match) (status int, err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = &panicError{value: p, stack: debug.Stack()}
			status = writeFault(w, err)
		}
	}()
	if found.route != nil && found.raw != nil {
		if _, err := s.authorize(r, found.access, found); err != nil {
			return writeFault(w, err), err
		}
		return found.raw(s, w, r)
	}
	a, err := s.answer(w, r, found)
	if err == nil {
		status, err = a.write(w)
	}
	if err != nil {
		return writeFault(w, err), err
	}
	return status, nil
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, found match) (*answer, error) {
	// An unknown route needs a token too: who has none learns nothing. Neither does a method that is not
	// there ask for more.
	access := Member
	if found.route != nil || found.access == Open || found.access == Loopback {
		access = found.access
	}
	caller, err := s.authorize(r, access, found)
	switch {
	case err != nil:
		return nil, err
	case found.route == nil && found.pattern == "":
		return nil, noRoute()
	case found.route == nil:
		w.Header().Set("Allow", found.allow)
		return nil, fault.New(fault.MethodNotAllowed, "", "this route takes %s, not %s", found.allow, r.Method)
	}
	q := &request{Request: s.permitted(r, caller), caller: caller, params: found.params}
	if found.body {
		if q.body, err = readBody(w, r); err != nil {
			return nil, err
		}
	}
	return found.handle(s, q)
}

// panicError is a fault of ours that a handler did not survive.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	if err, ok := e.value.(error); ok {
		return "panic: " + err.Error() + "\n" + string(e.stack)
	}
	// Other values may hold anything, a payload too.
	return "panic\n" + string(e.stack)
}

// gone reports an error that only says that nobody waits for the answer any more, or that the time
// for it is over.
func gone(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
