package catalog

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

const (
	// readAtOnce is how many entities a list or a search reads from the store at a time.
	readAtOnce = 200
	// searchTime is how long a list or search goes on before it gives the way to continue.
	searchTime = 8 * time.Second
	// maxRelated is how many entities a rule about relations may lead to.
	maxRelated = 10_000
	// maxRelatedHops is how far such a rule goes when it names no path.
	maxRelatedHops = 15
)

// Find is a list of entities, or a search among them.
type Find struct {
	// Search is nil for all entities.
	Search *Search
	// Blueprint restricts to one blueprint; empty for all.
	Blueprint string
	// From is the Next of an answer to the same request.
	From string
	// Limit and Bytes are the most entities and the most bytes of their views; Bytes 0 is no bound.
	Limit, Bytes int
	Selection    Selection

	// all goes on to the end whatever the time.
	all bool
}

// Found is what a list or a search yields.
type Found struct {
	// Views are the entities as they are answered.
	Views []json.RawMessage
	// Blueprints are those of the entities, sorted.
	Blueprints []string
	// Next continues behind the last one; empty at the end.
	Next string

	keys  []Key
	bytes int
}

// Find lists entities, or searches. It ends at the limit, at the bytes, or when it has taken long. From
// that leads nowhere is a fault.Invalid.
func (s *Service) Find(ctx context.Context, f Find) (*Found, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var among []*Kept
	if f.Blueprint != "" {
		k, err := n.usable(f.Blueprint)
		if err != nil {
			return nil, err
		}
		among = []*Kept{k}
	} else {
		among = n.list
	}
	return s.search(ctx, n, f, among)
}

// place is where a search goes on: in a blueprint, behind what the store's own token says, or, of
// entities that were looked up by identifier, behind one of them.
type place struct {
	Blueprint string `json:"b"`
	From      string `json:"f,omitempty"`
	Behind    string `json:"i,omitempty"`
}

func (p place) token() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("encode strings: %v", err)) // Strings have JSON.
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func badPlace() error {
	return fault.InvalidDetails([]fault.Detail{{Path: "from", Message: "must be the next of an answer to the same request"}})
}

func parsePlace(token string) (p place, err error) {
	if token == "" {
		return p, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(text, &p) != nil || !strings.HasPrefix(p.Blueprint, "bp_") {
		return p, badPlace()
	}
	return p, nil
}

// search goes through blueprints in the order of their internal ids, which never changes.
func (s *Service) search(ctx context.Context, n *snapshot, f Find, among []*Kept) (*Found, error) {
	at, err := parsePlace(f.From)
	if err != nil {
		return nil, err
	}
	if at.Blueprint != "" && f.Blueprint != "" && at.Blueprint != among[0].Record.ID {
		return nil, badPlace()
	}
	r := &searching{s: s, n: n, f: f, found: &Found{}}
	if err := r.bind(ctx, f.Search); err != nil {
		return nil, err
	}
	// What the search itself reads does not count: a page would end before it begins, and so would the next.
	r.until = time.Now().Add(searchTime)
	if r.search != nil {
		if only, ok := r.search.Blueprints(); ok {
			among = slices.DeleteFunc(slices.Clone(among), func(k *Kept) bool { return !slices.Contains(only, k.Record.Identifier) })
		}
	}
	among = slices.DeleteFunc(slices.Clone(among), func(k *Kept) bool { return k.Definition == nil || k.Record.ID < at.Blueprint })
	slices.SortFunc(among, func(a, b *Kept) int { return cmp.Compare(a.Record.ID, b.Record.ID) })
	stopped, err := r.through(ctx, among, at)
	if err != nil {
		return nil, err
	}
	if stopped != nil {
		r.found.Next = stopped.token()
	}
	slices.Sort(r.found.Blueprints)
	r.found.Blueprints = slices.Compact(r.found.Blueprints)
	return r.found, nil
}

// searching is a list or a search on its way.
type searching struct {
	s *Service
	n *snapshot
	f Find
	// search is bound; teams are set when it is about teams.
	search *Search
	needs  Needs
	teams  teamNames
	found  *Found
	until  time.Time
}

// full reports whether no more is wanted.
func (r *searching) full() bool {
	return len(r.found.keys) >= r.f.Limit || !r.f.all && time.Now().After(r.until)
}

// list reads the entities of a blueprint one page after the other. It stops only between pages: a page
// of which not everything fits is read again, shorter.
func (r *searching) list(ctx context.Context, k *Kept, at place) (*place, error) {
	size := readAtOnce
	for {
		if r.full() {
			return &at, nil
		}
		page, err := r.s.store.List(ctx, k.Record.ID, at.From, min(size, r.most()))
		if err != nil {
			return nil, fmt.Errorf("list entities: %w", err)
		}
		if page.Entities, err = r.n.readAll(page.Entities); err != nil {
			return nil, err
		}
		entities, err := r.matching(ctx, k, page.Entities)
		if err != nil {
			return nil, err
		}
		if more := r.f.Limit - len(r.found.keys); len(entities) > more {
			size = slices.Index(page.Entities, entities[more-1]) + 1
			continue
		}
		views, bytes, err := r.views(ctx, k, entities)
		if err != nil {
			return nil, err
		}
		if r.f.Bytes > 0 && r.found.bytes+bytes > r.f.Bytes {
			switch {
			case len(page.Entities) > 1:
				size = len(page.Entities) / 2
				continue
			case len(r.found.keys) > 0:
				r.f.Limit = len(r.found.keys)
				return &at, nil
			}
		}
		r.add(k, entities, views, bytes)
		if at.From = page.Next; at.From == "" {
			return nil, nil
		}
		size = readAtOnce
	}
}

// most is how many entities are worth reading: without a search no more than are wanted.
func (r *searching) most() int {
	if r.search == nil {
		return r.f.Limit - len(r.found.keys)
	}
	return readAtOnce
}

func (r *searching) add(k *Kept, entities []*Entity, views []json.RawMessage, bytes int) {
	for _, e := range entities {
		r.found.keys = append(r.found.keys, e.Key)
	}
	if len(entities) > 0 && !slices.Contains(r.found.Blueprints, k.Record.Identifier) {
		r.found.Blueprints = append(r.found.Blueprints, k.Record.Identifier)
	}
	r.found.Views = append(r.found.Views, views...)
	r.found.bytes += bytes
}

// views shows entities, unless only their keys are wanted, and adds up their bytes with a comma each.
func (r *searching) views(ctx context.Context, k *Kept, entities []*Entity) ([]json.RawMessage, int, error) {
	if r.f.all || len(entities) == 0 {
		return nil, 0, nil
	}
	views, err := EntityViews(ctx, k.Definition, entities, r.f.Selection, r.lookup())
	if err != nil {
		return nil, 0, err
	}
	bytes := 0
	for _, v := range views {
		bytes += len(v) + 1
	}
	return views, bytes, nil
}

func (r *searching) lookup() *lookup { return &lookup{r.s.store, r.n} }

// matching returns those of some entities of a blueprint that the search is for.
func (r *searching) matching(ctx context.Context, k *Kept, entities []*Entity) ([]*Entity, error) {
	if r.search == nil || len(entities) == 0 {
		return entities, nil
	}
	views, err := r.decodedViews(ctx, k, entities, r.reads(k.Definition))
	if err != nil {
		return nil, err
	}
	subjects, err := r.subjects(ctx, k, entities, views)
	if err != nil {
		return nil, err
	}
	now := r.s.now()
	var matching []*Entity
	for i, subject := range subjects {
		if r.search.Matches(subject, now) {
			matching = append(matching, entities[i])
		}
	}
	return matching, nil
}

// reads is what the search reads of an entity: of computed properties those that rules name.
func (r *searching) reads(d *Definition) Selection {
	s := Selection{exclude: map[string]bool{}}
	leave := func(name string) {
		if !r.needs.Properties[name] {
			s.exclude["properties."+name] = true
		}
	}
	for _, m := range d.Mirrors {
		leave(m.Name)
	}
	for _, c := range d.Calculations {
		leave(c.Name)
	}
	return s
}

// decodedViews returns entities as they are answered.
func (r *searching) decodedViews(ctx context.Context, k *Kept, entities []*Entity, s Selection) ([]*jqtemplate.Object, error) {
	texts, err := EntityViews(ctx, k.Definition, entities, s, r.lookup())
	if err != nil {
		return nil, err
	}
	views := make([]*jqtemplate.Object, len(texts))
	for i, text := range texts {
		if views[i], err = decodeObject(text, "an entity"); err != nil {
			return nil, fmt.Errorf("read the view of %s: %w", entities[i].Identifier, err)
		}
	}
	return views, nil
}

// subjects returns entities as a search sees them; views are theirs, with all that it reads.
func (r *searching) subjects(ctx context.Context, k *Kept, entities []*Entity, views []*jqtemplate.Object) ([]*Subject, error) {
	owners, err := r.owners(ctx, k, entities)
	if err != nil {
		return nil, err
	}
	titles, err := r.titles(ctx, k, views)
	if err != nil {
		return nil, err
	}
	subjects := make([]*Subject, len(entities))
	for i, e := range entities {
		o := views[i]
		subject := &Subject{
			Key: e.Key, Blueprint: k.Record.Identifier, Title: document.Member(o, "title"), Icon: document.Member(o, "icon"),
			Team: document.Texts(document.Member(o, "team")), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
			CreatedBy: e.CreatedBy, UpdatedBy: e.UpdatedBy, Properties: document.Object(o, "properties"),
			Schema: k.schema, Relations: document.Object(o, "relations"),
		}
		subject.Team = r.teams.identifiers(subject.Team)
		subject.OwnedByTeam = subject.Team
		if owners != nil {
			subject.OwnedByTeam = r.teams.identifiers(owners[i])
		}
		subject.RelatedTitle = func(relation, identifier string) string { return titles[[2]string{relation, identifier}] }
		subjects[i] = subject
	}
	return subjects, nil
}

// owners returns the teams that own entities by a path of their blueprint; nil where each owns itself.
func (r *searching) owners(ctx context.Context, k *Kept, entities []*Entity) ([][]string, error) {
	if k.Definition.Ownership != "Inherited" || k.Definition.OwnershipPath == "" {
		return nil, nil
	}
	nodes := make([]*node, len(entities))
	for i, e := range entities {
		c, err := parseContent(e.Content)
		if err != nil {
			return nil, err
		}
		nodes[i] = &node{e, c}
	}
	path := strings.Split(k.Definition.OwnershipPath, ".")
	if path[len(path)-1] != "$team" {
		path = append(path, "$team")
	}
	values, err := newMirrors(r.lookup()).compute(ctx, k.Definition, path, nodes)
	if err != nil {
		return nil, err
	}
	owners := make([][]string, len(values))
	for i, value := range values {
		v, err := jqtemplate.Decode(value)
		if err != nil {
			return nil, fmt.Errorf("read teams: %w", err)
		}
		owners[i] = document.Texts(v)
	}
	return owners, nil
}

// titles returns the titles of what relations that rules ask about lead to, by relation and identifier.
func (r *searching) titles(ctx context.Context, k *Kept, views []*jqtemplate.Object) (map[[2]string]string, error) {
	titles := map[[2]string]string{}
	for relation := range r.needs.RelatedTitles {
		declared, ok := k.Definition.Relation(relation)
		if !ok {
			continue
		}
		var names []string
		for _, o := range views {
			related := document.Object(o, "relations")
			names = append(append(names, document.Texts(document.Member(related, relation))...), document.Text(related, relation))
		}
		slices.Sort(names)
		for part := range slices.Chunk(slices.Compact(names), maxBatch) {
			entities, err := r.lookup().Related(ctx, declared.Target, part)
			if err != nil {
				return nil, fmt.Errorf("read titles of relation %s: %w", relation, err)
			}
			for _, e := range entities {
				o, err := decodeObject(e.Content, "an entity")
				if err != nil {
					return nil, fmt.Errorf("read the title of %s: %w", e.Identifier, err)
				}
				titles[[2]string{relation, e.Identifier}] = document.Text(o, "title")
			}
		}
	}
	return titles, nil
}
