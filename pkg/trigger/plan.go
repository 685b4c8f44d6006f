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
	inputs  *jqtemplate.Object
	data    *jqtemplate.Object
	failed  []jqtemplate.Warning
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
		Source:           run.SourceAPI,
		RequiredApproval: d.RequiredApproval,
		UserID:           c.caller.ID,
		CreatedBy:        c.caller.ID,
		UpdatedBy:        c.caller.ID,
		CreatedAt:        now,
	}
	who := user(c.caller.ID)
	properties := jqtemplate.Encode(c.inputs)
	p := &plan{
		run:    r,
		body:   &run.Body{Properties: properties, User: jqtemplate.Encode(who)},
		inputs: c.inputs,
	}
	var err error
	if d.Generation == action.V1 {
		if report {
			p.data = t.triggerData(c, r, who)
		}
		var message []byte
		if message, err = t.runMessage(c, r, who, properties); err == nil {
			p.body.Invocation, err = invokeV1(d, c.inputs, message)
		}
	} else {
		p.data = t.triggerData(c, r, who)
		p.body.Invocation, p.failed, err = invokeV2(ctx, d, p.data, report)
	}
	if err != nil {
		return nil, err
	}
	dispatchOwn(p.body.Invocation, t.GitHubApp)
	r.Backend = p.body.Invocation.Backend
	waiting := run.Waiting(r.Backend, t.Configured)
	r.Start(now, waiting)
	p.line = firstLine(id, waiting, now)
	if waiting == "" {
		p.message = &queue.Message{
			V: queue.Version, PK: id, Generation: r.Generation, Kind: queue.KindRun, Invocation: p.body.Invocation,
		}
	}
	return p, nil
}

// firstLine is the log line of a run that waits, nil for any other.
func firstLine(id, waiting string, now time.Time) *run.Log {
	if waiting == "" {
		return nil
	}
	return run.NewLog(now, id, run.Own, waiting)
}
