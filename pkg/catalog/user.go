package catalog

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Statuses of users. A disabled user is refused.
const (
	StatusActive   = "Active"
	StatusDisabled = "Disabled"
	StatusStaged   = "Staged"
)

// Roles of users.
const (
	RoleAdmin     = "Admin"
	RoleMember    = "Member"
	RoleModerator = "Moderator"
)

// User is an entity of _user.
type User struct {
	// ID is made of the e-mail: see UserID.
	ID string
	// Email is the entity's identifier as it was written. E-mails are compared without case.
	Email               string
	FirstName, LastName string
	// Status is one of the statuses, Active when the entity has none of them. Case was ignored.
	Status string
	// Role is one of the roles, Member when the entity has none of them. Case was ignored.
	Role string
	// Teams are the identifiers or names of teams.
	Teams []string
	// ModeratedBlueprints are the blueprints that a Moderator may change.
	ModeratedBlueprints  []string
	CreatedAt, UpdatedAt time.Time
}

// UserID returns a user's id: usr_ and the first 16 characters of the SHA-256 of the lower-case e-mail
// as a number of 43 digits to the base 62, 0 to 9, a to z, A to Z.
func UserID(email string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(email)))
	digits := new(big.Int).SetBytes(sum[:]).Text(62)
	return "usr_" + (strings.Repeat("0", 43-len(digits)) + digits)[:16]
}

// UserOf reads a user. What has the wrong type counts as absent.
func UserOf(e *Entity) (*User, error) {
	o, err := decodeObject(e.Content, "an entity")
	if err != nil {
		return nil, fmt.Errorf("read user %s: %w", e.Identifier, err)
	}
	properties := document.Object(o, "properties")
	return &User{
		ID:                  UserID(e.Identifier),
		Email:               e.Identifier,
		FirstName:           document.Text(properties, "firstname"),
		LastName:            document.Text(properties, "lastname"),
		Status:              oneOf(document.Text(properties, "status"), StatusActive, StatusDisabled, StatusStaged),
		Role:                oneOf(document.Text(properties, "port_role"), RoleMember, RoleAdmin, RoleModerator),
		Teams:               document.Texts(document.Member(o, "team")),
		ModeratedBlueprints: document.Texts(document.Member(properties, "moderated_blueprints")),
		CreatedAt:           e.CreatedAt,
		UpdatedAt:           e.UpdatedAt,
	}, nil
}

// canonical returns a value of a user's status or role as its enum has it: case is ignored, when a user
// is written as when it is read. What is stored is what was sent.
func (d *Definition) canonical(property string, v any) any {
	text, isText := v.(string)
	if d.Identifier != UserBlueprint || !isText {
		return v
	}
	var words []string
	switch property {
	case "status":
		words = []string{StatusActive, StatusDisabled, StatusStaged}
	case "port_role":
		words = []string{RoleMember, RoleAdmin, RoleModerator}
	}
	for _, w := range words {
		if strings.EqualFold(w, text) {
			return w
		}
	}
	return v
}

// oneOf returns the word that equals text but for case, the first one if none does.
func oneOf(text string, words ...string) string {
	for _, w := range words {
		if strings.EqualFold(w, text) {
			return w
		}
	}
	return words[0]
}

// View returns a user as the routes of users answer, null for what is not known of users here. Teams are those that are there: the user's, and
// maybe others.
func (u *User) View(teams []*Team) *jqtemplate.Object {
	names, identifiers := []any{}, []any{}
	for _, t := range teams {
		if t.Has(u) {
			names, identifiers = append(names, t.Name), append(identifiers, t.Identifier)
		}
	}
	o := new(jqtemplate.Object)
	o.Set("id", u.ID)
	o.Set("email", u.Email)
	o.Set("firstName", u.FirstName)
	o.Set("lastName", u.LastName)
	o.Set("picture", nil)
	o.Set("type", nil)
	o.Set("status", u.Status)
	o.Set("providers", []any{})
	o.Set("createdAt", timeText(u.CreatedAt))
	o.Set("updatedAt", timeText(u.UpdatedAt))
	o.Set("teams", names)
	o.Set("teamsIdentifiers", identifiers)
	role := new(jqtemplate.Object)
	role.Set("name", u.Role)
	o.Set("roles", []any{role})
	return o
}
