// Package identity knows who calls: it issues and checks access tokens.
//
// It promises that a token is accepted only if this deployment signed it, or for a user the provider
// that it trusts; that credentials are compared in constant time; and that neither issuing a token nor
// checking a machine's reads a store.
package identity

import (
	"slices"
	"time"
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
