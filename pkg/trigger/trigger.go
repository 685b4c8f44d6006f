// Package trigger starts runs: is there such an action, are the inputs right, what is to be sent,
// and then record first, send second.
//
// It promises:
//   - a run that Start answers is recorded; its message is sent, or the sweeper sends it;
//   - a request that is refused has stored nothing and has bound no idempotency key;
//   - what a template rendered is checked before it is accepted, so that a dispatcher never meets a
//     URL, a method or a header that cannot be sent;
//   - a secret is in nothing that is stored, shown, queued or answered, but for what is sealed;
//   - inputs, entity and templates of one request take at most Deadline;
//   - an event starts one run of an automation, however often StartEvent is called with it.
package trigger

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/trace"
)

// Deadline is how long inputs, entity and templates of one trigger may take together.
const Deadline = 5 * time.Second

// retryAfter is what a caller is told to wait when a run could not be recorded, or is being recorded
// under the same idempotency key.
const retryAfter = time.Second

// Accepter records a run and sends its first message, in this order or in one commit. When it
// returns an error nothing was accepted, or the sweeper sends the message; m is nil for a run that
// waits. Line is its first log line, nil for none. Errors: fault.Unavailable, fault.Conflict when
// the run id is taken.
type Accepter interface {
	Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error
}

// Actions finds compiled definitions; *action.Cache is one.
type Actions interface {
	// Get returns a definition by identifier. fault.NotFound when there is none.
	Get(ctx context.Context, identifier string) (*action.Entry, error)
}

// Entities finds the entities that runs are for; *catalog.Reader is one.
type Entities interface {
	// Lookup returns an entity of a blueprint, whole, as GET returns it, and whether it satisfies a
	// condition; nil is satisfied by all. fault.NotFound when it or its blueprint is not there.
	Lookup(ctx context.Context, blueprint, identifier string, condition *catalog.Search) (entity *jqtemplate.Object, satisfies bool, err error)
	// Resolve looks for what inputs name, all at once; the result has one for each, in order.
	Resolve(ctx context.Context, references []catalog.Reference) ([]catalog.Referent, error)
	// Caller returns what Search.Bind asks about a user, who is nobody for an empty e-mail.
	Caller(ctx context.Context, email string) func(catalog.ContextProperty) ([]any, error)
}

// Runs is what a trigger needs of a run.Store, whose comments say what the methods promise.
type Runs interface {
	Create(ctx context.Context, r *run.Run, b *run.Body) error
	Read(ctx context.Context, id string) (*run.Record, error)
	Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
	Reserved(ctx context.Context, key string, now time.Time) (held run.Reservation, found bool, err error)
	Reserve(ctx context.Context, want run.Reservation, now time.Time) (held run.Reservation, won bool, err error)
}

// Config is what a trigger works with. Actions, Entities, Permissions, Approvers, Users, Runs, Accepter,
// Sender, Configured and Log are required; ClientSecret and Key where inputs are encrypted.
type Config struct {
	Actions  Actions
	Entities Entities
	// Permissions says who may execute what; Approvers who may approve it.
	Permissions Permissions
	Approvers   Approvers
	// Users are those whom run_as may name.
	Users    identity.Users
	Runs     Runs
	Accepter Accepter
	// Sender carries the messages of redelivered runs and of notices; first messages are Accepter's.
	Sender queue.Sender
	// Secrets are those that templates may read, nil for none, and Sealer seals what was made of them.
	Secrets Secrets
	Sealer  *secret.Sealer
	// Streamer says which way runs go to agents; nil means that all wait to be claimed.
	Streamer Streamer
	// ApprovalTimeout is how long a run waits for approval; 0 means run.ApprovalTimeout.
	ApprovalTimeout time.Duration
	// Mails says that this deployment sends e-mails.
	Mails bool
	// BaseURL is the address that clients use, for links; empty means that of the request, and of Address for
	// runs that no request starts.
	BaseURL string
	// Address returns where this process is reached; nil means nowhere that it knows of.
	Address func() string
	// OrgID is the organization's id, as trigger data and run messages show it.
	OrgID string
	// ClientSecret is the organization's current one; inputs are encrypted under it.
	ClientSecret string
	// Key keys the hashes of requests with an idempotency key, for they hold inputs that are secret: it
	// must stay the same for as long as such a key is remembered, whatever becomes of ClientSecret.
	Key []byte
	// Configured says whether this deployment has a backend; runs for any other wait.
	Configured func(backend string) bool
	// GitHubApp is the id of this deployment's GitHub App, empty for none: an INTEGRATION_ACTION of that
	// installationId is dispatched, any other waits to be claimed.
	GitHubApp string
	// Trace records a step for each run that is asked for; nil records none.
	Trace *trace.Tracer
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// NewID draws run ids; nil means run.NewID.
	NewID func(now time.Time) string
}

// Request asks for a run.
type Request struct {
	Caller identity.Caller
	// Action is the identifier.
	Action string
	// Blueprint, unless it is empty, is the one that the action must be of: to the request there is no other.
	Blueprint string
	// Properties and Entity are as the body had them; Properties is nil when it had none.
	Properties *jqtemplate.Object
	Entity     string
	// RunAs is the run_as parameter, empty when absent.
	RunAs string
	// IdempotencyKey is the header's value, empty when absent.
	IdempotencyKey string
	// Address is where the request came in: scheme and host.
	Address string
}

// Started is a run that was accepted, or that an idempotency key answered again.
type Started struct {
	Record   *run.Record
	Replayed bool
}

// Dry is what a request would have started.
type Dry struct {
	// Invocation is the rendered invocation method, with its type.
	Invocation json.RawMessage
	// TriggerData is what the templates saw, without "secrets".
	TriggerData json.RawMessage
	// FailedExpressions yielded null because they failed.
	FailedExpressions []jqtemplate.Warning
	// Warnings are the definition's expressions that do not compile.
	Warnings []jqtemplate.Warning
}

// Trigger starts runs. It is safe for concurrent use.
type Trigger struct {
	Config

	// hashKey is of the hashes of requests.
	hashKey []byte

	mu sync.Mutex
	// texts are by the internal id of the action.
	texts map[string]definitionText
}

// New returns a trigger.
func New(c Config) *Trigger {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sealer == nil {
		c.Sealer = secret.NewSealer(nil)
	}
	if c.NewID == nil {
		c.NewID = run.NewID
	}
	if c.ApprovalTimeout <= 0 {
		c.ApprovalTimeout = run.ApprovalTimeout
	}
	return &Trigger{Config: c, hashKey: hashKey(c.Key), texts: map[string]definitionText{}}
}

// WithKeys returns a trigger that works with the same, and with other keys.
func (t *Trigger) WithKeys(clientSecret string, key []byte) *Trigger {
	c := t.Config
	c.ClientSecret, c.Key = clientSecret, key
	return New(c)
}

// now is the time as runs store it: UTC, in milliseconds.
func (t *Trigger) now() time.Time { return t.Now().UTC().Truncate(time.Millisecond) }

// Start records a run and sends its message. Errors: fault.NotFound for an unknown action or entity,
// fault.Forbidden for who may not execute the action, fault.Invalid for everything that the request or
// the definition has wrong (condition_not_met, idempotency_key_reused, template_limit, …),
// fault.Conflict request_in_progress, fault.Unavailable when nothing was accepted.
func (t *Trigger) Start(ctx context.Context, q Request) (_ *Started, err error) {
	ctx, span := t.Trace.Start(ctx, "trigger", trace.Internal, slog.String("longshore.action", q.Action))
	defer func() { over(span, err) }()
	now := t.now()
	entry, err := t.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.IdempotencyKey != "" {
		if started, err := t.earlier(ctx, q, entry, now); started != nil || err != nil {
			return started, err
		}
	}
	c, err := t.check(ctx, q, entry)
	if err != nil {
		return nil, err
	}
	p, err := t.plan(ctx, c, t.NewID(now), now, false)
	if err != nil {
		return nil, err
	}
	if q.IdempotencyKey != "" {
		held, won, err := t.Runs.Reserve(ctx, t.reservation(q, entry, p.run.ID, now), now)
		switch {
		case err != nil:
			return nil, notRecorded(err)
		case !won:
			return t.replay(ctx, q, entry, held)
		case held.RunID != p.run.ID:
			// The key's earlier holder died before its run existed: this request is that run now.
			if p, err = t.plan(ctx, c, held.RunID, now, false); err != nil {
				return nil, err
			}
		}
	}
	of(ctx, span, p.run)
	if err := t.recordNotices(ctx, p); err != nil {
		return nil, notRecorded(err)
	}
	err = t.Accepter.Accept(ctx, p.run, p.body, p.message, p.line)
	if fault.KindOf(err) == fault.Conflict && q.IdempotencyKey != "" {
		return t.overtaken(ctx, c, p)
	}
	if err != nil {
		return nil, notRecorded(err)
	}
	t.sendNotices(ctx, p)
	t.Log.LogAttrs(ctx, slog.LevelInfo, "run accepted", slog.String("run_id", p.run.ID),
		slog.String("action", p.run.Action.Identifier), slog.String("backend", p.run.Backend),
		slog.String("waiting", p.run.Delivery.Waiting))
	return &Started{Record: &run.Record{Run: p.run, Body: *p.body}}, nil
}

// DryRun checks and renders like Start; it stores and sends nothing and binds no idempotency key.
func (t *Trigger) DryRun(ctx context.Context, q Request) (*Dry, error) {
	now := t.now()
	entry, err := t.find(ctx, q)
	if err != nil {
		return nil, err
	}
	c, err := t.check(ctx, q, entry)
	if err != nil {
		return nil, err
	}
	p, err := t.plan(ctx, c, t.NewID(now), now, true)
	if err != nil {
		return nil, err
	}
	shown := new(jqtemplate.Object)
	for name, value := range p.data.All() {
		if name != "secrets" {
			shown.Set(name, value)
		}
	}
	return &Dry{
		Invocation:        p.body.Invocation.Readable(),
		TriggerData:       jqtemplate.Encode(shown),
		FailedExpressions: append(c.failed, p.failed...),
		Warnings:          c.Definition.Warnings,
	}, nil
}

// find returns the definition that a request asks for.
func (t *Trigger) find(ctx context.Context, q Request) (*action.Entry, error) {
	entry, err := t.Actions.Get(ctx, q.Action)
	if err == nil && q.Blueprint != "" && entry.Definition.Blueprint != q.Blueprint {
		return nil, fault.New(fault.NotFound, "", "the blueprint %q has no action %q", q.Blueprint, q.Action)
	}
	return entry, err
}

// notRecorded answers a store that could not write: nothing was accepted.
func notRecorded(err error) error {
	if e, ok := asFault(err); ok && e.Kind == fault.Unavailable && e.RetryAfter > 0 {
		return err
	}
	return fault.Busy(err, retryAfter, "the run could not be recorded; nothing was accepted")
}
