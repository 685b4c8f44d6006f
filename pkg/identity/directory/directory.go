// Package directory finds users in the catalog, where they are entities of _user. It stands apart from
// package identity so that who only checks or signs machine tokens does not link the catalog.
package directory

import (
	"context"
	"fmt"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

// Catalog is what is used of a catalog; *catalog.Service and *catalog.Reader are one.
type Catalog interface {
	// User returns a user and the teams that the user is in. fault.NotFound when there is none.
	User(ctx context.Context, email string) (*catalog.User, []*catalog.Team, error)
}

// Directory finds users. It keeps nothing: a change of a user or a team counts from the next request.
type Directory struct {
	catalog Catalog
	orgID   string
}

var _ identity.Users = (*Directory)(nil)

// New returns the users of an organization.
func New(c Catalog, orgID string) *Directory { return &Directory{c, orgID} }

// Caller implements identity.Users.
func (d *Directory) Caller(ctx context.Context, email string) (identity.Caller, error) {
	u, teams, err := d.catalog.User(ctx, email)
	if err != nil {
		return identity.Caller{}, fmt.Errorf("find user: %w", err)
	}
	if u.Status == catalog.StatusDisabled {
		return identity.Caller{}, fault.New(fault.NotFound, "", "the user is disabled")
	}
	names := []string{}
	for _, t := range teams {
		names = append(names, t.Identifier)
		if t.Name != t.Identifier {
			names = append(names, t.Name)
		}
	}
	return identity.Caller{OrgID: d.orgID, ID: u.ID, User: &identity.User{
		Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Status: u.Status,
		Role: identity.Role(u.Role), Teams: names, Moderates: u.ModeratedBlueprints,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}}, nil
}
