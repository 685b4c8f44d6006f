package identity

import (
	"context"
	"strings"
	"unicode"

	"longshore/pkg/fault"
)

// maxEmail is the longest e-mail address, in bytes.
const maxEmail = 254

// As returns the user whom a run_as names, as a caller; an empty one is the caller's own. fault.Forbidden for
// who is no machine, fault.Invalid with the path run_as for one that names nobody; other errors are those of
// Users.
func As(ctx context.Context, users Users, by Caller, email string) (Caller, error) {
	switch {
	case email == "":
		return by, nil
	case !by.Machine:
		return Caller{}, fault.New(fault.Forbidden, "", "only a machine token may use run_as")
	case !isEmail(email):
		return Caller{}, fault.InvalidDetails([]fault.Detail{{Path: "run_as", Message: "must be an e-mail address"}})
	}
	user, err := users.Caller(ctx, email)
	if fault.KindOf(err) == fault.NotFound {
		return Caller{}, fault.InvalidDetails([]fault.Detail{{Path: "run_as", Message: "there is no active user with this e-mail"}})
	}
	return user, err
}

// isEmail reports whether a text may be an e-mail address. Whether there is one is for the directory
// to say.
func isEmail(text string) bool {
	local, domain, found := strings.Cut(text, "@")
	return found && local != "" && domain != "" && len(text) <= maxEmail && !strings.Contains(domain, "@") &&
		!strings.ContainsFunc(text, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}
