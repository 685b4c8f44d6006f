package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Teams returns all teams and all users, each by identifier.
func (s *Service) Teams(ctx context.Context) ([]*Team, []*User, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	var teams []*Team
	err = s.each(ctx, n, TeamBlueprint, func(e *Entity) error {
		t, err := TeamOf(e)
		teams = append(teams, t)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var users []*User
	err = s.each(ctx, n, UserBlueprint, func(e *Entity) error {
		u, err := UserOf(e)
		users = append(users, u)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(teams, func(a, b *Team) int { return cmp.Compare(a.Identifier, b.Identifier) })
	slices.SortFunc(users, func(a, b *User) int { return cmp.Compare(a.Email, b.Email) })
	return teams, users, nil
}

// each calls f with all entities of a blueprint.
func (s *Service) each(ctx context.Context, n *snapshot, blueprint string, f func(*Entity) error) error {
	k, err := n.get(blueprint)
	if err != nil {
		return err
	}
	for from := ""; ; {
		page, err := s.store.List(ctx, k.Record.ID, from, maxLookup)
		if err != nil {
			return fmt.Errorf("list entities of %s: %w", blueprint, err)
		}
		for _, e := range page.Entities {
			if err := f(e); err != nil {
				return err
			}
		}
		if from = page.Next; from == "" {
			return nil
		}
	}
}

func userNamed(users []*User, email string) *User {
	var found *User
	for _, u := range users {
		if u.Email == email {
			return u
		}
		if found == nil && strings.EqualFold(u.Email, email) {
			found = u
		}
	}
	return found
}

// Team returns one team, by its name or else its identifier, and all users. fault.NotFound when there
// is none.
func (s *Service) Team(ctx context.Context, name string) (*Team, []*User, error) {
	teams, users, err := s.Teams(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := teamNamed(teams, name)
	return t, users, err
}

func teamNamed(teams []*Team, name string) (*Team, error) {
	for _, means := range []func(*Team) bool{
		func(t *Team) bool { return t.Name == name },
		func(t *Team) bool { return t.Identifier == name },
	} {
		if i := slices.IndexFunc(teams, means); i >= 0 {
			return teams[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "", "there is no such team")
}

// CreateTeam makes a team and puts users into it. fault.Invalid with all faults, users that are not
// there among them; fault.Conflict, identifier_taken, when the name means another team. It returns all
// users too.
func (s *Service) CreateTeam(ctx context.Context, text json.RawMessage, by Author) (*Team, []*User, error) {
	b, err := ParseTeam(text, Creating)
	if err != nil {
		return nil, nil, err
	}
	t, users, err := s.tryTeam(ctx, b, by)
	if !fault.Is(err, "identifier_taken") {
		return t, users, err
	}
	// Another one of that name was made meanwhile, which the next try says; or a team that had the name
	// once has the identifier still.
	if err := b.withoutIdentifier(); err != nil {
		return nil, nil, err
	}
	return s.tryTeam(ctx, b, by)
}

func (s *Service) tryTeam(ctx context.Context, b *TeamBody, by Author) (*Team, []*User, error) {
	teams, users, err := s.Teams(ctx)
	if err != nil {
		return nil, nil, err
	}
	members, err := b.members(users)
	if err != nil {
		return nil, nil, err
	}
	if err := freeName(teams, nil, b.Name); err != nil {
		return nil, nil, err
	}
	return s.writeTeam(ctx, &Team{Identifier: b.Name, Name: b.Name}, users, members, by, func(w EntityWrite) (*Saved, error) {
		saved, err := s.CreateEntity(ctx, TeamBlueprint, b.Entity, w)
		if err != nil || w.ValidationOnly {
			return saved, err
		}
		return saved, s.soleName(ctx, saved, func(ctx context.Context) error {
			return s.DeleteEntity(ctx, TeamBlueprint, saved.Entity.Identifier, false, by)
		})
	})
}

// ReplaceTeam carries out a PUT, which may rename. Users that were not sent stay; so does what the
// routes of teams do not show. Its results and faults are CreateTeam's; fault.NotFound when there is none.
func (s *Service) ReplaceTeam(ctx context.Context, name string, text json.RawMessage, by Author) (*Team, []*User, error) {
	return s.changeTeam(ctx, name, text, Replacing, by)
}

// PatchTeam carries out a PATCH: as ReplaceTeam, and the description stays when it was not sent.
func (s *Service) PatchTeam(ctx context.Context, name string, text json.RawMessage, by Author) (*Team, []*User, error) {
	return s.changeTeam(ctx, name, text, Merging, by)
}

func (s *Service) changeTeam(ctx context.Context, name string, text json.RawMessage, how Write, by Author) (*Team, []*User, error) {
	teams, users, err := s.Teams(ctx)
	if err != nil {
		return nil, nil, err
	}
	old, err := teamNamed(teams, name)
	if err != nil {
		return nil, nil, err
	}
	b, err := ParseTeam(text, how)
	if err != nil {
		return nil, nil, err
	}
	members, err := b.members(users)
	if err != nil {
		return nil, nil, err
	}
	next := *old
	if b.Name != "" && b.Name != old.Name {
		if err := freeName(teams, old, b.Name); err != nil {
			return nil, nil, err
		}
		next.Name = b.Name
	}
	return s.writeTeam(ctx, &next, users, members, by, func(w EntityWrite) (*Saved, error) {
		if next.Name != old.Name {
			// Who is in the team by its old name stays in it.
			if err := s.changeUsers(ctx, users, w, func(u *User) json.RawMessage { return u.byIdentifier(old) }); err != nil {
				return nil, err
			}
		}
		saved, err := s.PatchEntity(ctx, TeamBlueprint, old.Identifier, b.Entity, w)
		if err != nil || w.ValidationOnly || next.Name == old.Name {
			return saved, err
		}
		return saved, s.soleName(ctx, saved, func(ctx context.Context) error {
			back := new(jqtemplate.Object)
			back.Set("title", old.Name)
			_, err := s.PatchEntity(ctx, TeamBlueprint, old.Identifier, jqtemplate.Encode(back), w)
			return err
		})
	})
}

// members returns which users a body names, by the e-mails of their entities; nil when it names none
// because they were not sent.
func (b *TeamBody) members(users []*User) (map[string]bool, error) {
	if !b.SetsUsers {
		return nil, nil
	}
	var faults document.Faults
	members := map[string]bool{}
	for i, email := range b.Users {
		if u := userNamed(users, email); u != nil {
			members[u.Email] = true
		} else {
			faults.Add(fmt.Sprintf("users[%d]", i), "there is no such user")
		}
	}
	return members, faults.Err()
}

// freeName refuses a name that means a team other than self.
func freeName(teams []*Team, self *Team, name string) error {
	for _, t := range teams {
		if t != self && t.Means(name) {
			return fault.New(fault.Conflict, "identifier_taken", "there already is a team %q", name)
		}
	}
	return nil
}

// soleName undoes a write that has given a team a name which another one was given at the same time: each
// writes first and looks then, so that one of them at least finds the other.
func (s *Service) soleName(ctx context.Context, saved *Saved, undo func(context.Context) error) error {
	self, err := TeamOf(saved.Entity)
	if err != nil {
		return err
	}
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	err = s.each(ctx, n, TeamBlueprint, func(e *Entity) error {
		t, err := TeamOf(e)
		if err == nil && t.Identifier != self.Identifier {
			err = freeName([]*Team{t}, nil, self.Name)
		}
		return err
	})
	if !fault.Is(err, "identifier_taken") {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leftTime)
	defer cancel()
	return errors.Join(err, undo(ctx))
}

// writeTeam writes a team's entity and then its members, once all of it was found to be allowed. Next
// is the team as it will be; members nil leaves them.
func (s *Service) writeTeam(ctx context.Context, next *Team, users []*User, members map[string]bool, by Author, write func(EntityWrite) (*Saved, error)) (*Team, []*User, error) {
	for _, only := range []bool{true, false} {
		w := EntityWrite{By: by, ValidationOnly: only}
		saved, err := write(w)
		if err != nil {
			return nil, nil, err
		}
		if !only {
			if next, err = TeamOf(saved.Entity); err != nil {
				return nil, nil, err
			}
		}
		if members == nil {
			continue
		}
		t := next
		if err := s.changeUsers(ctx, users, w, func(u *User) json.RawMessage { return u.WithTeam(t, members[u.Email]) }); err != nil {
			return nil, nil, err
		}
	}
	_, users, err := s.Teams(ctx)
	return next, users, err
}

// DeleteTeam removes a team and takes its users out of it. fault.NotFound when there is none;
// fault.Conflict, has_dependents, when required relations lead to it. The team goes last, so that who was
// interrupted finds it again.
func (s *Service) DeleteTeam(ctx context.Context, name string, by Author) error {
	t, users, err := s.Team(ctx, name)
	if err != nil {
		return err
	}
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	_, e, err := s.entity(ctx, n, TeamBlueprint, t.Identifier)
	if err != nil {
		return err
	}
	if err := n.still(e.Key); err != nil {
		return err
	}
	if err := s.unheldEntity(ctx, n, e.Key, []*Entity{e}); err != nil {
		return err
	}
	if err := s.permitted(ctx, func() []*Change { return s.deletions(n, []*Entity{e}) }); err != nil {
		return err
	}
	if err := s.changeUsers(ctx, users, EntityWrite{By: by}, func(u *User) json.RawMessage { return u.WithTeam(t, false) }); err != nil {
		return err
	}
	return s.DeleteEntity(ctx, TeamBlueprint, t.Identifier, false, by)
}

// changeUsers changes the entities of those users for whom change returns the body of a PATCH. It is
// called again with the user as stored, so that nothing that somebody else wrote is lost.
func (s *Service) changeUsers(ctx context.Context, users []*User, w EntityWrite, change func(*User) json.RawMessage) error {
	for _, u := range users {
		if change(u) == nil {
			continue
		}
		for try := 1; ; try++ {
			err := s.tryUser(ctx, u.Email, w, change)
			if err == nil || absent(err) {
				break
			}
			if !again(ctx, err, try) {
				return fmt.Errorf("change user %s: %w", u.ID, err)
			}
		}
	}
	return nil
}

func (s *Service) tryUser(ctx context.Context, email string, w EntityWrite, change func(*User) json.RawMessage) error {
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	k, old, err := s.entity(ctx, n, UserBlueprint, email)
	if err != nil {
		return err
	}
	u, err := UserOf(old)
	if err != nil {
		return err
	}
	text := change(u)
	if text == nil {
		return nil
	}
	b, err := s.body(ctx, n, k, text, Merging)
	if err != nil {
		return err
	}
	d, err := Merge(k.Definition, old, b)
	if err != nil {
		return err
	}
	_, err = s.save(ctx, n, k, old, d, w)
	return err
}

// byIdentifier returns the body of a PATCH that names a team by its identifier where a user names it
// by its name; nil when nothing has to change.
func (u *User) byIdentifier(t *Team) json.RawMessage {
	if t.Name == t.Identifier || !slices.Contains(u.Teams, t.Name) {
		return nil
	}
	teams := []any{}
	for _, name := range u.Teams {
		if t.Means(name) {
			name = t.Identifier
		}
		if !slices.Contains(teams, any(name)) {
			teams = append(teams, name)
		}
	}
	o := new(jqtemplate.Object)
	o.Set("team", teams)
	return jqtemplate.Encode(o)
}
