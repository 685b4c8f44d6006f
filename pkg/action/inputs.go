package action

import (
	"longshore/pkg/document"
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
	// checker has the schema of the declared inputs; nil when there are none.
	checker *document.Checker
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
			given[name] = document.Plain(v)
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
	var f document.Faults
	for _, name := range i.required {
		if at, declared := i.byName[name]; declared && i.declared[at].optional {
			continue
		}
		if document.Member(out, name) == nil {
			f.Add(document.Below("properties", name), "is required")
		}
	}
	if len(given) > 0 {
		if err := i.checker.Check(&f, given, "properties"); err != nil {
			return nil, err
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// inputs compiles the user inputs at path; o is nil when there are none. Its faults go to the parser.
// The error is our own.
func (p *parser) inputs(o *jqtemplate.Object, path string) (*Inputs, error) {
	c := inputCompiler{p: p, inputs: &Inputs{byName: map[string]int{}}}
	if document.Member(o, "order") != nil && document.Member(o, "steps") != nil {
		p.faults.Add(path+".steps", "order and steps exclude one another")
	}
	c.query(document.Member(o, "required"), path+".required")
	c.inputs.required = document.Texts(document.Member(o, "required"))
	hidden := c.layout(o, path)
	schemas := map[string]any{}
	for name, v := range document.Object(o, "properties").All() {
		c.name(path+".properties", name)
		in, ok := v.(*jqtemplate.Object)
		if !ok {
			if v == nil { // The schema cannot see it: null there means absent.
				p.faults.Add(document.Below(path+".properties", name), "must be an object, got null")
			}
			continue
		}
		at := document.Below(path+".properties", name)
		schemas[name] = c.schema(in, at, true)
		c.inputs.byName[name] = len(c.inputs.declared)
		c.inputs.declared = append(c.inputs.declared, input{
			name:     name,
			standard: fixed(document.Member(in, "default")),
			optional: hidden[name] || document.Member(in, "visible") == false || document.Member(in, "disabled") == true,
		})
		if document.Member(in, "encryption") != nil {
			c.inputs.encrypted = append(c.inputs.encrypted, name)
		}
	}
	if len(schemas) == 0 || p.faults.Any() {
		return c.inputs, nil
	}
	var err error
	c.inputs.checker, err = c.draft.Checker(map[string]any{"type": "object", "properties": schemas})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the inputs are no valid JSON Schema")
	}
	return c.inputs, nil
}
