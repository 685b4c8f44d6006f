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
	// be one that they moderate: see moderatesAction.
	Moderates
	// Entities is for whoever administers, and for Moderators of the blueprint in the path, but for those
	// of users and teams.
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
	case a == Entities:
		blueprint := params["blueprint_identifier"]
		switch {
		case catalog.IsSystem(blueprint):
			return forbidden("only admins and machine tokens may change users and teams")
		case c.Moderates(blueprint):
			return nil
		}
		return forbidden("only admins, moderators of the blueprint and machine tokens may change its entities")
	case a == Moderates:
		return forbidden("only admins, moderators of an action's blueprint and machine tokens may change actions")
	case a == Undecided:
		return forbidden("nobody may use this route")
	}
	return forbidden("only admins and machine tokens may use this route")
}

func forbidden(format string, args ...any) error {
	return fault.New(fault.Forbidden, "", format, args...)
}

// moderatesAction lets those change an action who administer, and Moderators of its blueprint. What the
// action writes to the catalog must be theirs too: it would be written in nobody's name. A definition
// that cannot be read is nil.
func moderatesAction(c identity.Caller, d *action.Definition) error {
	switch {
	case c.Administers():
		return nil
	case d == nil || d.Kind != action.SelfService || !c.Moderates(d.Blueprint) || catalog.IsSystem(d.Blueprint):
		return forbidden("you may change only self-service actions of the blueprints that you moderate")
	case d.Method.Type == "UPSERT_ENTITY":
		target := text(within(d.Method.Raw, "blueprintIdentifier"))
		if !c.Moderates(target) || catalog.IsSystem(target) {
			return forbidden("the action may write entities only of a blueprint that you moderate, named without a template")
		}
	}
	return nil
}

// reports lets those report on a run, or restart it, who administer or whose run it is.
func reports(c identity.Caller, r *run.Run) error {
	if c.Administers() || c.ID != "" && c.ID == r.UserID {
		return nil
	}
	return forbidden("only the user of the run, admins and machine tokens may report on it or restart it")
}

// reaches refuses a write that goes beyond the blueprint that a caller moderates.
func reaches(c identity.Caller, q *query) error {
	for _, name := range []string{"create_missing_related_entities", "delete_dependents"} {
		if q.on(name) && !c.Administers() {
			return forbidden("only admins and machine tokens may use %s: it writes entities of other blueprints", name)
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
