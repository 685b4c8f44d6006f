package trigger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// maxKey is the longest idempotency key, in characters.
const maxKey = 255

// checked is a request that may start a run.
type checked struct {
	*action.Entry
	// cause is what the run follows from.
	cause audit.Cause
	// caller is who the run is by, impersonatedBy the client that said so by run_as, and source the run's.
	caller                 identity.Caller
	impersonatedBy, source string
	// until is when checking and rendering have to be done.
	until time.Time
	// inputs are the user inputs after defaults, encrypted where they are to be, as templates see them;
	// properties are the same as they are stored.
	inputs, properties *jqtemplate.Object
	// failed are the queries of the inputs that count as absent.
	failed []jqtemplate.Warning
	// entity is the whole entity that the run is for, called entityID; nil and empty for none.
	entity   *jqtemplate.Object
	entityID string
	// approvers are those of a run that needs approval, nil for any other.
	approvers []run.Approver
	// address is the request's.
	address string
}

// check checks everything about a request that needs no rendering.
func (t *Trigger) check(ctx context.Context, q Request, entry *action.Entry) (*checked, error) {
	d := entry.Definition
	switch {
	case d.Kind == action.Automation:
		return nil, fault.New(fault.Invalid, "", "%s is an automation: its event starts it, a request cannot", d.Identifier)
	case !d.Publish:
		return nil, fault.New(fault.Invalid, "", "action %s is not published, so that it cannot be executed", d.Identifier)
	}
	c := &checked{Entry: entry, address: q.Address, cause: q.Caller.Cause().OfStarted(), until: time.Now().Add(Deadline)}
	var details []fault.Detail
	if err := c.by(ctx, q, t.Users); err != nil {
		e, ok := asFault(err)
		if !ok || e.Kind != fault.Invalid || len(e.Details) == 0 {
			return nil, err
		}
		details = append(details, e.Details...)
	}
	if message := keyFault(q.IdempotencyKey); message != "" {
		details = append(details, fault.Detail{Path: "Idempotency-Key", Message: message})
	}
	if d.Blueprint != "" && q.Entity != "" {
		// Queries of the inputs see it.
		if err := t.lookUp(ctx, c, q.Entity); err != nil {
			return nil, err
		}
	}
	// Only a policy sees the inputs: otherwise who may not execute the action learns nothing of them. Of which
	// team an entity is that was left out cannot be known: that is said first.
	permissions, err := entry.Permissions()
	late := err != nil || permissions.Execute.Policy != nil || permissions.Execute.OwnedByTeam && c.entity == nil
	if !late {
		if err := t.permit(ctx, c); err != nil {
			return nil, err
		}
	}
	faults, err := t.completeInputs(ctx, c, q)
	if err != nil {
		return nil, err
	}
	details = append(details, faults...)
	if d.Blueprint != "" && d.Operation != action.Create && q.Entity == "" {
		details = append(details, fault.Detail{
			Path: "entity", Message: fmt.Sprintf("is required: %s is a %s action, which runs on an entity of the blueprint %s", d.Identifier, d.Operation, d.Blueprint),
		})
	}
	if err := fault.InvalidDetails(details); err != nil {
		return nil, err
	}
	if late {
		if err := t.permit(ctx, c); err != nil {
			return nil, err
		}
	}
	return c, t.findApprovers(ctx, c)
}

// lookUp reads the entity that a run is for and checks the action's condition.
func (t *Trigger) lookUp(ctx context.Context, c *checked, identifier string) error {
	ctx, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	d := c.Definition
	entity, satisfies, err := t.Entities.Lookup(ctx, d.Blueprint, identifier, d.Condition)
	switch {
	case err != nil && (ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable):
		return notRecorded(err)
	case err != nil:
		return fmt.Errorf("look up the entity of a run: %w", err)
	case !satisfies:
		message := fmt.Sprintf("the entity %q does not meet the condition of action %s", identifier, d.Identifier)
		return &fault.Error{
			Kind: fault.Invalid, Code: "condition_not_met", Message: message,
			Details: []fault.Detail{{Path: "entity", Message: message}},
		}
	}
	c.entity, c.entityID = entity, identifier
	return nil
}

// keyFault says what is wrong with an idempotency key, nothing when it is absent or right.
func keyFault(key string) string {
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "must be printable characters only"
	}
	if n := utf8.RuneCountInString(key); n > maxKey {
		return fmt.Sprintf("must be 1 to %d characters, but has %d", maxKey, n)
	}
	return ""
}

// asFault returns the first fault.Error in err's chain.
func asFault(err error) (*fault.Error, bool) {
	var e *fault.Error
	ok := errors.As(err, &e)
	return e, ok
}
