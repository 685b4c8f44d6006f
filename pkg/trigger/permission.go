package trigger

import (
	"context"

	"longshore/pkg/fault"
	"longshore/pkg/permission"
)

// Permissions decides who may execute actions; *permission.Judge does.
type Permissions interface {
	// Execute returns a fault.Forbidden when a run may not start.
	Execute(ctx context.Context, q permission.Question) error
}

// permit refuses a request whose caller may not execute the action. Nothing was written by then.
func (t *Trigger) permit(ctx context.Context, c *checked) error {
	judging, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	err := t.Permissions.Execute(judging, permission.Question{
		Caller: c.caller, Action: c.Entry, Inputs: c.inputs, Entity: c.entity, At: t.now(),
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable:
		return notRecorded(err)
	case judging.Err() != nil:
		return fault.New(fault.Invalid, "template_limit", "inputs, entity and permissions took more than %s", Deadline)
	}
	return err
}
