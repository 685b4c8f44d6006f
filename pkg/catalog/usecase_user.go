package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"longshore/pkg/fault"
)

// maxSpellings is how many e-mails are remembered that are written in another case than the
// identifiers that they mean; beyond it all are forgotten.
const maxSpellings = 1024

// spellings are identifiers of users by e-mails that differ from them in case. They are hints: whoever
// reads one looks at the entity itself.
type spellings struct {
	mu sync.Mutex
	of map[string]string
}

func (s *spellings) get(email string) (identifier string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	identifier, ok = s.of[email]
	return identifier, ok
}

func (s *spellings) set(email, identifier string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil || len(s.of) >= maxSpellings {
		s.of = map[string]string{}
	}
	s.of[email] = identifier
}

// User returns one user and the teams that the user is in, by identifier. E-mails are compared without
// case, but for two users that differ in nothing else; those with other letters than ASCII's only as
// they are, since folding makes different ones equal. fault.NotFound when there is none.
//
// A user whose identifier is the e-mail as given, or in lower case, is read by itself; another spelling
// is looked for among all users once.
func (s *Service) User(ctx context.Context, email string) (*User, []*Team, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	e, err := s.userEntity(ctx, n, email)
	if err != nil {
		return nil, nil, err
	}
	u, err := UserOf(e)
	if err != nil {
		return nil, nil, err
	}
	teams, err := s.teamsOf(ctx, n, u)
	return u, teams, err
}

// User is Service.User.
func (r *Reader) User(ctx context.Context, email string) (*User, []*Team, error) {
	return r.s.User(ctx, email)
}

func (s *Service) userEntity(ctx context.Context, n *snapshot, email string) (*Entity, error) {
	unknown := fault.New(fault.NotFound, "", "there is no such user")
	if n.identifier[UserBlueprint] == nil {
		return nil, unknown
	}
	names := []string{email}
	folds := isASCII(email)
	if folds {
		names = append(names, strings.ToLower(email))
		if identifier, ok := s.spellings.get(strings.ToLower(email)); ok {
			names = append(names, identifier)
		}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		if _, e, err := s.entity(ctx, n, UserBlueprint, name); !absent(err) {
			return e, err
		}
	}
	if !folds {
		return nil, unknown
	}
	var found *Entity
	err := s.each(ctx, n, UserBlueprint, func(e *Entity) error {
		if isASCII(e.Identifier) && strings.EqualFold(e.Identifier, email) && (found == nil || e.Identifier < found.Identifier) {
			found = e
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, unknown
	}
	s.spellings.set(strings.ToLower(email), found.Identifier)
	return found, nil
}

// teamsOf returns the teams that a user is in, by identifier.
func (s *Service) teamsOf(ctx context.Context, n *snapshot, u *User) ([]*Team, error) {
	entities, err := s.teamEntities(ctx, n, u)
	if err != nil {
		return nil, err
	}
	var teams []*Team
	for _, e := range entities {
		t, err := TeamOf(e)
		if err != nil {
			return nil, err
		}
		teams = append(teams, t)
	}
	return teams, nil
}

// teamEntities returns the entities of a user's teams, by identifier. Those named by identifier are read by
// themselves; all are listed only when a value is none, since it may be a name.
func (s *Service) teamEntities(ctx context.Context, n *snapshot, u *User) ([]*Entity, error) {
	k := n.identifier[TeamBlueprint]
	if len(u.Teams) == 0 || k == nil {
		return nil, nil
	}
	var keys []Key
	for _, name := range u.Teams {
		if key := (Key{k.Record.ID, name}); !slices.Contains(keys, key) && len(name) <= MaxEntityIdentifier {
			keys = append(keys, key)
		}
	}
	var teams []*Entity
	add := func(e *Entity) error {
		t, err := TeamOf(e)
		if err == nil && t.Has(u) {
			teams = append(teams, e)
		}
		return err
	}
	for part := range slices.Chunk(keys, maxLookup) {
		entities, err := s.store.Entities(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("read teams: %w", err)
		}
		for _, e := range entities {
			if err := add(e); err != nil {
				return nil, err
			}
		}
	}
	named := func(value string) bool {
		return slices.ContainsFunc(teams, func(e *Entity) bool { return e.Identifier == value })
	}
	if slices.ContainsFunc(u.Teams, func(value string) bool { return !named(value) }) {
		teams = nil
		if err := s.each(ctx, n, TeamBlueprint, add); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(teams, func(a, b *Entity) int { return cmp.Compare(a.Identifier, b.Identifier) })
	return teams, nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > 0x7f })
}
