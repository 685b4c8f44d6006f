package permission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
)

// MayWrite returns nil if a caller may make a change of an entity, by the permissions of its blueprint,
// else a fault.Forbidden. A machine may make every change. In the permissions of a blueprint its
// moderators count as Admins; where a block is missing, Admins may. What is in _user and _team only
// Admins may change, whatever those blueprints say beyond that. The other errors are Execute's.
//
// Who may update changes whatever they want; others may change the properties and relations that name
// them, if each of those they change does.
func (j *Judge) MayWrite(ctx context.Context, caller identity.Caller, c *catalog.Change) error {
	if caller.Machine {
		return nil
	}
	blueprint := c.Blueprint.Record.Identifier
	doing := "update"
	switch {
	case c.Before == nil:
		doing = "create"
	case c.After == nil:
		doing = "delete"
	}
	refused := fault.New(fault.Forbidden, "", "%s may not %s entities of the blueprint %s", who(caller), doing, blueprint)
	if caller.User == nil || catalog.IsSystem(blueprint) && caller.User.Role != identity.Admin {
		return refused
	}
	blocks, err := c.Blocks()
	if err != nil {
		return err
	}
	w := &writing{j: j, caller: caller, c: c, roles: writerRoles(caller, blueprint)}
	var allowed bool
	switch {
	case c.Before == nil:
		allowed, err = w.allows(ctx, blocks.Register)
	case c.After == nil:
		allowed, err = w.allows(ctx, blocks.Unregister)
	default:
		var left []string
		allowed, left, err = w.updates(ctx, blocks)
		if len(left) > 0 {
			refused.Message += ": " + strings.Join(left, ", ")
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("judge who may write entities of blueprint %s: %w", blueprint, err)
	case !allowed:
		return refused
	}
	return nil
}

// MayEmpty returns nil if a caller may delete all entities of a blueprint at once, else a fault.Forbidden: whom
// its permissions let delete entities whatever is in them. A policy and ownedByTeam are about single entities, so
// that they let nobody. The other errors are Execute's.
func (j *Judge) MayEmpty(caller identity.Caller, blueprint *catalog.Kept) error {
	if caller.Machine {
		return nil
	}
	blocks, err := (&catalog.Change{Blueprint: blueprint}).Blocks()
	if err != nil {
		return err
	}
	identifier, b := blueprint.Record.Identifier, blocks.Unregister
	if b == nil {
		b = &catalog.Block{Roles: []string{string(identity.Admin)}}
	}
	if caller.User == nil || b.Policy != nil || !names(b, caller.User, writerRoles(caller, identifier)) {
		return fault.New(fault.Forbidden, "", "%s may not delete all entities of the blueprint %s", who(caller), identifier)
	}
	return nil
}

// writerRoles are the roles of a user in the permissions of a blueprint, whose moderators count as Admins.
func writerRoles(caller identity.Caller, blueprint string) []string {
	held := roles(caller.User)
	if caller.Moderates(blueprint) {
		held = append(held, string(identity.Admin))
	}
	return held
}

// writing is a change that is being judged.
type writing struct {
	j      *Judge
	caller identity.Caller
	c      *catalog.Change
	roles  []string
	// facts are made when a policy first needs them.
	facts *facts
}

// allows reports whether a block lets the caller make the change.
func (w *writing) allows(ctx context.Context, b *catalog.Block) (bool, error) {
	u := w.caller.User
	switch {
	case b == nil:
		return slices.Contains(w.roles, string(identity.Admin)), nil
	case b.Policy != nil:
		return w.holds(ctx, b.Policy)
	case names(b, u, w.roles):
		return true, nil
	case !b.OwnedByTeam:
		return false, nil
	}
	search, err := ownedSearch(u, "")
	if search == nil || err != nil {
		return false, err
	}
	return w.c.Matches(ctx, search)
}

// holds judges a policy of either form.
func (w *writing) holds(ctx context.Context, p *catalog.Policy) (bool, error) {
	if w.facts == nil {
		entity, err := w.c.View(ctx)
		if err != nil {
			return false, err
		}
		w.facts = &facts{caller: w.caller, entity: entity, blueprint: w.c.Blueprint.Record.Identifier, at: w.j.Now()}
	}
	if p.Entity == nil {
		return w.j.holds(ctx, p, w.facts)
	}
	value, err := w.j.value(ctx, w.facts)
	if err != nil {
		return false, err
	}
	search, err := w.j.bound(ctx, p.Entity, jqtemplate.NewData(value), w.caller)
	if err != nil {
		// A search that cannot be made holds for nothing.
		if ctx.Err() == nil && ignored(err) {
			err = nil
		}
		return false, err
	}
	return w.c.Matches(ctx, search)
}

// updates judges an update; left are the properties and relations that the caller may not change.
func (w *writing) updates(ctx context.Context, blocks *catalog.EntityBlocks) (allowed bool, left []string, err error) {
	if allowed, err = w.allows(ctx, blocks.Update); allowed || err != nil {
		return allowed, nil, err
	}
	properties, relations, err := w.c.Touched()
	if err != nil {
		return false, nil, err
	}
	for _, group := range []struct {
		names  []string
		blocks map[string]*catalog.Block
	}{{properties, blocks.Properties}, {relations, blocks.Relations}} {
		for _, name := range group.names {
			allowed := false
			if b := group.blocks[name]; b != nil {
				if allowed, err = w.allows(ctx, b); err != nil {
					return false, nil, err
				}
			}
			if !allowed {
				left = append(left, name)
			}
		}
	}
	if len(properties)+len(relations) > 0 {
		return len(left) == 0, left, nil
	}
	// Who sends the same again may, if there is anything that they may change.
	for _, group := range []map[string]*catalog.Block{blocks.Properties, blocks.Relations} {
		for _, b := range group {
			if b == nil {
				continue
			}
			if allowed, err := w.allows(ctx, b); allowed || err != nil {
				return allowed, nil, err
			}
		}
	}
	return false, nil, nil
}
