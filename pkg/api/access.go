package api

import (
	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/run"
)

// Access says who may use a route.
type Access uint8

const (
	// Undecided is a route that nobody thought about: nobody may use it, and it fails a test.
	Undecided Access = iota
	// Open needs no token.
	Open
	// Loopback needs no token on a connection to a loopback address; elsewhere it is AdminOnly.
	Loopback
	// Member is for everybody with a token. Where more is asked for, as of reports on a run, the handler
	// asks.
	Member
	// Moderates is for whoever administers, and for Moderators as far as the handler finds the action to
	// be one that they moderate: see mayChange.
	Moderates
	// Entities is for everybody as far as the permissions of the blueprint in the path go, which are
	// asked when an entity is about to be written, but for users and teams: these are AdminOnly.
	Entities
	// AdminOnly is for Admins and machines.
	AdminOnly
)

// permit lets a caller who has a token pass by the access of a route, or is a fault.Forbidden. Params are
// the route's.
func (a Access) permit(c identity.Caller, params map[string]string) error {
	switch {
	case a == Open, a == Member, a != Undecided && c.Administers():
		return nil
	case a == Moderates && c.User != nil && c.User.Role == identity.Moderator:
		return nil
	case a == Entities && !catalog.IsSystem(params["blueprint_identifier"]):
		return nil
	case a == Entities:
		return forbidden("only admins and machine tokens may change users and teams")
	case a == Moderates:
		return forbidden("only admins, moderators of the blueprint and machine tokens may use this route")
	case a == Undecided:
		return forbidden("nobody may use this route")
	}
	return forbidden("only admins and machine tokens may use this route")
}

func forbidden(format string, args ...any) error {
	return fault.New(fault.Forbidden, "", format, args...)
}

// mayChange lets those change an action who administer, and Moderators of its blueprint. What the
// action writes to the catalog must be theirs too: no permission of who runs it is asked for that. Nor may
// it call this deployment's own API, which it would do with the organization's token. Nor may it read
// secrets: whoever says where they are sent has them, and they are the admins'; a call that a run makes
// of the API may not change what reads them either. A definition that cannot be read is nil.
func (s *server) mayChange(r *request, d *action.Definition) error {
	c := r.caller
	switch {
	case c.Call != nil && (d == nil || !d.Method.Secrets.None()):
		return forbidden("a call that a run makes of this API may not change actions whose invocation method reads .secrets, or . as a whole")
	case c.Administers():
		return nil
	case d == nil || d.Kind != action.SelfService || !c.Moderates(d.Blueprint) || catalog.IsSystem(d.Blueprint):
		return forbidden("you may change only self-service actions of the blueprints that you moderate")
	case !d.Method.Secrets.None():
		return forbidden("only admins and machine tokens may change actions whose invocation method reads .secrets, or . as a whole")
	case d.Method.Type == "WEBHOOK" && s.mayCallOwn(r, d):
		return forbidden("only admins and machine tokens may change actions whose URL is this deployment's own API")
	case d.Method.Type == "UPSERT_ENTITY":
		target := text(within(d.Method.Raw, "blueprintIdentifier"))
		if !c.Moderates(target) || catalog.IsSystem(target) {
			return forbidden("the action may write entities only of a blueprint that you moderate, named without a template")
		}
	}
	return nil
}

// origin is what a caller's changes and runs come from, as a run's source names it.
func origin(c identity.Caller) string {
	if c.User != nil {
		return run.SourceUI
	}
	return run.SourceAPI
}
