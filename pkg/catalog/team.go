package catalog

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Team is an entity of _team.
type Team struct {
	// Identifier is the entity's. Identifiers differ by case.
	Identifier string
	// Name is the entity's title; the identifier if it has none.
	Name string
	// Description is nil when there is none.
	Description          *string
	ID                   string
	CreatedAt, UpdatedAt time.Time
}

// TeamOf reads a team. What has the wrong type counts as absent.
func TeamOf(e *Entity) (*Team, error) {
	o, err := decodeObject(e.Content, "an entity")
	if err != nil {
		return nil, fmt.Errorf("read team %s: %w", e.Identifier, err)
	}
	t := &Team{Identifier: e.Identifier, Name: document.Text(o, "title"), ID: e.ID, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt}
	if t.Name == "" {
		t.Name = e.Identifier
	}
	if s, ok := document.Member(document.Object(o, "properties"), "description").(string); ok {
		t.Description = &s
	}
	return t, nil
}

// Means reports whether a value names the team: by its identifier or its name.
func (t *Team) Means(value string) bool { return value == t.Identifier || value == t.Name }

// Has reports whether a user is in the team.
func (t *Team) Has(u *User) bool { return slices.ContainsFunc(u.Teams, t.Means) }

// View returns a team as the routes of teams answer, with those of the users who are in it.
func (t *Team) View(users []*User) *jqtemplate.Object {
	list := []any{}
	for _, u := range users {
		if !t.Has(u) {
			continue
		}
		o := new(jqtemplate.Object)
		o.Set("email", u.Email)
		o.Set("firstName", u.FirstName)
		o.Set("lastName", u.LastName)
		o.Set("picture", nil)
		o.Set("status", u.Status)
		list = append(list, o)
	}
	o := new(jqtemplate.Object)
	o.Set("id", t.ID)
	o.Set("name", t.Name)
	o.Set("description", nil)
	if t.Description != nil {
		o.Set("description", *t.Description)
	}
	o.Set("provider", "port")
	o.Set("createdAt", timeText(t.CreatedAt))
	o.Set("updatedAt", timeText(t.UpdatedAt))
	o.Set("users", list)
	return o
}

// TeamBody is a team as a client sends it.
type TeamBody struct {
	// Name is empty when it was not sent, which only a PATCH may do.
	Name string
	// Users are e-mails; SetsUsers says that they were sent, and are to be the only ones.
	Users     []string
	SetsUsers bool
	// Entity is the body of the _team entity: for ParseBody, Creating for a POST and Merging else, so
	// that what an organization added to its teams stays. A PUT without a description clears it. A new
	// team gets its name for an identifier, or one that is made of the name where that cannot be one: two
	// that are made at once with one name have one identifier, of which there is only one entity.
	Entity json.RawMessage
}

// ParseTeam decodes the body of a POST, PUT or PATCH of a team. All faults come in one fault.Invalid.
func ParseTeam(text json.RawMessage, write Write) (*TeamBody, error) {
	o, err := decodeObject(text, "a team")
	if err != nil {
		return nil, err
	}
	s, err := bodySchemas()
	if err != nil {
		return nil, err
	}
	var faults document.Faults
	faults.Validate(s.team[write], document.Plain(o), "")
	if err := faults.Err(); err != nil {
		return nil, err
	}
	users, set := document.Member(o, "users").([]any)
	b := &TeamBody{Name: document.Text(o, "name"), Users: document.Texts(users), SetsUsers: set}
	entity := new(jqtemplate.Object)
	if b.Name != "" {
		entity.Set("title", b.Name)
	}
	description, sent := o.Get("description")
	if sent || write == Replacing {
		properties := new(jqtemplate.Object)
		properties.Set("description", description)
		entity.Set("properties", properties)
	}
	if write == Creating {
		entity.Set("identifier", b.Name)
		if s.body[Creating].Validate(document.Plain(entity)) != nil {
			entity.Set("identifier", fmt.Sprintf("team_%x", sha256.Sum256([]byte(b.Name)))[:31])
		}
	}
	b.Entity = jqtemplate.Encode(entity)
	return b, nil
}

// withoutIdentifier lets a new team get another identifier.
func (b *TeamBody) withoutIdentifier() error {
	m, err := document.ParseMembers(b.Entity)
	if err != nil {
		return fmt.Errorf("read team: %w", err)
	}
	m.Remove("identifier")
	b.Entity = m.Encode()
	return nil
}

// WithTeam returns the body of a PATCH that puts a user into a team or takes them out; nil when
// nothing has to change. A user's teams are named by identifier, so that a team can be renamed.
func (u *User) WithTeam(t *Team, member bool) json.RawMessage {
	if t.Has(u) == member {
		return nil
	}
	teams := []any{}
	for _, name := range u.Teams {
		if member || !t.Means(name) {
			teams = append(teams, name)
		}
	}
	if member {
		teams = append(teams, t.Identifier)
	}
	o := new(jqtemplate.Object)
	o.Set("team", teams)
	return jqtemplate.Encode(o)
}
