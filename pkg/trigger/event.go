package trigger

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// Labels of runs of automations that end when they begin.
const (
	notStarted = "not started"
	loopCut    = "loop cut off"
)

// maxReason is how many bytes of what keeps a run from being started its log line has.
const maxReason = 16 << 10

// StartEvent starts the run of an automation that an event makes, and no second one when it is called again
// with the same event. A run that cannot be delivered, since its template fails, or since it follows from
// event.MaxDepth others, is recorded as a FAILURE whose log line says why. No permission is asked.
//
// Errors: fault.Unavailable when nothing was accepted; the automation's own Err when it cannot be read.
func (t *Trigger) StartEvent(ctx context.Context, e *event.Event, entry *action.Entry) error {
	if entry.Err != nil {
		return entry.Err
	}
	now := t.now()
	c := &checked{Entry: entry, source: run.SourceAutomation, until: time.Now().Add(Deadline)}
	if t.Address != nil {
		c.address = t.Address()
	}
	who, err := t.eventBy(ctx, c, e)
	if err != nil {
		return err
	}
	d := entry.Definition
	r := &run.Run{
		ID:     run.DerivedID(e.At, e.ID, entry.Record.ID),
		Action: run.Action{Identifier: d.Identifier, Title: d.Title, Icon: d.Icon, ID: entry.Record.ID},
		Source: c.source, UserID: e.UserID, UserEmail: e.Email, CreatedBy: e.UserID, UpdatedBy: e.UserID, CreatedAt: now,
		Cause: audit.Cause{EventID: e.ID, RunID: e.RunID, Depth: e.Depth + 1}, Private: d.PrivateRuns,
	}
	p := &plan{run: r, body: &run.Body{Properties: []byte("{}"), User: jqtemplate.Encode(who)}, user: who}
	if r.Cause.Depth > event.MaxDepth {
		p.refuse(d, now, loopCut, fmt.Sprintf("this run follows from %d runs of automations that set off one another, the last of them %s; "+
			"that looks like a loop, so that it is not delivered", e.Depth, e.RunID))
	} else if err := t.renderEvent(ctx, c, p, e, now); err != nil {
		return err
	}
	if err := t.recordFirstNotices(ctx, p); err != nil {
		return notRecorded(err)
	}
	switch err := t.Accepter.Accept(ctx, p.run, p.body, p.message, p.line); {
	case fault.KindOf(err) == fault.Conflict:
		// Started before.
		return nil
	case err != nil:
		return notRecorded(err)
	}
	t.sendNotices(ctx, p)
	t.Log.LogAttrs(ctx, slog.LevelInfo, "run of an automation accepted", slog.String("run_id", r.ID),
		slog.String("action", r.Action.Identifier), slog.String("backend", r.Backend), slog.String("event", e.ID),
		slog.Int("depth", r.Cause.Depth), slog.String("status", string(r.Status)), slog.String("waiting", r.Delivery.Waiting))
	return nil
}

// recordFirstNotices records the notices of a run that waits for approval, unless the event has started it
// before: its approvers are not told twice.
func (t *Trigger) recordFirstNotices(ctx context.Context, p *plan) error {
	if len(p.notices) == 0 {
		return nil
	}
	switch _, err := t.Runs.Read(ctx, p.run.ID); {
	case err == nil:
		p.notices = nil
		return nil
	case fault.KindOf(err) != fault.NotFound:
		return err
	}
	return t.recordNotices(ctx, p)
}

// eventBy finds out who an event is by and returns it as trigger data has users. Of a user who is not there
// any more, or is disabled, only id and e-mail are known.
func (t *Trigger) eventBy(ctx context.Context, c *checked, e *event.Event) (*jqtemplate.Object, error) {
	c.caller = identity.Caller{OrgID: t.OrgID, Machine: e.Email == "", ID: e.UserID}
	if e.Email == "" {
		return user(c.caller), nil
	}
	found, err := t.Users.Caller(ctx, e.Email)
	switch {
	case err == nil:
		c.caller = found
		return user(found), nil
	case fault.KindOf(err) != fault.NotFound:
		return nil, notRecorded(fmt.Errorf("look up the user of an event: %w", err))
	}
	who := user(c.caller)
	who.Set("email", e.Email)
	return who, nil
}

// renderEvent completes a plan by what the automation sends for an event, or by why it cannot. The error is
// a fault.Unavailable.
func (t *Trigger) renderEvent(ctx context.Context, c *checked, p *plan, e *event.Event, now time.Time) error {
	rendering, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	err := t.invokeEvent(rendering, c, p, e)
	if err == nil && rendering.Err() == nil {
		t.begin(p, now)
		err = t.awaitEvent(rendering, c, p, now)
	}
	switch {
	case ctx.Err() != nil:
		return notRecorded(ctx.Err())
	case err == nil && rendering.Err() == nil:
		return nil
	case fault.KindOf(err) == fault.Unavailable:
		return err
	case rendering.Err() != nil:
		p.refuse(c.Definition, now, notStarted, fmt.Sprintf("the template took more than %s", Deadline))
	default:
		reason := "internal error"
		if f, ok := asFault(err); ok && f.Kind != fault.Internal {
			reason = f.Message
		} else {
			t.Log.LogAttrs(ctx, slog.LevelError, "run of an automation not started",
				slog.String("run_id", p.run.ID), slog.String("action", p.run.Action.Identifier), slog.Any("error", err))
		}
		p.refuse(c.Definition, now, notStarted, reason)
	}
	return nil
}

// awaitEvent makes a run wait for approval if the automation requires it.
func (t *Trigger) awaitEvent(ctx context.Context, c *checked, p *plan, now time.Time) error {
	if !c.Definition.ApprovalRequired {
		return nil
	}
	p.run.RequiredApproval = c.Definition.RequiredApproval
	if err := t.findApprovers(ctx, c); err != nil {
		return err
	}
	return t.await(p, c, now)
}

func (t *Trigger) invokeEvent(ctx context.Context, c *checked, p *plan, e *event.Event) error {
	text, err := e.JSON(t.OrgID)
	if err != nil {
		return err
	}
	value, err := jqtemplate.Decode(text)
	if err != nil {
		return err
	}
	p.data = object(
		member{"inputs", nil},
		member{"trigger", object(
			member{"by", t.by(p.run, p.user)},
			member{"origin", p.run.Source},
			member{"at", stamp(p.run)},
			member{"operation", nil},
		)},
		member{"event", value},
		member{"entity", nil},
		member{"action", c.Value()},
		member{"run", object(member{"id", p.run.ID})},
		member{"secrets", new(jqtemplate.Object)},
		member{"user", p.user},
	)
	return t.invoke(ctx, c, p, false)
}

// refuse makes the run of a plan one that has failed before anything was sent.
func (p *plan) refuse(d *action.Definition, now time.Time, label, reason string) {
	r := p.run
	p.body.Invocation, p.body.Secrets, p.body.Sealed, p.body.Approval = nil, false, nil, nil
	p.message, p.notices = nil, nil
	r.Backend, r.Pending, r.RequiredApproval = backendOf(d), run.Claimable{}, nil
	r.Start(now, "")
	// It has not ended yet.
	_ = r.End(now, run.Own, run.Failure, label)
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	p.line = firstLine(r.ID, label+": "+reason, now)
}

// backendOf is the backend of an automation whose template yields nothing.
func backendOf(d *action.Definition) string {
	if d.Method.Type == typeWebhook {
		return invocation.BackendWebhook
	}
	return other(d.Method.Type, new(jqtemplate.Object), "", nil).Backend
}
