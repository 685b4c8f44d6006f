package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"longshore/pkg/api/client"
	"longshore/pkg/catalog"
	values "longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// added are the members that every answer has and no document decides.
var added = []string{"id", "createdAt", "updatedAt", "createdBy", "updatedBy"}

func member(o *jqtemplate.Object, name string) *jqtemplate.Object { return values.Object(o, name) }

func textMember(o *jqtemplate.Object, name string) string { return values.Text(o, name) }

// decodeObject reads an object; anything else is nil.
func decodeObject(text json.RawMessage) (*jqtemplate.Object, error) {
	value, err := jqtemplate.Decode(text)
	object, _ := value.(*jqtemplate.Object)
	return object, err
}

// copied returns an object's members in an object of their own.
func copied(o *jqtemplate.Object) *jqtemplate.Object {
	c := &jqtemplate.Object{}
	for name, value := range o.All() {
		c.Set(name, value)
	}
	return c
}

// sameTexts compares two definitions once each is reduced to what a document decides.
func sameTexts(current, wanted json.RawMessage, reduce func(*jqtemplate.Object)) (bool, error) {
	var texts [2][]byte
	for i, text := range []json.RawMessage{current, wanted} {
		object, err := decodeObject(text)
		if err != nil || object == nil {
			return false, err
		}
		for _, name := range added {
			object.Delete(name)
		}
		reduce(object)
		texts[i] = jqtemplate.Encode(object)
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

func sameAction(current, wanted json.RawMessage) (bool, error) {
	return sameTexts(current, wanted, func(o *jqtemplate.Object) {
		trigger := member(o, "trigger")
		if trigger == nil {
			return
		}
		// The user inputs that every answer has.
		inputs := member(trigger, "userInputs")
		if inputs == nil {
			inputs = &jqtemplate.Object{}
			trigger.Set("userInputs", inputs)
		}
		if member(inputs, "properties") == nil {
			inputs.Set("properties", &jqtemplate.Object{})
		}
	})
}

// blueprints are documents that relate through the targets of their relations.
type blueprints struct {
	server    *client.Client
	documents []*document
}

func (b *blueprints) all() []*document { return b.documents }

func (b *blueprints) read(ctx context.Context, d *document) (json.RawMessage, error) {
	return found(b.server.Blueprint(ctx, d.identifier))
}

func (b *blueprints) relations(_ context.Context, d *document) ([]relation, error) {
	var relations []relation
	for name, r := range member(d.value, "relations").All() {
		if r, ok := r.(*jqtemplate.Object); ok {
			relations = append(relations, relation{name: name, target: key("", textMember(r, "target"))})
		}
	}
	return relations, nil
}

func (b *blueprints) same(_ context.Context, current json.RawMessage, d *document) (bool, error) {
	wanted := d.text
	if catalog.IsSystem(d.identifier) {
		// The server adds what is built in.
		var err error
		if wanted, err = catalog.CompleteSystem(d.identifier, wanted); err != nil {
			return false, err
		}
	}
	return sameTexts(current, wanted, reduceBlueprint)
}

// reduceBlueprint takes out what means nothing: null, a group without members, and says of each
// relation what it is when it does not say it. The order of what has names of its own counts.
func reduceBlueprint(o *jqtemplate.Object) {
	defer sortMembers(o)
	for _, r := range member(o, "relations").All() {
		r, ok := r.(*jqtemplate.Object)
		if !ok {
			continue
		}
		for _, flag := range []string{"required", "many"} {
			if value, _ := r.Get(flag); value == nil {
				r.Set(flag, false)
			}
		}
		sortMembers(r)
	}
	for name, value := range copied(o).All() {
		group, isObject := value.(*jqtemplate.Object)
		if value == nil || isObject && group.Len() == 0 && name != "schema" {
			o.Delete(name)
		}
	}
}

// sortMembers puts an object's members in the order of their names.
func sortMembers(o *jqtemplate.Object) {
	members := maps.Collect(o.All())
	for _, name := range slices.Sorted(maps.Keys(members)) {
		o.Delete(name)
		o.Set(name, members[name])
	}
}

func (b *blueprints) write(ctx context.Context, d *document, text json.RawMessage, there bool) ([]jqtemplate.Warning, error) {
	if there {
		saved, err := b.server.ReplaceBlueprint(ctx, d.identifier, text)
		return saved.Warnings, err
	}
	saved, err := b.server.CreateBlueprint(ctx, text)
	return saved.Warnings, err
}

func (b *blueprints) without(d *document, left []relation) json.RawMessage {
	relations := copied(member(d.value, "relations"))
	for _, r := range left {
		relations.Delete(r.name)
	}
	value := copied(d.value)
	value.Set("relations", relations)
	return jqtemplate.Encode(value)
}

// target is where a blueprint's relation leads.
type target struct {
	blueprint string
	required  bool
}

// targets returns where a blueprint's relations lead, by name.
func targets(blueprint *jqtemplate.Object) map[string]target {
	found := map[string]target{}
	for name, r := range member(blueprint, "relations").All() {
		if r, ok := r.(*jqtemplate.Object); ok {
			found[name] = target{textMember(r, "target"), values.Member(r, "required") == true}
		}
	}
	return found
}

// entities are documents that relate through their relations, whose targets the blueprints know.
type entities struct {
	server    *client.Client
	documents []*document
	// blueprints are those of the entities, as the server has them.
	blueprints map[string]*jqtemplate.Object
}

func (e *entities) all() []*document { return e.documents }

func (e *entities) read(ctx context.Context, d *document) (json.RawMessage, error) {
	return found(e.server.Entity(ctx, d.blueprint, d.identifier))
}

func (e *entities) relations(ctx context.Context, d *document) ([]relation, error) {
	blueprint, known := e.blueprints[d.blueprint]
	if !known {
		text, err := e.server.Blueprint(ctx, d.blueprint)
		if err != nil {
			return nil, err
		}
		if blueprint, err = decodeObject(text); err != nil {
			return nil, err
		}
		e.blueprints[d.blueprint] = blueprint
	}
	lead := targets(blueprint)
	var relations []relation
	for name, value := range member(d.value, "relations").All() {
		t, ok := lead[name]
		if !ok {
			continue
		}
		identifiers := values.Texts(value)
		if one, ok := value.(string); ok {
			identifiers = []string{one}
		}
		for _, identifier := range identifiers {
			relations = append(relations, relation{name, key(t.blueprint, identifier), t.required})
		}
	}
	return relations, nil
}

func (e *entities) same(ctx context.Context, current json.RawMessage, d *document) (bool, error) {
	wanted, err := e.resolve(ctx, d)
	if err != nil {
		return false, err
	}
	object, err := decodeObject(current)
	if err != nil {
		return false, err
	}
	return reflect.DeepEqual(reduceEntity(object), reduceEntity(wanted)), nil
}

// resolve returns an entity with what its searches yield in their places.
func (e *entities) resolve(ctx context.Context, d *document) (*jqtemplate.Object, error) {
	relations := copied(member(d.value, "relations"))
	var searches []string
	for name, value := range relations.All() {
		if _, ok := value.(*jqtemplate.Object); ok {
			searches = append(searches, name)
		}
	}
	if team := member(d.value, "team"); team == nil && searches == nil {
		return d.value, nil
	}
	text, err := e.server.CheckEntity(ctx, d.blueprint, d.text)
	if err != nil {
		return nil, err
	}
	checked, err := decodeObject(text)
	if err != nil {
		return nil, err
	}
	for _, name := range searches {
		relations.Set(name, values.Member(member(checked, "relations"), name))
	}
	value := copied(d.value)
	value.Set("relations", relations)
	value.Set("team", values.Member(checked, "team"))
	return value, nil
}

// reduceEntity returns what an entity says. Null, an empty list of related entities or teams, and a
// group without members say nothing; a list of one related entity or team says what that one says.
func reduceEntity(o *jqtemplate.Object) map[string]any {
	single := func(value any) any {
		list, isList := value.([]any)
		switch {
		case isList && len(list) == 0:
			return nil
		case isList && len(list) == 1:
			return list[0]
		}
		return values.Plain(value)
	}
	said := map[string]any{}
	add := func(name string, value any) {
		if value != nil {
			said[name] = value
		}
	}
	for _, name := range []string{"title", "icon"} {
		add(name, values.Member(o, name))
	}
	add("team", single(values.Member(o, "team")))
	for name, value := range member(o, "properties").All() {
		add("properties."+name, values.Plain(value))
	}
	for name, value := range member(o, "relations").All() {
		add("relations."+name, single(value))
	}
	return said
}

func (e *entities) write(ctx context.Context, d *document, text json.RawMessage, _ bool) ([]jqtemplate.Warning, error) {
	_, err := e.server.PutEntity(ctx, d.blueprint, text)
	return nil, err
}

func (e *entities) without(d *document, left []relation) json.RawMessage {
	gone := map[string][]string{}
	for _, r := range left {
		gone[r.name] = append(gone[r.name], r.target)
	}
	lead := targets(e.blueprints[d.blueprint])
	relations := copied(member(d.value, "relations"))
	for name, names := range gone {
		value, _ := relations.Get(name)
		list, ok := value.([]any)
		if !ok {
			relations.Delete(name)
			continue
		}
		relations.Set(name, slices.DeleteFunc(slices.Clone(list), func(v any) bool {
			identifier, _ := v.(string)
			return slices.Contains(names, key(lead[name].blueprint, identifier))
		}))
	}
	value := copied(d.value)
	value.Set("relations", relations)
	return jqtemplate.Encode(value)
}
