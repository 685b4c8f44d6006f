// Package identity knows who calls: it issues and checks access tokens.
//
// It promises that a token is accepted only if this deployment signed it, or for a user the provider
// that it trusts; that credentials are compared in constant time; and that neither issuing a token nor
// checking a machine's reads a store.
package identity

import (
	"slices"
	"time"

	"longshore/pkg/audit"
)

// Role is what a user may do, as _user's port_role says.
type Role string

// Roles of users. A user without one is a Member.
const (
	Admin     Role = "Admin"
	Moderator Role = "Moderator"
	Member    Role = "Member"
)

// Caller is who made a request.
type Caller struct {
	OrgID string
	// Machine is true for the organization's client, which is bound to no user. It may do all that an
	// Admin may.
	Machine bool
	// ID is the client id of a machine, or the id of a user.
	ID string
	// User is the user; nil for a machine.
	User *User
	// Call is set on a machine that may make one call only: see Tokens.SignCall.
	Call *Call
}

// Call is a call of this deployment's own API that a run makes.
type Call struct {
	// Method is an HTTP method, Path the path of the request, decoded; its query is not bound.
	Method, Path string
	// Cause is what the call's changes follow from: the run that makes it.
	Cause audit.Cause
}

// Cause is what the caller's changes follow from: the zero Cause but for a call that a run makes.
func (c Caller) Cause() audit.Cause {
	if c.Call == nil {
		return audit.Cause{}
	}
	return c.Call.Cause
}

// User is a user as a token or run_as names them, with what the catalog knows of them.
type User struct {
	// Email is the identifier of the _user entity.
	Email               string
	FirstName, LastName string
	// Status is Active, Disabled or Staged.
	Status string
	Role   Role
	// Teams are all names and identifiers of the teams that the user is in.
	Teams []string
	// Moderates are the identifiers of the blueprints that a Moderator moderates.
	Moderates            []string
	CreatedAt, UpdatedAt time.Time
}

// Administers reports whether the caller may do everything: a machine, or an Admin.
func (c Caller) Administers() bool { return c.Machine || c.User != nil && c.User.Role == Admin }

// Moderates reports whether the caller is a Moderator of a blueprint.
func (c Caller) Moderates(blueprint string) bool {
	return c.User != nil && c.User.Role == Moderator && blueprint != "" && slices.Contains(c.User.Moderates, blueprint)
}
