package trigger

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/permission"
	"longshore/pkg/run"
)

// Approvers says who may approve runs.
type Approvers interface {
	// Approvers returns the users who may approve a run that is about to wait, none where only the
	// organization's client may. fault.Invalid when the action's permissions name nobody at all;
	// fault.Unavailable.
	Approvers(ctx context.Context, q permission.Question) ([]permission.Approver, error)
}

// findApprovers finds out who may approve the run, if it needs approval.
func (t *Trigger) findApprovers(ctx context.Context, c *checked) error {
	if !c.Definition.ApprovalRequired {
		return nil
	}
	finding, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	found, err := t.Approvers.Approvers(finding, permission.Question{
		Caller: c.caller, Action: c.Entry, Inputs: c.inputs, Entity: c.entity, At: t.now(),
	})
	switch {
	case err != nil && (ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable):
		return notRecorded(err)
	case err != nil && finding.Err() != nil:
		return fault.New(fault.Invalid, "template_limit", "inputs, entity and permissions took more than %s", Deadline)
	case err != nil:
		return fmt.Errorf("find the approvers of a run: %w", err)
	}
	c.approvers = []run.Approver{}
	known := map[string]bool{}
	for _, a := range found {
		if !known[a.UserID] {
			known[a.UserID] = true
			c.approvers = append(c.approvers, run.Approver{UserID: a.UserID, Email: a.Email})
		}
	}
	if all := (&run.Run{RequiredApproval: c.Definition.RequiredApproval}).NeedsAll(); all && len(c.approvers) > run.MaxApprovers {
		return fault.New(fault.Invalid, "too_many_approvers", "action %s needs the approval of all of %d approvers, at most %d are possible",
			c.Definition.Identifier, len(c.approvers), run.MaxApprovers)
	}
	return nil
}

// await makes the run of a plan wait for approval: its message is sent once it is approved, and those
// who approve are told.
func (t *Trigger) await(p *plan, c *checked, now time.Time) error {
	p.run.Await(now, t.ApprovalTimeout)
	p.message = nil
	p.link = t.linkTo(c, p.run.ID)
	p.body.Approval = &run.Approval{Approvers: c.approvers}
	line, err := t.notices(p, c, now)
	if err != nil {
		return err
	}
	p.line = firstLine(p.run.ID, line, now)
	for _, n := range p.notices {
		p.body.Approval.Notices = append(p.body.Approval.Notices, n.run.ID)
	}
	return nil
}
