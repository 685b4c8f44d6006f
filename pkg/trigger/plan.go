package trigger

import (
	"context"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// plan is what a request comes to, before anything of it is written.
type plan struct {
	run     *run.Run
	body    *run.Body
	message *queue.Message
	line    *run.Log
	data    *jqtemplate.Object
	failed  []jqtemplate.Warning
	// installation is who claims the run, empty for one that is delivered.
	installation string
	// user is trigger.by.user.
	user *jqtemplate.Object
	// link is where a run that waits for approval can be read; notices are its.
	link    string
	notices []notice
}

// plan renders a request as the run of that id. Report collects the failed expressions.
func (t *Trigger) plan(ctx context.Context, c *checked, id string, now time.Time, report bool) (*plan, error) {
	rendering, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	p, err := t.render(rendering, c, id, now, report)
	switch {
	case ctx.Err() != nil:
		// Whoever asked is gone or out of time: no fault of the template.
		return nil, notRecorded(ctx.Err())
	case err == nil && rendering.Err() != nil:
		return nil, fault.New(fault.Invalid, "template_limit", "inputs, entity and templates took more than %s", Deadline)
	case err == nil:
		p.note(failedText(c.failed), now)
	}
	return p, err
}

func (t *Trigger) render(ctx context.Context, c *checked, id string, now time.Time, report bool) (*plan, error) {
	d := c.Definition
	r := &run.Run{
		ID:               id,
		Action:           run.Action{Identifier: d.Identifier, Title: d.Title, Icon: d.Icon, ID: c.Record.ID},
		Blueprint:        d.Blueprint,
		Entity:           c.entityID,
		Source:           c.source,
		RequiredApproval: d.RequiredApproval,
		UserID:           c.caller.ID,
		UserEmail:        email(c.caller),
		ImpersonatedBy:   c.impersonatedBy,
		CreatedBy:        c.caller.ID,
		UpdatedBy:        c.caller.ID,
		CreatedAt:        now,
		Private:          d.PrivateRuns,
	}
	who := user(c.caller)
	properties := jqtemplate.Encode(c.properties)
	p := &plan{
		run:  r,
		body: &run.Body{Properties: properties, User: jqtemplate.Encode(who)},
		user: who,
	}
	var err error
	if d.Generation == action.V1 {
		if report {
			p.data = t.triggerData(c, r, who)
		}
		var message []byte
		if message, err = t.runMessage(c, r, who, properties, "TRIGGERED"); err == nil {
			p.body.Invocation, err = invokeV1(d, c.properties, message)
		}
		if err == nil {
			err = t.route(ctx, p, p.body.Invocation)
		}
	} else {
		p.data = t.triggerData(c, r, who)
		err = t.invoke(ctx, c, p, report)
	}
	if err != nil {
		return nil, err
	}
	t.begin(p, now)
	if d.ApprovalRequired {
		return p, t.await(p, c, now)
	}
	return p, nil
}

// begin puts the run of a plan that has its invocation into its first state, and makes its message.
func (t *Trigger) begin(p *plan, now time.Time) {
	r := p.run
	r.Backend = p.body.Invocation.Backend
	if p.installation != "" {
		r.Pending = run.Claimable{Installation: p.installation, Method: p.body.Invocation.Type}
	}
	waiting := run.Waiting(r.Backend, t.Configured)
	r.Start(now, waiting)
	p.line = firstLine(r.ID, waiting, now)
	if waiting != "" {
		return
	}
	p.message = &queue.Message{
		V: queue.Version, PK: r.ID, Generation: r.Generation, Kind: queue.KindRun, Invocation: p.body.Invocation,
	}
	if p.body.Secrets {
		p.message.Invocation = nil
	}
}

// firstLine is the log line of a run that waits, nil for any other.
func firstLine(id, waiting string, now time.Time) *run.Log {
	if waiting == "" {
		return nil
	}
	return run.NewLog(now, id, run.Own, waiting)
}

// note puts a text in front of the run's first log line.
func (p *plan) note(text string, now time.Time) {
	switch {
	case text == "":
	case p.line == nil:
		p.line = firstLine(p.run.ID, text, now)
	default:
		p.line.Message = text + "\n" + p.line.Message
	}
}
