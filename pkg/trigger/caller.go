package trigger

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// by finds out who the run is by: the caller, or the user that run_as names. fault.Forbidden for a
// run_as of a user, fault.Invalid with the path run_as for one that names nobody.
func (c *checked) by(ctx context.Context, q Request, users identity.Users) error {
	c.caller, c.source = q.Caller, run.SourceAPI
	if q.Caller.User != nil {
		c.source = run.SourceUI
	}
	user, err := identity.As(ctx, users, q.Caller, q.RunAs)
	switch kind := fault.KindOf(err); {
	case err == nil:
	case kind == fault.Forbidden, kind == fault.Invalid:
		return err
	case ctx.Err() != nil, kind == fault.Unavailable:
		return notRecorded(err)
	default:
		return fmt.Errorf("look up the user of a run: %w", err)
	}
	if q.RunAs != "" {
		c.caller, c.impersonatedBy = user, q.Caller.ID
	}
	return nil
}

// email is that of a run's user, empty for a machine.
func email(c identity.Caller) string {
	if c.User == nil {
		return ""
	}
	return c.User.Email
}

// user is who a run is by, as trigger data, run messages and runs show it. Of a machine only the id is
// known.
func user(c identity.Caller) *jqtemplate.Object {
	names := []string{"id", "email", "firstName", "lastName", "phoneNumber", "picture", "providers", "status", "createdAt", "updatedAt"}
	o := new(jqtemplate.Object)
	o.Grow(len(names))
	for _, name := range names {
		o.Set(name, nil)
	}
	o.Set("id", c.ID)
	if u := c.User; u != nil {
		o.Set("email", u.Email)
		o.Set("firstName", u.FirstName)
		o.Set("lastName", u.LastName)
		o.Set("providers", []any{})
		o.Set("status", u.Status)
		o.Set("createdAt", timeText(u.CreatedAt))
		o.Set("updatedAt", timeText(u.UpdatedAt))
	}
	return o
}

// timeText is a time in RFC 3339 with milliseconds.
func timeText(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z07:00") }
