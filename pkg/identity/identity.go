// Package identity knows who calls: it issues and checks access tokens.
//
// It promises that a token which this deployment did not sign is never accepted, that credentials
// are compared in constant time, and that neither issuing nor checking reads a store.
package identity

// Caller is who made a request, as its token says.
type Caller struct {
	OrgID string
	// Machine is true for the organization's client, which is bound to no user.
	Machine bool
	// ID is the client id of a machine.
	ID string
}
