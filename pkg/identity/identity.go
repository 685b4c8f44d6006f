// Package identity knows who calls: it issues and checks access tokens.
package identity

// Caller is who made a request, as its token says.
type Caller struct {
	OrgID string
	// Machine is true for the organization's client, which is bound to no user.
	Machine bool
	// ID is the client id of a machine.
	ID string
}
