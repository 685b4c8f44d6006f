package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"longshore/pkg/api/client"
	"longshore/pkg/jqtemplate"
)

type applyCommand struct {
	connection
	Files []string `arg:"" name:"file" help:"JSON or YAML files, each with one or several blueprints, entities and actions, in any order."`
}

// The kinds of documents, in the order in which they are applied.
const (
	kindBlueprint = "blueprint"
	kindEntity    = "entity"
	kindAction    = "action"
)

// document is one object of a file.
type document struct {
	file   string
	number int
	kind   string
	// blueprint is an entity's.
	blueprint, identifier string
	text                  json.RawMessage
	value                 *jqtemplate.Object
	// permissions are an action's, nil for none.
	permissions json.RawMessage
}

func (d *document) name() string {
	if d.kind == kindEntity {
		return d.blueprint + "/" + d.identifier
	}
	return d.identifier
}

// key tells a document from all others of its kind.
func (d *document) key() string { return key(d.blueprint, d.identifier) }

// key is a document's: blueprints have one without a blueprint.
func key(blueprint, identifier string) string { return blueprint + "\x00" + identifier }

// fault says where an error comes from.
func (d *document) fault(err error) error {
	return fmt.Errorf("%s: document %d: %s %s: %w", d.file, d.number, d.kind, d.name(), err)
}

// applied is what became of a document.
type applied struct {
	Kind       string               `json:"kind"`
	Blueprint  string               `json:"blueprint,omitempty"`
	Identifier string               `json:"identifier"`
	Change     string               `json:"change"`
	Warnings   []jqtemplate.Warning `json:"warnings,omitempty"`
}

// What a document can change.
const (
	created   = "created"
	changed   = "changed"
	unchanged = "unchanged"
)

// Run reads every file before it changes anything.
func (c *applyCommand) Run(ctx context.Context, s *streams) error {
	kinds := map[string][]*document{}
	first := map[[2]string]*document{}
	for _, file := range c.Files {
		documents, err := readDocuments(file)
		if err != nil {
			return err
		}
		for _, d := range documents {
			key := [2]string{d.kind, d.key()}
			if other := first[key]; other != nil {
				return usage{d.fault(fmt.Errorf("it is in %s as document %d already", other.file, other.number))}
			}
			first[key] = d
			kinds[d.kind] = append(kinds[d.kind], d)
		}
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	a := &applier{server: server, streams: s, json: c.JSON}
	if err := a.graph(ctx, &blueprints{server, kinds[kindBlueprint]}); err != nil {
		return err
	}
	if err := a.graph(ctx, &entities{server, kinds[kindEntity], map[string]*jqtemplate.Object{}}); err != nil {
		return err
	}
	for _, d := range kinds[kindAction] {
		change, warnings, err := applyAction(ctx, server, d)
		if err != nil {
			return d.fault(err)
		}
		if err := a.report(d, change, warnings); err != nil {
			return err
		}
	}
	return nil
}

// applier makes a server have what documents say.
type applier struct {
	server  *client.Client
	streams *streams
	json    bool
}

// report prints what became of a document.
func (a *applier) report(d *document, change string, warnings []jqtemplate.Warning) error {
	for _, w := range warnings {
		fmt.Fprintf(a.streams.err, "longshore: %s: %s: %s does not compile: %s\n", d.name(), w.Path, w.Expression, w.Message)
	}
	if a.json {
		return printJSON(a.streams.out, applied{d.kind, d.blueprint, d.identifier, change, warnings})
	}
	_, err := fmt.Fprintf(a.streams.out, "%s %s %s\n", d.kind, d.name(), change)
	return err
}

// related are documents of a kind that relate to one another.
type related interface {
	all() []*document
	// read returns what the server has of a document, nil for nothing.
	read(ctx context.Context, d *document) (json.RawMessage, error)
	// relations returns what a document relates to.
	relations(ctx context.Context, d *document) ([]relation, error)
	// same reports whether the server has what a document says.
	same(ctx context.Context, current json.RawMessage, d *document) (bool, error)
	// write makes or replaces what a document is about.
	write(ctx context.Context, d *document, text json.RawMessage, there bool) ([]jqtemplate.Warning, error)
	// without returns a document's text without some of its relations.
	without(d *document, left []relation) json.RawMessage
}

// relation leads from a document to one of the same kind that has a key.
type relation struct {
	name, target string
	required     bool
}

// graph applies documents, each after those that it relates to. Where they relate in a circle, one that
// is new is written without the relations to what is not there yet, and whole at the end; one that is
// not new waits for the end.
func (a *applier) graph(ctx context.Context, g related) error {
	documents := g.all()
	index := map[string]int{}
	for i, d := range documents {
		index[d.key()] = i
	}
	current := make([]json.RawMessage, len(documents))
	relations := make([][]relation, len(documents))
	needs := make([][]link, len(documents))
	for i, d := range documents {
		var err error
		if current[i], err = g.read(ctx, d); err == nil {
			relations[i], err = g.relations(ctx, d)
		}
		if err != nil {
			return d.fault(err)
		}
		for _, r := range relations[i] {
			if j, ok := index[r.target]; ok && j != i {
				needs[i] = append(needs[i], link{j, r.required})
			}
		}
	}
	there := make([]bool, len(documents))
	for i := range documents {
		there[i] = current[i] != nil
	}
	var late []int
	for _, i := range order(needs) {
		d := documents[i]
		missing := slices.DeleteFunc(slices.Clone(relations[i]), func(r relation) bool {
			j, ok := index[r.target]
			return !ok || j == i || there[j]
		})
		if len(missing) == 0 {
			if err := a.put(ctx, g, d, current[i], there[i]); err != nil {
				return err
			}
			there[i] = true
			continue
		}
		late = append(late, i)
		if !there[i] {
			if _, err := g.write(ctx, d, g.without(d, missing), false); err != nil {
				return d.fault(err)
			}
			there[i] = true
		}
	}
	for _, i := range late {
		if err := a.put(ctx, g, documents[i], current[i], true); err != nil {
			return err
		}
	}
	return nil
}

// put writes a document unless the server has it as it is. Current is what the server had at first.
func (a *applier) put(ctx context.Context, g related, d *document, current json.RawMessage, there bool) error {
	change := created
	if current != nil {
		change = changed
		same, err := g.same(ctx, current, d)
		if err != nil {
			return d.fault(err)
		}
		if same {
			return a.report(d, unchanged, nil)
		}
	}
	warnings, err := g.write(ctx, d, d.text, there)
	if err != nil {
		return d.fault(err)
	}
	return a.report(d, change, warnings)
}

// applyAction makes the server's action equal to a document: the definition, then the permissions beside
// it, which may be needed as soon as it is there.
func applyAction(ctx context.Context, server *client.Client, d *document) (string, []jqtemplate.Warning, error) {
	change, warnings, err := applyDefinition(ctx, server, d)
	if err != nil || d.permissions == nil {
		return change, warnings, err
	}
	wrote, more, err := applyPermissions(ctx, server, d)
	if wrote && change == unchanged {
		change = changed
	}
	return change, append(warnings, more...), err
}

// applyDefinition makes the server's definition equal to a document.
func applyDefinition(ctx context.Context, server *client.Client, d *document) (string, []jqtemplate.Warning, error) {
	current, err := found(server.Action(ctx, d.identifier))
	if err != nil {
		return "", nil, err
	}
	if current == nil {
		saved, err := server.CreateAction(ctx, d.text)
		return created, saved.Warnings, err
	}
	same, err := sameAction(current, d.text)
	if err != nil || same {
		return unchanged, nil, err
	}
	saved, err := server.ReplaceAction(ctx, d.identifier, d.text)
	return changed, saved.Warnings, err
}

// found turns the answer that something is not there into nil.
func found(text json.RawMessage, err error) (json.RawMessage, error) {
	var missing *client.Error
	if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
		return nil, nil
	}
	return text, err
}

// readDocuments reads a file's documents, in order. What is wrong with the file is a mistake in the
// call; what is wrong with a definition is for the server to say.
func readDocuments(file string) ([]*document, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var texts []json.RawMessage
	if strings.EqualFold(filepath.Ext(file), ".json") {
		d := json.NewDecoder(bytes.NewReader(text))
		for {
			var one json.RawMessage
			if err = d.Decode(&one); err != nil {
				break
			}
			texts = append(texts, one)
		}
		if !errors.Is(err, io.EOF) {
			return nil, usage{fmt.Errorf("%s: document %d: %w", file, len(texts)+1, err)}
		}
	} else {
		values, err := fromYAML(text)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: %w", file, err)}
		}
		for _, value := range values {
			texts = append(texts, jqtemplate.Encode(value))
		}
	}
	if len(texts) == 0 {
		return nil, usage{fmt.Errorf("%s: there is no definition in it", file)}
	}
	var documents []*document
	for i, text := range texts {
		d, err := newDocument(text)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: document %d: %w", file, i+1, err)}
		}
		d.file, d.number = file, i+1
		documents = append(documents, d)
	}
	return documents, nil
}

// newDocument tells a document's kind by its members.
func newDocument(text json.RawMessage) (*document, error) {
	value, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, err
	}
	d := &document{text: text}
	d.value, _ = value.(*jqtemplate.Object)
	d.identifier = textMember(d.value, "identifier")
	if d.identifier == "" {
		return nil, errors.New("expected an object with an identifier")
	}
	has := func(name string) bool {
		v, _ := d.value.Get(name)
		return v != nil
	}
	switch {
	case has("trigger") || has("invocationMethod"):
		d.kind = kindAction
		if err := d.takePermissions(); err != nil {
			return nil, err
		}
	case has("schema"):
		d.kind = kindBlueprint
	case has("blueprint"):
		d.kind = kindEntity
		if d.blueprint = textMember(d.value, "blueprint"); d.blueprint == "" {
			return nil, fmt.Errorf("entity %s: blueprint must be the identifier of a blueprint", d.identifier)
		}
	default:
		return nil, fmt.Errorf("%s is no blueprint, which has a schema, no entity, which has a blueprint, and no action, which has a trigger or an invocationMethod", d.identifier)
	}
	return d, nil
}
