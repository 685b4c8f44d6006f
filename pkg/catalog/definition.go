package catalog

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Definition is a compiled blueprint. It is immutable and safe for concurrent use.
type Definition struct {
	Identifier  string
	Title, Icon string
	// Properties, Relations, Mirrors and Calculations are in the order in which they were declared.
	Properties   []Property
	Relations    []Relation
	Mirrors      []Mirror
	Calculations []Calculation
	// Aggregations are the names of aggregation properties, which are kept and not computed.
	Aggregations []string
	// Ownership is Inherited or Direct, empty without one; an inherited one goes along OwnershipPath.
	Ownership, OwnershipPath string
	// Warnings are the calculations that do not compile.
	Warnings []jqtemplate.Warning

	required   []string
	properties map[string]int
	relations  map[string]int
	checker    *document.Checker
}

// Property is a property that a blueprint declares.
type Property struct {
	Name, Type, Format string
	// ItemType and ItemFormat are those of an array's items, empty when they are not said.
	ItemType, ItemFormat string
}

// Relation leads to entities of another blueprint, or of the same.
type Relation struct {
	Name, Title string
	// Target is the identifier of a blueprint.
	Target         string
	Many, Required bool
}

// Mirror shows what stands at the end of a path of relations.
type Mirror struct {
	Name string
	Path []string
}

// Calculation is a property that is computed from the others.
type Calculation struct {
	Name, Type string
	// Expression is nil when it does not compile.
	Expression *jqtemplate.Expression
}

// Property returns a declared property.
func (d *Definition) Property(name string) (Property, bool) {
	i, ok := d.properties[name]
	if !ok {
		return Property{}, false
	}
	return d.Properties[i], true
}

// Relation returns a declared relation.
func (d *Definition) Relation(name string) (Relation, bool) {
	i, ok := d.relations[name]
	if !ok {
		return Relation{}, false
	}
	return d.Relations[i], true
}

//go:embed schema/*.json
var schemaFiles embed.FS

// schemas are the compiled schemas of blueprints and of the bodies of entities and teams.
type schemas struct {
	blueprint  *jsonschema.Schema
	body, team map[Write]*jsonschema.Schema
}

// bodySchemas compiles the embedded schemas once. They never change afterwards.
var bodySchemas = sync.OnceValues(compileSchemas)

func compileSchemas() (*schemas, error) {
	// Nothing is ever fetched from there.
	const base = "https://longshore.invalid/schema/"
	c := document.NewCompiler()
	for _, name := range []string{"blueprint.json", "entity.json", "team.json"} {
		text, err := schemaFiles.ReadFile("schema/" + name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		var doc any
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("read schema %s: %w", name, err)
		}
		if err := c.AddResource(base+name, doc); err != nil {
			return nil, fmt.Errorf("add schema %s: %w", name, err)
		}
	}
	s := &schemas{body: map[Write]*jsonschema.Schema{}, team: map[Write]*jsonschema.Schema{}}
	var err error
	if s.blueprint, err = c.Compile(base + "blueprint.json#/definitions/blueprint"); err != nil {
		return nil, fmt.Errorf("compile schema blueprint.json: %w", err)
	}
	for w, name := range map[Write]string{Creating: "create", Replacing: "replace", Merging: "merge"} {
		if s.body[w], err = c.Compile(base + "entity.json#/definitions/" + name); err != nil {
			return nil, fmt.Errorf("compile schema entity.json: %w", err)
		}
		if s.team[w], err = c.Compile(base + "team.json#/definitions/" + name); err != nil {
			return nil, fmt.Errorf("compile schema team.json: %w", err)
		}
	}
	return s, nil
}

// decodeObject reads the text of an object.
func decodeObject(text json.RawMessage, what string) (*jqtemplate.Object, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		return nil, fault.New(fault.Invalid, "", "%s must be an object", what)
	}
	return o, nil
}

// ParseBlueprint decodes a blueprint and compiles it. All faults come in one fault.Invalid with their
// paths; text that is no JSON object is one without a path. A calculation that does not compile is a
// warning.
//
// Members that it does not know are refused below the top, but kept at the top and in properties, as
// Port's API allows: a client sends back what it read, and a property's schema is its own. An optional
// member may be null, which means the same as its absence. What a path of relations leads to, and a
// default against its property, is not checked.
func ParseBlueprint(text json.RawMessage) (*Definition, error) {
	return parseBlueprint(text, func(*Definition, *document.Faults) {})
}

// parseBlueprint is ParseBlueprint with a check of relations, whose faults come with all others.
func parseBlueprint(text json.RawMessage, check func(*Definition, *document.Faults)) (*Definition, error) {
	o, err := decodeObject(text, "a blueprint")
	if err != nil {
		return nil, err
	}
	if len(text) > MaxBlueprint {
		if text, err = document.Compact(text); err != nil {
			return nil, err
		}
		if len(text) > MaxBlueprint {
			return nil, fault.New(fault.Invalid, "", "a blueprint may have at most %d bytes, this one has %d", MaxBlueprint, len(text))
		}
	}
	s, err := bodySchemas()
	if err != nil {
		return nil, err
	}
	p := &blueprintParser{root: o, check: check, d: &Definition{
		Identifier:    document.Text(o, "identifier"),
		Title:         document.Text(o, "title"),
		Icon:          document.Text(o, "icon"),
		Ownership:     document.Text(document.Object(o, "ownership"), "type"),
		OwnershipPath: document.Text(document.Object(o, "ownership"), "path"),
		properties:    map[string]int{},
		relations:     map[string]int{},
	}}
	p.faults.Finite(o, "")
	p.faults.Validate(s.blueprint, document.Plain(o), "")
	return p.parse()
}

// blueprintParser collects the faults of a blueprint on the way to its compiled form. Its steps bear
// members of any type.
type blueprintParser struct {
	root   *jqtemplate.Object
	d      *Definition
	check  func(*Definition, *document.Faults)
	draft  document.Draft
	faults document.Faults
}

func (p *blueprintParser) parse() (*Definition, error) {
	d := p.d
	schema := document.Object(p.root, "schema")
	d.required = document.Texts(document.Member(schema, "required"))
	declared := map[string]any{}
	for name, v := range document.Object(schema, "properties").All() {
		o, ok := v.(*jqtemplate.Object)
		if !ok {
			continue
		}
		declared[name] = p.property(o, document.Below("schema.properties", name))
		items := document.Object(o, "items")
		d.properties[name] = len(d.Properties)
		d.Properties = append(d.Properties, Property{
			Name: name, Type: document.Text(o, "type"), Format: document.Text(o, "format"),
			ItemType: document.Text(items, "type"), ItemFormat: document.Text(items, "format"),
		})
	}
	for name, v := range document.Object(p.root, "relations").All() {
		if o, ok := v.(*jqtemplate.Object); ok {
			d.relations[name] = len(d.Relations)
			d.Relations = append(d.Relations, Relation{
				Name: name, Title: document.Text(o, "title"), Target: document.Text(o, "target"),
				Many: document.Member(o, "many") == true, Required: document.Member(o, "required") == true,
			})
		}
	}
	p.check(d, &p.faults)
	for name, v := range document.Object(p.root, "mirrorProperties").All() {
		if o, ok := v.(*jqtemplate.Object); ok {
			d.Mirrors = append(d.Mirrors, Mirror{Name: name, Path: strings.Split(document.Text(o, "path"), ".")})
		}
	}
	for name, v := range document.Object(p.root, "calculationProperties").All() {
		if o, ok := v.(*jqtemplate.Object); ok {
			p.calculation(o, name)
		}
	}
	for name := range document.Object(p.root, "aggregationProperties").All() {
		d.Aggregations = append(d.Aggregations, name)
	}
	p.settings()
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	checker, err := p.draft.Checker(map[string]any{"type": "object", "properties": declared})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the properties are no valid JSON Schema")
	}
	d.checker = checker
	return d, nil
}

func (p *blueprintParser) calculation(o *jqtemplate.Object, name string) {
	at := document.Below("calculationProperties", name) + ".calculation"
	e, warning := document.Expression(at, document.Text(o, "calculation"))
	if warning != nil {
		p.d.Warnings = append(p.d.Warnings, *warning)
	}
	p.d.Calculations = append(p.d.Calculations, Calculation{Name: name, Type: document.Text(o, "type"), Expression: e})
}

// settings checks members that depend on one another.
func (p *blueprintParser) settings() {
	if ownership := document.Object(p.root, "ownership"); ownership != nil {
		path := document.Member(ownership, "path")
		switch document.Text(ownership, "type") {
		case "Inherited":
			if path == nil {
				p.faults.Add("ownership.path", "is required")
			}
		case "Direct":
			if path != nil {
				p.faults.Add("ownership.path", "only inherited ownership has a path")
			}
		}
	}
	destination := document.Object(p.root, "changelogDestination")
	switch document.Text(destination, "type") {
	case "WEBHOOK":
		if document.Member(destination, "url") == nil {
			p.faults.Add("changelogDestination.url", "is required")
		}
	case "KAFKA":
		for _, name := range []string{"url", "agent"} {
			if document.Member(destination, name) != nil {
				p.faults.Add("changelogDestination."+name, "only a WEBHOOK has it")
			}
		}
	}
	p.names(document.Object(document.Object(p.root, "schema"), "properties"), "schema.properties")
	for _, group := range groups() {
		p.names(document.Object(p.root, group), group)
	}
	for name, v := range document.Object(p.root, "aggregationProperties").All() {
		o, _ := v.(*jqtemplate.Object)
		p.aggregation(document.Object(o, "calculationSpec"), document.Below("aggregationProperties", name)+".calculationSpec")
	}
}

// names checks the names of properties or relations. (The validator tells a wrong place for those that
// its own propertyNames refuses.)
func (p *blueprintParser) names(o *jqtemplate.Object, path string) {
	for name := range o.All() {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
			p.faults.Add(document.Below(path, name), `must be made of letters A to Z, digits and @ _ = \ -`)
		} else if len(name) > maxName {
			p.faults.Add(document.Below(path, name), "must have at most %d characters", maxName)
		}
	}
}

const (
	// nameCharacters may stand in names of properties and relations.
	nameCharacters = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_=\-`
	// maxName is the longest of them, in characters.
	maxName = 100
)

// aggregation checks that a function stands with what it needs.
func (p *blueprintParser) aggregation(spec *jqtemplate.Object, path string) {
	by, function := document.Text(spec, "calculationBy"), document.Text(spec, "func")
	if by == "property" && document.Member(spec, "property") == nil {
		p.faults.Add(path+".property", "is required")
	}
	if function == "average" && document.Member(spec, "averageOf") == nil {
		p.faults.Add(path+".averageOf", "is required")
	}
	if by == "entities" && slices.Contains([]string{"sum", "min", "max", "median"}, function) || by == "property" && function == "count" {
		p.faults.Add(path+".func", "cannot be calculated by %s", by)
	}
}
