package permission

import (
	"context"

	"longshore/pkg/catalog"
)

// Admins answers who may approve by the default of every action: the users whose port_role is Admin.
type Admins struct {
	// Users returns all users.
	Users func(context.Context) ([]*catalog.User, error)
}

// Approvers returns all users who are Admin and not disabled.
func (a Admins) Approvers(ctx context.Context, _ Question) ([]Approver, error) {
	users, err := a.Users(ctx)
	if err != nil {
		return nil, err
	}
	var approvers []Approver
	for _, u := range users {
		if u.Role == catalog.RoleAdmin && u.Status != catalog.StatusDisabled {
			approvers = append(approvers, Approver{UserID: u.ID, Email: u.Email})
		}
	}
	return approvers, nil
}
