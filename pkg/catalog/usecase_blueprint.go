package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/audit"
	"longshore/pkg/document"
	"longshore/pkg/fault"
)

// Blueprints returns all blueprints, by identifier.
func (s *Service) Blueprints(ctx context.Context) ([]*Kept, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.list), nil
}

// Blueprint returns one blueprint. fault.NotFound when there is none.
func (s *Service) Blueprint(ctx context.Context, identifier string) (*Kept, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return n.get(identifier)
}

// CreateBlueprint keeps a new blueprint. fault.Invalid with all faults; fault.Conflict when the
// identifier is taken.
func (s *Service) CreateBlueprint(ctx context.Context, text json.RawMessage, page bool, by Author) (*Kept, error) {
	compact, err := CompactBlueprint(text, "")
	if err != nil {
		return nil, err
	}
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	d, err := parseBlueprint(compact, n.checkTargets)
	if err != nil {
		return nil, err
	}
	b := &Blueprint{
		Identifier: d.Identifier, ID: NewBlueprintID(), Definition: compact, Page: page,
		CreatedAt: by.At, UpdatedAt: by.At, CreatedBy: by.ID, UpdatedBy: by.ID,
	}
	if err := s.store.CreateBlueprint(ctx, b, blueprintEntry(audit.Create, nil, b, by)); err != nil {
		return nil, fmt.Errorf("create blueprint: %w", err)
	}
	return &Kept{Record: b, Definition: d}, nil
}

// checkTargets refuses relations to blueprints that are not there.
func (n *snapshot) checkTargets(d *Definition, faults *document.Faults) {
	for _, r := range d.Relations {
		switch target := n.identifier[r.Target]; {
		case r.Target == d.Identifier || r.Target == "":
		case target == nil:
			faults.Add(document.Below("relations", r.Name)+".target", "there is no such blueprint")
		case target.Record.Deleting:
			faults.Add(document.Below("relations", r.Name)+".target", "the blueprint is being deleted")
		}
	}
}

// ReplaceBlueprint puts a definition in the place of a blueprint. It may carry another identifier:
// relations that lead to the blueprint follow, and its entities stay its own.
func (s *Service) ReplaceBlueprint(ctx context.Context, identifier string, text json.RawMessage, by Author) (*Kept, error) {
	return s.changeBlueprint(ctx, identifier, by, func(json.RawMessage) (json.RawMessage, error) {
		return CompactBlueprint(text, identifier)
	})
}

// PatchBlueprint merges a change into a blueprint, as MergeBlueprint does.
func (s *Service) PatchBlueprint(ctx context.Context, identifier string, text json.RawMessage, by Author) (*Kept, error) {
	return s.changeBlueprint(ctx, identifier, by, func(stored json.RawMessage) (json.RawMessage, error) {
		return MergeBlueprint(stored, text)
	})
}

func (s *Service) changeBlueprint(ctx context.Context, identifier string, by Author, change func(json.RawMessage) (json.RawMessage, error)) (*Kept, error) {
	for try := 1; ; try++ {
		k, err := s.tryBlueprint(ctx, identifier, by, change)
		if err == nil || !again(ctx, err, try) {
			return k, err
		}
	}
}

func (s *Service) tryBlueprint(ctx context.Context, identifier string, by Author, change func(json.RawMessage) (json.RawMessage, error)) (*Kept, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	old, err := n.get(identifier)
	if err != nil {
		return nil, err
	}
	text, err := change(old.Record.Definition)
	if err != nil {
		return nil, err
	}
	if IsSystem(identifier) {
		if text, err = CompleteSystem(identifier, text); err != nil {
			return nil, err
		}
	}
	d, err := parseBlueprint(text, n.checkTargets)
	if err != nil {
		return nil, err
	}
	if d.Identifier != identifier {
		if n.identifier[d.Identifier] != nil {
			return nil, fault.New(fault.Conflict, "identifier_taken", "a blueprint with the identifier %q exists already", d.Identifier)
		}
		if text, d, err = retarget(text, identifier, d.Identifier); err != nil {
			return nil, err
		}
	}
	b := *old.Record
	b.Identifier, b.Definition, b.UpdatedAt, b.UpdatedBy = d.Identifier, text, by.At, by.ID
	if err := b.fits(); err != nil {
		return nil, err
	}
	replace := func() error {
		return s.store.ReplaceBlueprint(ctx, identifier, &b, blueprintEntry(audit.Update, old.Record, &b, by))
	}
	if d.Identifier == identifier {
		err = replace()
	} else {
		err = s.renameBlueprint(ctx, &Migration{Kind: MigrateBlueprintRename, Blueprint: b.ID, Name: identifier, To: d.Identifier, By: by}, replace)
	}
	if err != nil {
		return nil, fmt.Errorf("replace blueprint: %w", err)
	}
	return &Kept{Record: &b, Definition: d}, nil
}

// renameBlueprint gives a blueprint another identifier and lets the relations of other blueprints follow. That
// they have to is recorded before: it goes on even if its first slice fails.
func (s *Service) renameBlueprint(ctx context.Context, m *Migration, replace func() error) error {
	if err := s.begin(ctx, m); err != nil {
		return err
	}
	err := replace()
	if kind := fault.KindOf(err); kind == fault.Conflict || kind == fault.NotFound {
		return errors.Join(err, s.cancel(ctx, m))
	}
	if err != nil {
		// It may have been renamed all the same: the next slice finds that out.
		return err
	}
	_ = s.first(ctx, m)
	return nil
}

// sliceBlueprintRename lets relations follow a blueprint to the identifier that it has now. There is nothing to
// do where it was not renamed after all, or is gone.
func (s *Service) sliceBlueprintRename(ctx context.Context, m *Migration) (finished bool, err error) {
	for from := m.Name; ; {
		n, err := s.snapshot(ctx)
		if err != nil {
			return false, err
		}
		k := n.id[m.Blueprint]
		if k == nil || k.Record.Identifier == from {
			return true, nil
		}
		if err := s.follow(ctx, from, k.Record.Identifier, s.author(m)); err != nil {
			return false, err
		}
		// It may have got another one meanwhile.
		from = k.Record.Identifier
	}
}

// retarget returns a definition whose relations lead to another identifier.
func retarget(text json.RawMessage, from, to string) (json.RawMessage, *Definition, error) {
	m, err := document.ParseMembers(text)
	if err != nil {
		return nil, nil, fmt.Errorf("follow a rename: %w", err)
	}
	if document.IsSet(m.Get("relations")) {
		relations, err := document.ParseMembers(m.Get("relations"))
		if err != nil {
			return nil, nil, fmt.Errorf("follow a rename: %w", err)
		}
		for name, value := range relations.All() {
			r, err := document.ParseMembers(value)
			if err != nil {
				return nil, nil, fmt.Errorf("follow a rename: %w", err)
			}
			var target string
			if json.Unmarshal(r.Get("target"), &target) == nil && target == from {
				r.SetText("target", to)
				relations.Set(name, r.Encode())
			}
		}
		m.Set("relations", relations.Encode())
	}
	text = m.Encode()
	d, err := ParseBlueprint(text)
	return text, d, err
}

// follow lets the relations of other blueprints lead to a new identifier.
func (s *Service) follow(ctx context.Context, from, to string, by Author) error {
	for try := 1; ; try++ {
		err := s.tryFollow(ctx, from, to, by)
		if err == nil || !again(ctx, err, try) {
			return err
		}
	}
}

func (s *Service) tryFollow(ctx context.Context, from, to string, by Author) error {
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	for _, k := range n.list {
		if k.Definition == nil || !slices.ContainsFunc(k.Definition.Relations, func(r Relation) bool { return r.Target == from }) {
			continue
		}
		b := *k.Record
		if b.Definition, _, err = retarget(b.Definition, from, to); err != nil {
			return err
		}
		b.UpdatedAt, b.UpdatedBy = by.At, by.ID
		err := s.store.ReplaceBlueprint(ctx, b.Identifier, &b, blueprintEntry(audit.Update, k.Record, &b, by))
		if err != nil && !absent(err) {
			return fmt.Errorf("let relations of blueprint %s follow: %w", b.Identifier, err)
		}
	}
	return nil
}

// DeleteBlueprint removes a blueprint. fault.Conflict: has_dependents, when it has entities or other
// blueprints relate to it; system_blueprint, when it is built in; blueprint_deleting, when it is being
// deleted already. It is marked before it is looked through, so that no entity is written meanwhile, and
// recorded before that, so that the mark does not outlive a crash.
func (s *Service) DeleteBlueprint(ctx context.Context, identifier string, by Author) error {
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	k, err := n.get(identifier)
	if err != nil {
		return err
	}
	if err := n.deletable(k); err != nil {
		return err
	}
	if k.Record.Deleting {
		return beingDeleted(identifier)
	}
	page, err := s.store.List(ctx, k.Record.ID, "", slicePage)
	if err != nil {
		return fmt.Errorf("look for entities: %w", err)
	}
	if len(page.Entities) > 0 {
		names := make([]string, len(page.Entities))
		for i, e := range page.Entities {
			names[i] = e.Identifier
		}
		return fault.New(fault.Conflict, "has_dependents", "the blueprint %s has entities: %s", identifier, named(names))
	}
	m := &Migration{Kind: MigrateBlueprint, Blueprint: k.Record.ID, Name: identifier, By: by}
	if err := s.begin(ctx, m); err != nil {
		return err
	}
	if err := s.slice(ctx, m, newBudget(ctx, s.sizes.first, sliceTime)); err != nil {
		return err
	}
	switch m.Status {
	case MigrationFailure:
		return fault.New(fault.Conflict, "has_dependents", "%s", m.Error)
	case MigrationRunning:
		return fault.Busy(nil, sliceLost, "the blueprint %s is still being looked through for entities, and is deleted if it has none", identifier)
	}
	return nil
}

// named joins the first of some names.
func named(names []string) string {
	const shown = 10
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
