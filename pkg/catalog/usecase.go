package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// writeTries is how often a change starts over because somebody else wrote the same thing meanwhile.
const writeTries = 20

// Service carries out what is asked of a catalog. It keeps compiled blueprints until the store's stamp
// moves, and is safe for concurrent use.
//
// It promises that a refused change leaves nothing behind, that two changes of one entity at once are
// both in it afterwards, and that whoever wrote something finds it at once.
type Service struct {
	store Store
	now   func() time.Time
	// reads says that nothing is ever written, built-in blueprints included.
	reads bool

	mu    sync.Mutex
	known *snapshot
}

// NewService returns a service over a store. Now nil means time.Now.
func NewService(s Store, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{store: s, now: now}
}

// Kept is a stored blueprint and its compiled form. Both are shared: read only.
type Kept struct {
	Record *Blueprint
	// Definition is nil when Err is set.
	Definition *Definition
	// Err says why the stored blueprint cannot be used by this code. It can be replaced and deleted.
	Err error

	// schema is the member properties of its schema.
	schema *jqtemplate.Object
}

// usable returns the compiled form, or why there is none.
func (k *Kept) usable() (*Definition, error) { return k.Definition, k.Err }

// snapshot is all blueprints at one moment. It is never changed.
type snapshot struct {
	stamp int64
	// list is by identifier.
	list       []*Kept
	identifier map[string]*Kept
	id         map[string]*Kept
}

func (n *snapshot) get(identifier string) (*Kept, error) {
	if k := n.identifier[identifier]; k != nil {
		return k, nil
	}
	if utf8.RuneCountInString(identifier) > MaxBlueprintIdentifier {
		return nil, fault.New(fault.NotFound, "", "there is no such blueprint")
	}
	return nil, fault.New(fault.NotFound, "", "there is no blueprint %q", identifier)
}

// usable returns a blueprint whose definition can be read.
func (n *snapshot) usable(identifier string) (*Kept, error) {
	k, err := n.get(identifier)
	if err != nil {
		return nil, err
	}
	if _, err := k.usable(); err != nil {
		return nil, err
	}
	return k, nil
}

// snapshot returns all blueprints as they are now. The built-in ones are made if they are not there.
func (s *Service) snapshot(ctx context.Context) (*snapshot, error) {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := s.store.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of blueprints: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil && s.known.stamp == stamp {
		return s.known, nil
	}
	records, err := s.store.Blueprints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read blueprints: %w", err)
	}
	made := false
	if !s.reads {
		if made, err = s.makeSystem(ctx, records); err != nil {
			return nil, err
		}
	}
	if made {
		if records, err = s.store.Blueprints(ctx); err != nil {
			return nil, fmt.Errorf("read blueprints: %w", err)
		}
	}
	n := &snapshot{stamp: stamp, identifier: map[string]*Kept{}, id: map[string]*Kept{}}
	for _, r := range records {
		k := s.kept(r)
		n.list = append(n.list, k)
		n.identifier[r.Identifier], n.id[r.ID] = k, k
	}
	if !made {
		s.known = n
	}
	return n, nil
}

// kept compiles a record, unless its text is the same as before.
func (s *Service) kept(r *Blueprint) *Kept {
	if s.known != nil {
		if old := s.known.id[r.ID]; old != nil && bytes.Equal(old.Record.Definition, r.Definition) {
			k := *old
			k.Record = r
			return &k
		}
	}
	k := &Kept{Record: r}
	d, err := ParseBlueprint(r.Definition)
	if err != nil {
		k.Err = &fault.Error{
			Kind: fault.Invalid, Code: "blueprint_unreadable", Err: err,
			Message: fmt.Sprintf("the stored blueprint %q cannot be read by this version; save it anew", r.Identifier),
		}
		return k
	}
	k.Definition = d
	if o, err := decodeObject(r.Definition, "a blueprint"); err == nil {
		k.schema = document.Object(document.Object(o, "schema"), "properties")
	}
	return k
}

// makeSystem makes the built-in blueprints that are not there.
func (s *Service) makeSystem(ctx context.Context, records []*Blueprint) (made bool, err error) {
	for _, identifier := range []string{TeamBlueprint, UserBlueprint} {
		if slices.ContainsFunc(records, func(b *Blueprint) bool { return b.Identifier == identifier }) {
			continue
		}
		text, err := SystemBlueprint(identifier)
		if err != nil {
			return false, err
		}
		now := s.moment()
		err = s.store.CreateBlueprint(ctx, &Blueprint{
			Identifier: identifier, ID: NewBlueprintID(), Definition: text,
			CreatedAt: now, UpdatedAt: now, CreatedBy: "longshore", UpdatedBy: "longshore",
		})
		if err != nil && !fault.Is(err, "identifier_taken") {
			return false, fmt.Errorf("make blueprint %s: %w", identifier, err)
		}
		made = true
	}
	return made, nil
}

// moment is the time as it is stored.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// again reports whether a change is to start over, after a short pause that grows.
func again(ctx context.Context, err error, try int) bool {
	if !fault.Is(err, "conflict") || try >= writeTries {
		return false
	}
	pause := time.NewTimer(time.Duration(rand.Int64N(int64(min(try, 10)) * int64(5*time.Millisecond))))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-pause.C:
		return true
	}
}

// absent reports whether an error only says that something is not there.
func absent(err error) bool { return fault.KindOf(err) == fault.NotFound }

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
	d, err := ParseBlueprint(compact)
	if err != nil {
		return nil, err
	}
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.checkTargets(d); err != nil {
		return nil, err
	}
	b := &Blueprint{
		Identifier: d.Identifier, ID: NewBlueprintID(), Definition: compact, Page: page,
		CreatedAt: by.At, UpdatedAt: by.At, CreatedBy: by.ID, UpdatedBy: by.ID,
	}
	if err := s.store.CreateBlueprint(ctx, b); err != nil {
		return nil, fmt.Errorf("create blueprint: %w", err)
	}
	return &Kept{Record: b, Definition: d}, nil
}

// checkTargets refuses relations to blueprints that are not there.
func (n *snapshot) checkTargets(d *Definition) error {
	var faults document.Faults
	for _, r := range d.Relations {
		if r.Target != d.Identifier && n.identifier[r.Target] == nil {
			faults.Add(document.Below("relations", r.Name)+".target", "there is no such blueprint")
		}
	}
	return faults.Err()
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
		if err == nil && k.Record.Identifier != identifier {
			err = s.follow(ctx, identifier, k.Record.Identifier, by)
			return k, err
		}
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
	d, err := ParseBlueprint(text)
	if err != nil {
		return nil, err
	}
	if d.Identifier != identifier {
		if text, d, err = retarget(text, identifier, d.Identifier); err != nil {
			return nil, err
		}
	}
	if err := n.checkTargets(d); err != nil {
		return nil, err
	}
	b := *old.Record
	b.Identifier, b.Definition, b.UpdatedAt, b.UpdatedBy = d.Identifier, text, by.At, by.ID
	if err := s.store.ReplaceBlueprint(ctx, identifier, &b); err != nil {
		return nil, fmt.Errorf("replace blueprint: %w", err)
	}
	return &Kept{Record: &b, Definition: d}, nil
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
		if err := s.store.ReplaceBlueprint(ctx, b.Identifier, &b); err != nil && !absent(err) {
			return fmt.Errorf("let relations of blueprint %s follow: %w", b.Identifier, err)
		}
	}
	return nil
}

// DeleteBlueprint removes a blueprint. fault.Conflict, has_dependents, when it has entities or other
// blueprints relate to it; built-in ones stay.
func (s *Service) DeleteBlueprint(ctx context.Context, identifier string, by Author) error {
	for try := 1; ; try++ {
		err := s.tryDelete(ctx, identifier, by)
		if err == nil || !again(ctx, err, try) {
			return err
		}
	}
}

func (s *Service) tryDelete(ctx context.Context, identifier string, by Author) error {
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	k, err := n.get(identifier)
	if err != nil {
		return err
	}
	if IsSystem(identifier) {
		return fault.New(fault.Conflict, "system_blueprint", "the blueprint %s is built in and cannot be deleted", identifier)
	}
	var users []string
	for _, other := range n.list {
		if other != k && other.Definition != nil &&
			slices.ContainsFunc(other.Definition.Relations, func(r Relation) bool { return r.Target == identifier }) {
			users = append(users, other.Record.Identifier)
		}
	}
	if len(users) > 0 {
		return fault.New(fault.Conflict, "has_dependents", "relations of other blueprints lead to %s: %s", identifier, named(users))
	}
	for from := ""; ; {
		page, err := s.store.List(ctx, k.Record.ID, from, 3)
		if err != nil {
			return fmt.Errorf("look for entities: %w", err)
		}
		if len(page.Entities) > 0 {
			names := make([]string, len(page.Entities))
			for i, e := range page.Entities {
				names[i] = e.Identifier
			}
			if page.Next != "" {
				names = append(names, "…")
			}
			return fault.New(fault.Conflict, "has_dependents", "the blueprint %s has entities: %s", identifier, strings.Join(names, ", "))
		}
		if from = page.Next; from == "" {
			break
		}
	}
	if err := s.store.DeleteBlueprint(ctx, k.Record, by); err != nil {
		return fmt.Errorf("delete blueprint: %w", err)
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

// Count returns how many entities a blueprint has; it may lag behind by a moment.
func (s *Service) Count(ctx context.Context, blueprint string) (int, error) {
	k, err := s.Blueprint(ctx, blueprint)
	if err != nil {
		return 0, err
	}
	count, err := s.store.Count(ctx, k.Record.ID)
	if err != nil {
		return 0, fmt.Errorf("count entities: %w", err)
	}
	return count, nil
}

// lookup implements Lookup among the blueprints of a snapshot.
type lookup struct {
	store Store
	n     *snapshot
}

// Definition implements Lookup.
func (l *lookup) Definition(_ context.Context, blueprint string) (*Definition, error) {
	if k := l.n.identifier[blueprint]; k != nil {
		return k.Definition, nil
	}
	return nil, nil
}

// Related implements Lookup.
func (l *lookup) Related(ctx context.Context, blueprint string, identifiers []string) ([]*Entity, error) {
	k := l.n.identifier[blueprint]
	if k == nil {
		return nil, nil
	}
	keys := make([]Key, len(identifiers))
	for i, identifier := range identifiers {
		keys[i] = Key{k.Record.ID, identifier}
	}
	return l.store.Entities(ctx, keys)
}

// permissionKinds are the kinds of writes that a blueprint's permissions are about.
func permissionKinds() []string { return []string{"register", "unregister", "update"} }

// Permissions returns a blueprint's permissions: those that were written, else the defaults, by which
// admins may do everything.
func (s *Service) Permissions(ctx context.Context, identifier string) (json.RawMessage, error) {
	k, err := s.Blueprint(ctx, identifier)
	if err != nil {
		return nil, err
	}
	return k.permissions(), nil
}

func (k *Kept) permissions() json.RawMessage {
	if k.Record.Permissions != nil {
		return k.Record.Permissions
	}
	block := func() any {
		o := new(jqtemplate.Object)
		o.Set("users", []any{})
		o.Set("roles", []any{"Admin"})
		o.Set("teams", []any{})
		o.Set("ownedByTeam", false)
		return o
	}
	entities, properties, relations := new(jqtemplate.Object), new(jqtemplate.Object), new(jqtemplate.Object)
	for _, kind := range permissionKinds() {
		entities.Set(kind, block())
	}
	if d := k.Definition; d != nil {
		for _, p := range d.Properties {
			properties.Set(p.Name, block())
		}
		for _, r := range d.Relations {
			relations.Set(r.Name, block())
		}
	}
	entities.Set("updateProperties", properties)
	entities.Set("updateRelations", relations)
	all := new(jqtemplate.Object)
	all.Set("entities", entities)
	return jqtemplate.Encode(all)
}

// PatchPermissions merges a change into a blueprint's permissions and returns them: blocks are merged
// member by member, lists and policies replaced; null removes a block or a policy.
func (s *Service) PatchPermissions(ctx context.Context, identifier string, text json.RawMessage) (json.RawMessage, error) {
	if err := checkPermissions(text); err != nil {
		return nil, err
	}
	change, err := document.Compact(text)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		k, err := s.Blueprint(ctx, identifier)
		if err != nil {
			return nil, err
		}
		b := *k.Record
		b.Permissions = mergePermissions(k.permissions(), change)
		err = s.store.ReplaceBlueprint(ctx, identifier, &b)
		if err == nil {
			return b.Permissions, nil
		}
		if !again(ctx, err, try) {
			return nil, fmt.Errorf("write permissions: %w", err)
		}
	}
}

func mergePermissions(stored, change json.RawMessage) json.RawMessage {
	all, err := document.ParseMembers(stored)
	if err != nil {
		return change
	}
	given, err := document.ParseMembers(change)
	if err != nil {
		return stored
	}
	given, err = document.ParseMembers(or(given.Get("entities")))
	if err != nil {
		return stored
	}
	entities, err := document.ParseMembers(all.Get("entities"))
	if err != nil {
		entities = new(document.Members)
	}
	for name, value := range given.All() {
		depth := 1
		if name == "updateProperties" || name == "updateRelations" {
			depth = 2
		}
		mergeMember(entities, name, value, depth)
	}
	all.Set("entities", entities.Encode())
	return all.Encode()
}

// checkPermissions finds the faults of a change of permissions.
func checkPermissions(text json.RawMessage) error {
	o, err := decodeObject(text, "the body")
	if err != nil {
		return err
	}
	var faults document.Faults
	faults.Finite(o, "")
	for name := range o.All() {
		if name != "entities" {
			faults.Add(document.Below("", name), "is not a member of permissions; they have entities")
		}
	}
	if v, ok := o.Get("entities"); ok && v != nil && document.Object(o, "entities") == nil {
		faults.Add("entities", "must be an object")
	}
	for name, v := range document.Object(o, "entities").All() {
		path := document.Below("entities", name)
		switch name {
		case "read", "register", "unregister", "update":
			checkBlock(&faults, v, path)
		case "updateProperties", "updateRelations":
			group, isObject := v.(*jqtemplate.Object)
			if !isObject && v != nil {
				faults.Add(path, "must be an object")
			}
			for member, v := range group.All() {
				checkBlock(&faults, v, document.Below(path, member))
			}
		default:
			faults.Add(path, "is not known; there are read, register, unregister, update, updateProperties, updateRelations")
		}
	}
	return faults.Err()
}

func checkBlock(faults *document.Faults, v any, path string) {
	if v == nil {
		return
	}
	block, isObject := v.(*jqtemplate.Object)
	if !isObject {
		faults.Add(path, "must be an object")
		return
	}
	for name, v := range block.All() {
		at := document.Below(path, name)
		switch name {
		case "users", "roles", "teams":
			list, isList := v.([]any)
			if !isList || len(document.Texts(v)) != len(list) {
				faults.Add(at, "must be an array of strings")
			}
		case "ownedByTeam":
			if _, isBool := v.(bool); !isBool {
				faults.Add(at, "must be a boolean")
			}
		case "policy":
			if _, isObject := v.(*jqtemplate.Object); !isObject && v != nil {
				faults.Add(at, "must be an object")
			}
		default:
			faults.Add(at, "is not known; there are users, roles, teams, ownedByTeam, policy")
		}
	}
}
