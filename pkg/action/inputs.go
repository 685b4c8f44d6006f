package action

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Inputs are the user inputs of a definition. They are immutable and safe for concurrent use; the
// zero value declares none.
type Inputs struct {
	declared []input
	// byName leads to declared.
	byName map[string]int
	// required names inputs that must be given, declared or not.
	required []string
	// enums are formats that stand for enums in document.
	enums []*jsonschema.Format
	// weight is the length of the longest list of required members in document.
	weight int
	// document is the JSON Schema of the declared inputs; nil when there are none.
	document map[string]any
	// free holds compiled forms of document that nobody uses now: each has a budget of its own for
	// matching patterns. A document without patterns has one form, shared by all.
	free   chan *checker
	shared *checker
	// encrypted names the inputs with encryption.
	encrypted []string
}

// input is what Complete needs of a declared input beside its schema.
type input struct {
	name string
	// standard is its fixed default, nil for none.
	standard any
	// optional inputs are not visible or disabled: they need not be given, though required.
	optional bool
}

// checker is one compiled form of the inputs' schema.
type checker struct {
	schema *jsonschema.Schema
	budget *budget
}

// maxFree is how many compiled forms are kept for an action with patterns: as many of its triggers as
// usually run side by side.
const maxFree = 4

// maxChecks bounds what the validator has to look at: the values in the declared inputs, times the
// members that each may lack. The validator collects every fault before it returns any, and a list of
// empty objects in which each lacks a thousand members would fill the memory.
const maxChecks = 5_000_000

const documentURL = "https://longshore.invalid/inputs.json"

// compile makes one form of the schema.
func (i *Inputs) compile() (*checker, error) {
	b := new(budget)
	c := newCompiler(b)
	for _, f := range i.enums {
		c.RegisterFormat(f)
	}
	if err := c.AddResource(documentURL, i.document); err != nil {
		return nil, err
	}
	s, err := c.Compile(documentURL)
	if err != nil {
		return nil, err
	}
	return &checker{schema: s, budget: b}, nil
}

// Complete fills in fixed defaults and checks the inputs: type, required, enum, bounds, pattern,
// format. Inputs that are not declared pass as they are. The result is a new object that shares its
// values with the definition and with properties: they are read only. All faults come in one
// fault.Invalid with paths properties.<name>…; they never quote a value.
//
// An input that is not visible or disabled need not be given, though required; its default is filled
// in, and a value given for it is checked. An explicit null means that the input is empty: it fails a
// required one, is passed on for any other, and gets no default. An input of format entity may be an
// identifier or an object that has one.
func (i *Inputs) Complete(properties *jqtemplate.Object) (*jqtemplate.Object, error) {
	out, given := new(jqtemplate.Object), map[string]any{}
	take := func(name string, v any) {
		out.Set(name, v)
		if _, declared := i.byName[name]; declared && v != nil {
			given[name] = plain(v)
		}
	}
	for name, v := range properties.All() {
		take(name, v)
	}
	for _, in := range i.declared {
		if _, ok := properties.Get(in.name); !ok && in.standard != nil {
			take(in.name, in.standard)
		}
	}
	var f faults
	for _, name := range i.required {
		if at, declared := i.byName[name]; declared && i.declared[at].optional {
			continue
		}
		if member(out, name) == nil {
			f.add(below("properties", name), "is required")
		}
	}
	switch checks := countValues(given) * (1 + i.weight); {
	case len(given) == 0:
	case checks > maxChecks:
		f.add("properties", "has too many values to be checked")
	default:
		if err := i.validate(&f, given); err != nil {
			return nil, err
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// countValues counts a plain value and all below it.
func countValues(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += countValues(e)
		}
	case []any:
		for _, e := range v {
			n += countValues(e)
		}
	}
	return n
}

func (i *Inputs) validate(f *faults, given map[string]any) error {
	c := i.shared
	if c == nil {
		select {
		case c = <-i.free:
		default:
			var err error
			if c, err = i.compile(); err != nil {
				return fmt.Errorf("compile the schema of the inputs: %w", err)
			}
		}
		defer func() {
			select {
			case i.free <- c:
			default:
			}
		}()
		c.budget.reset()
	}
	var e *jsonschema.ValidationError
	if errors.As(c.schema.Validate(given), &e) {
		if i.shared == nil {
			f.spent = c.budget.spent
		}
		f.translate(e, given, "properties")
	}
	return nil
}

// inputs compiles the user inputs at path; o is nil when there are none. Its faults go to the parser.
// The error is our own.
func (p *parser) inputs(o *jqtemplate.Object, path string) (*Inputs, error) {
	c := inputCompiler{p: p, inputs: &Inputs{byName: map[string]int{}}}
	if member(o, "order") != nil && member(o, "steps") != nil {
		p.faults.add(path+".steps", "order and steps exclude one another")
	}
	c.query(member(o, "required"), path+".required")
	c.inputs.required = texts(member(o, "required"))
	hidden := c.layout(o, path)
	schemas := map[string]any{}
	for name, v := range object(o, "properties").All() {
		c.name(path+".properties", name)
		in, ok := v.(*jqtemplate.Object)
		if !ok {
			if v == nil { // The schema cannot see it: null there means absent.
				p.faults.add(below(path+".properties", name), "must be an object, got null")
			}
			continue
		}
		at := below(path+".properties", name)
		schemas[name] = c.schema(in, at, true)
		c.inputs.byName[name] = len(c.inputs.declared)
		c.inputs.declared = append(c.inputs.declared, input{
			name:     name,
			standard: fixed(member(in, "default")),
			optional: hidden[name] || member(in, "visible") == false || member(in, "disabled") == true,
		})
		if member(in, "encryption") != nil {
			c.inputs.encrypted = append(c.inputs.encrypted, name)
		}
	}
	if len(schemas) == 0 || len(p.faults.details) > 0 {
		return c.inputs, nil
	}
	c.inputs.document = map[string]any{"type": "object", "properties": schemas}
	first, err := c.inputs.compile()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the inputs are no valid JSON Schema")
	}
	if c.patterns {
		c.inputs.free = make(chan *checker, maxFree)
		c.inputs.free <- first
	} else {
		c.inputs.shared = first
	}
	return c.inputs, nil
}
