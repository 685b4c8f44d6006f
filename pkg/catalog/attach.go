package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// named is an entity as answers name it where a title is asked for beside the identifier: the title is
// null when it has none, or is not there.
func (n *node) named(identifier string) json.RawMessage {
	o := new(document.Members)
	o.Set("identifier", jqtemplate.Encode(identifier))
	title := json.RawMessage(`null`)
	if n != nil {
		title = or(n.content.top.Get("title"))
	}
	o.Set("title", title)
	return o.Encode()
}

// attach returns what the mirror properties that show titles have in place of these when identifiers are
// asked for too, and reads what relations lead to when titles are.
func (v *viewer) attach(ctx context.Context, nodes []*node) (map[string][]json.RawMessage, error) {
	at := make([][]*node, len(nodes))
	for i, n := range nodes {
		at[i] = []*node{n}
	}
	for _, r := range v.d.Relations {
		if !v.s.AttachTitles || !v.s.member("relations", r.Name) {
			continue
		}
		if _, err := v.m.follow(ctx, r, at); err != nil {
			return nil, fmt.Errorf("titles of relation %s: %w", r.Name, err)
		}
	}
	values := map[string][]json.RawMessage{}
	for _, mirror := range v.d.Mirrors {
		if !v.s.AttachIdentifiers || !v.shown(mirror.Name) || len(mirror.Path) < 2 || mirror.Path[len(mirror.Path)-1] != "$title" {
			continue
		}
		end, err := v.m.walk(ctx, v.d, mirror.Path, nodes)
		if err != nil {
			return nil, fmt.Errorf("mirror property %s: %w", mirror.Name, err)
		}
		if len(end.path) != 1 {
			continue
		}
		list := make([]json.RawMessage, len(nodes))
		for i, reached := range end.at {
			named := make([]json.RawMessage, len(reached))
			for j, n := range reached {
				named[j] = n.named(n.entity.Identifier)
			}
			list[i] = joined(named, end.many)
		}
		values[mirror.Name] = list
	}
	return values, nil
}

// relation returns a relation as the answer has it.
func (v *viewer) relation(n *node, r Relation, titles bool) json.RawMessage {
	value := n.content.relation(r)
	if !titles || !document.IsSet(value) {
		return value
	}
	var named []json.RawMessage
	for _, identifier := range n.content.related(r.Name) {
		named = append(named, v.m.kept[[2]string{r.Target, identifier}].named(identifier))
	}
	return joined(named, r.Many)
}
