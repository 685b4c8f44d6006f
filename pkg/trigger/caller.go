package trigger

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// maxEmail is the longest e-mail address, in bytes.
const maxEmail = 254

// by finds out who the run is by: the caller, or the user that run_as names. fault.Forbidden for a
// run_as of a user, fault.Invalid with the path run_as for one that names nobody.
func (c *checked) by(ctx context.Context, q Request, users identity.Users) error {
	c.caller, c.source = q.Caller, run.SourceAPI
	if q.Caller.User != nil {
		c.source = run.SourceUI
	}
	switch {
	case q.RunAs == "":
		return nil
	case !q.Caller.Machine:
		return fault.New(fault.Forbidden, "", "only a machine token may use run_as")
	case !isEmail(q.RunAs):
		return fault.InvalidDetails([]fault.Detail{{Path: "run_as", Message: "must be an e-mail address"}})
	}
	user, err := users.Caller(ctx, q.RunAs)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return fault.InvalidDetails([]fault.Detail{{Path: "run_as", Message: "there is no active user with this e-mail"}})
	case ctx.Err() != nil, fault.KindOf(err) == fault.Unavailable:
		return notRecorded(err)
	case err != nil:
		return fmt.Errorf("look up the user of a run: %w", err)
	}
	c.caller, c.impersonatedBy = user, q.Caller.ID
	return nil
}

// isEmail reports whether a text may be an e-mail address. Whether there is one is for the directory
// to say.
func isEmail(text string) bool {
	local, domain, found := strings.Cut(text, "@")
	return found && local != "" && domain != "" && len(text) <= maxEmail && !strings.Contains(domain, "@") &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) })
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
