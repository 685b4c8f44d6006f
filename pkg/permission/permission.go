// Package permission decides who may execute an action, who may approve its runs, who may write the
// entities of a blueprint, and who may see a run.
//
// It promises that it only reads; that a policy which cannot be judged, because a store fails or the
// time is over, permits nothing and says why; and that what a policy reads and how long it takes is
// bounded.
package permission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
)

// Question asks about a run that is about to start.
type Question struct {
	// Caller is who the run is by: of a run_as the user.
	Caller identity.Caller
	Action *action.Entry
	// Inputs are the user inputs after defaults; Entity is the whole entity that the run is for, nil for
	// none.
	Inputs, Entity *jqtemplate.Object
	At             time.Time
}

// Approver is a user who may approve a run.
type Approver struct{ UserID, Email string }

// Catalog is what a judge reads; *catalog.Reader is one, whose comments say what the methods promise.
type Catalog interface {
	Find(ctx context.Context, f catalog.Find) (entities []*jqtemplate.Object, all bool, err error)
	Caller(ctx context.Context, email string) func(catalog.ContextProperty) ([]any, error)
	Blueprint(ctx context.Context, identifier string) (*catalog.Kept, error)
	Teams(ctx context.Context) ([]*catalog.Team, []*catalog.User, error)
}

// Config is what a judge works with.
type Config struct {
	Catalog Catalog
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Judge decides by permissions. It is safe for concurrent use.
type Judge struct{ Config }

// New returns a judge.
func New(c Config) *Judge {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Judge{c}
}

// MaxApprovers is how many users may approve one run.
const MaxApprovers = 10_000

// Execute returns nil if a run may start, else a fault.Forbidden that names the action. A machine may
// execute everything; an Admin what permissions allow. Other errors: fault.Invalid for permissions that
// cannot be read (definition_unreadable) or a policy that takes too long (template_limit),
// fault.Unavailable, or ctx's own.
func (j *Judge) Execute(ctx context.Context, q Question) error {
	if q.Caller.Machine {
		return nil
	}
	p, err := q.Action.Permissions()
	if err != nil {
		return err
	}
	allowed := false
	switch b, u := p.Execute, q.Caller.User; {
	case u == nil:
	case b.Policy != nil:
		allowed, err = j.holds(ctx, b.Policy, j.factsOf(q))
	default:
		allowed = names(b, u, roles(u))
		if !allowed && b.OwnedByTeam && q.Entity != nil {
			allowed, err = j.owned(ctx, q.Action.Definition.Blueprint, q.Entity, u)
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("judge who may execute action %s: %w", q.Action.Record.Identifier, err)
	case !allowed:
		return fault.New(fault.Forbidden, "", "%s may not execute action %s", who(q.Caller), q.Action.Record.Identifier)
	}
	return nil
}

// Approvers returns who may approve a run, sorted by e-mail: the users that are listed, those who hold a
// listed role or are in a listed team now; of a policy, which decides alone, the users whose e-mails it
// yields. Who is no user, or a disabled one, is left out, so that there may be none. Permissions that
// name nobody and have no policy are a fault.Invalid, no_approvers; the other errors are Execute's.
func (j *Judge) Approvers(ctx context.Context, q Question) ([]Approver, error) {
	p, err := q.Action.Permissions()
	if err != nil {
		return nil, err
	}
	b := p.Approve
	if b.Policy == nil && len(b.Users)+len(b.Roles)+len(b.Teams) == 0 {
		return nil, fault.New(fault.Invalid, "no_approvers",
			"action %s needs an approval, and its permissions name nobody who may give it", q.Action.Record.Identifier)
	}
	fail := func(err error) error {
		return fmt.Errorf("find who may approve runs of action %s: %w", q.Action.Record.Identifier, err)
	}
	if b.Policy != nil {
		emails, err := j.emails(ctx, b.Policy, j.factsOf(q))
		if err != nil {
			return nil, fail(err)
		}
		b = &catalog.Block{Users: emails}
	}
	teams, users, err := j.Catalog.Teams(ctx)
	if err != nil {
		return nil, fail(err)
	}
	var approvers []Approver
	for _, u := range users {
		if u.Status != catalog.StatusDisabled && names(b, userOf(u, teams), roles(userOf(u, nil))) {
			approvers = append(approvers, Approver{u.ID, u.Email})
		}
	}
	slices.SortFunc(approvers, func(a, b Approver) int {
		return strings.Compare(strings.ToLower(a.Email)+"\x00"+a.Email, strings.ToLower(b.Email)+"\x00"+b.Email)
	})
	approvers = slices.CompactFunc(approvers, func(a, b Approver) bool { return a.UserID == b.UserID })
	if len(approvers) > MaxApprovers {
		return nil, fault.New(fault.Invalid, "too_many_approvers",
			"%d users may approve runs of action %s; there may be %d", len(approvers), q.Action.Record.Identifier, MaxApprovers)
	}
	return approvers, nil
}

// userOf is a user of the catalog as callers are, with the names and identifiers of those of the teams
// that the user is in.
func userOf(u *catalog.User, teams []*catalog.Team) *identity.User {
	is := &identity.User{Email: u.Email, Role: identity.Role(u.Role), Moderates: u.ModeratedBlueprints}
	for _, t := range teams {
		if t.Has(u) {
			is.Teams = append(is.Teams, t.Identifier, t.Name)
		}
	}
	return is
}

// who names a caller in a sentence.
func who(c identity.Caller) string {
	if c.User == nil {
		return c.ID
	}
	return c.User.Email
}

// roles are those that a user holds: a Moderator is a Member too, and the moderator of each blueprint
// that they moderate, as Port names that role.
func roles(u *identity.User) []string {
	held := []string{string(u.Role)}
	if u.Role == identity.Moderator {
		held = append(held, string(identity.Member))
		for _, blueprint := range u.Moderates {
			held = append(held, blueprint+moderatorOf)
		}
	}
	return held
}

// names reports whether a block lists a user, one of the roles, or one of the user's teams.
func names(b *catalog.Block, u *identity.User, roles []string) bool {
	return slices.ContainsFunc(b.Users, func(email string) bool { return sameEmail(email, u.Email) }) ||
		slices.ContainsFunc(b.Roles, func(role string) bool { return slices.ContainsFunc(roles, sameRole(role)) }) ||
		slices.ContainsFunc(u.Teams, func(team string) bool { return slices.Contains(b.Teams, team) })
}

// sameEmail compares e-mails without case; those with other letters than ASCII's only as they are, since
// folding makes different ones equal.
func sameEmail(a, b string) bool {
	other := func(r rune) bool { return r > unicode.MaxASCII }
	return a == b || strings.EqualFold(a, b) && !strings.ContainsFunc(a+b, other)
}

// sameRole compares the names of roles without case, but for that of a blueprint, which has one.
func sameRole(listed string) func(held string) bool {
	return func(held string) bool {
		return held == listed || strings.EqualFold(held, listed) && !strings.HasSuffix(held, moderatorOf)
	}
}

// moderatorOf ends the role of a blueprint's moderators.
const moderatorOf = "-moderator"

// owned reports whether a user is in a team of an entity: its own, or one that owns it by its blueprint's
// ownership.
func (j *Judge) owned(ctx context.Context, blueprint string, entity *jqtemplate.Object, u *identity.User) (bool, error) {
	inOne := func(team string) bool { return slices.Contains(u.Teams, team) }
	if slices.ContainsFunc(document.Texts(document.Member(entity, "team")), inOne) {
		return true, nil
	}
	search, err := ownedSearch(u, document.Text(entity, "identifier"))
	if search == nil || err != nil {
		return false, err
	}
	found, _, err := j.Catalog.Find(ctx, catalog.Find{Search: search, Blueprint: blueprint, Limit: 1, Selection: catalog.NewSelection([]string{"$identifier"}, nil)})
	return len(found) > 0, err
}

// ownedSearch is for the entities that the teams of a user own; of one identifier, if it is not empty.
// It is nil for a user without teams.
func ownedSearch(u *identity.User, identifier string) (*catalog.Search, error) {
	if len(u.Teams) == 0 {
		return nil, nil
	}
	teams := make([]any, min(len(u.Teams), catalog.MaxSearchValues))
	for i := range teams {
		teams[i] = u.Teams[i]
	}
	rule := func(property, operator string, value any) *jqtemplate.Object {
		return object(member{"property", property}, member{"operator", operator}, member{"value", value})
	}
	rules := []any{rule("$owned_by_team", "containsAny", teams)}
	if identifier != "" {
		rules = append(rules, rule("$identifier", "=", identifier))
	}
	return catalog.ParseSearch(object(member{"combinator", "and"}, member{"rules", rules}), "", catalog.SearchOptions{})
}

type member struct {
	name  string
	value any
}

func object(members ...member) *jqtemplate.Object {
	o := new(jqtemplate.Object)
	for _, m := range members {
		o.Set(m.name, m.value)
	}
	return o
}
