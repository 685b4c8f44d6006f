package action

import (
	"context"
	"errors"
	"strings"

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
	required setting
	steps    []step
	// checker has the schemas of the declared inputs that hold no query; nil when there are none.
	checker *document.Checker
}

// input is a declared input.
type input struct {
	name string
	// path is where it is declared.
	path   string
	source *jqtemplate.Object
	// standard is its default.
	standard          setting
	visible, disabled setting
	// queries are those in its schema, by the path of what they stand for. With any the schema is
	// compiled for each request.
	queries map[string]*query
	// encryption is nil for an input in clear.
	encryption *encryption
	// names leads to the parts of it that name something in the catalog; nil for none.
	names *naming
}

// step is a part of a form.
type step struct {
	visible setting
	order   []string
}

// Scope is what queries see beside the form: .entity and .user.
type Scope struct{ Entity, User *jqtemplate.Object }

// Completed are the user inputs of one request.
type Completed struct {
	// Values are the inputs with their defaults; encrypted ones are still in clear. It is a new object
	// that shares its values with the definition and with what was given: they are read only.
	Values *jqtemplate.Object
	// Named are the parts of values that name something in the catalog, and have the right type.
	Named []Named
	// Failed are queries that count as absent because they do not compile, failed, or yielded something
	// of the wrong type.
	Failed []jqtemplate.Warning
}

// Complete fills in defaults, fixed ones and then those by query, and checks the inputs: type,
// required, enum, bounds, pattern, format. Inputs that are not declared pass as they are. All faults
// come in one fault.Invalid with paths properties.<name>…; they never quote a value, and of an
// encrypted input nothing. The result is there beside it, so that what is named can be looked up and
// all faults answered at once. Any other error is ctx's own or a query's limit, without a result.
//
// Defaults by query are evaluated again, all together, until none changes any more. What still changes
// after one round more than there are of them counts as absent.
//
// An input that is not visible or disabled need not be given, though required; its default is filled
// in, and a value given for it is checked. An explicit null means that the input is empty: it fails a
// required one, is passed on for any other, and gets no default. An input of format entity may be an
// identifier or an object that has one. Queries see the mask instead of the value of an encrypted
// input, for what they yield is not encrypted.
func (i *Inputs) Complete(ctx context.Context, properties *jqtemplate.Object, scope Scope) (*Completed, error) {
	e := &evaluation{ctx: ctx, inputs: i, scope: scope}
	values, err := e.defaults(properties)
	if err != nil {
		return nil, err
	}
	var f document.Faults
	if err := e.requirements(&f, values); err != nil {
		return nil, err
	}
	if err := e.check(&f, values); err != nil {
		return nil, err
	}
	named, err := e.named(&f, values)
	if err != nil {
		return nil, err
	}
	return &Completed{Values: values, Named: named, Failed: e.failed}, i.veiled(f.Err())
}

// requirements adds a fault for each input that must be given and is not.
func (e *evaluation) requirements(f *document.Faults, values *jqtemplate.Object) error {
	required, err := e.setting(e.inputs.required, wantNames)
	if err != nil {
		return err
	}
	hidden, err := e.hiddenSteps()
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, name := range document.Texts(required) {
		missing[name] = document.Member(values, name) == nil
	}
	for n := range e.inputs.declared {
		in := &e.inputs.declared[n]
		optional, err := e.optional(in)
		if err != nil {
			return err
		}
		if optional || hidden[in.name] {
			delete(missing, in.name)
		}
	}
	for name, isMissing := range missing {
		if isMissing {
			f.Add(document.Below("properties", name), "is required")
		}
	}
	return nil
}

// optional reports whether an input is not visible or disabled.
func (e *evaluation) optional(in *input) (bool, error) {
	visible, err := e.setting(in.visible, wantFlag)
	if err != nil {
		return false, err
	}
	disabled, err := e.setting(in.disabled, wantFlag)
	return visible == false || disabled == true, err
}

// hiddenSteps returns the inputs that cannot be filled in because they stand in steps that are not
// visible and in no other.
func (e *evaluation) hiddenSteps() (map[string]bool, error) {
	if len(e.inputs.steps) == 0 {
		return nil, nil
	}
	hidden, shown := map[string]bool{}, map[string]bool{}
	for _, s := range e.inputs.steps {
		visible, err := e.setting(s.visible, wantFlag)
		if err != nil {
			return nil, err
		}
		for _, name := range s.order {
			if visible == false {
				hidden[name] = true
			} else {
				shown[name] = true
			}
		}
	}
	for name := range shown {
		delete(hidden, name)
	}
	return hidden, nil
}

// check checks the values against their schemas.
func (e *evaluation) check(f *document.Faults, values *jqtemplate.Object) error {
	fixed := make(map[string]any, len(e.inputs.declared))
	var made, schemas map[string]any
	var c *inputCompiler
	for n := range e.inputs.declared {
		in := &e.inputs.declared[n]
		v := document.Member(values, in.name)
		switch {
		case v == nil:
		case in.encryption.byClient():
			in.encryption.check(f, document.Below("properties", in.name), v)
		case len(in.queries) == 0:
			fixed[in.name] = document.Plain(v)
		default:
			if c == nil {
				c = &inputCompiler{p: &parser{d: new(Definition)}, evaluation: e}
				made, schemas = map[string]any{}, map[string]any{}
			}
			c.input = in
			made[in.name], schemas[in.name] = document.Plain(v), c.schema(in.source, in.path, true)
		}
	}
	if e.err != nil {
		return e.err
	}
	if len(fixed) > 0 {
		if err := e.inputs.checker.Check(f, fixed, "properties"); err != nil {
			return err
		}
	}
	if len(made) == 0 {
		return nil
	}
	checker, err := c.draft.Checker(inputsSchema(schemas))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "what the queries of the inputs yield is no valid JSON Schema")
	}
	return checker.Check(f, made, "properties")
}

func inputsSchema(schemas map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": schemas}
}

// veiled returns an error of faults with nothing of encrypted inputs in it: what lies below one is told
// of the input itself, for the names of its members belong to the secret.
func (i *Inputs) veiled(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	for _, name := range i.Encrypted() {
		path := document.Below("properties", name)
		for n, d := range e.Details {
			if rest, ok := strings.CutPrefix(d.Path, path); ok && rest != "" && (rest[0] == '.' || rest[0] == '[') {
				e.Details[n] = fault.Detail{Path: path, Message: "a member of it: " + d.Message}
			}
		}
	}
	return fault.InvalidDetails(e.Details)
}

// inputs compiles the user inputs at path; o is nil when there are none. Its faults go to the parser.
// The error is our own.
func (p *parser) inputs(o *jqtemplate.Object, path string) (*Inputs, error) {
	c := inputCompiler{p: p}
	i := &Inputs{byName: map[string]int{}, required: c.setting(document.Member(o, "required"), path+".required")}
	if document.Member(o, "order") != nil && document.Member(o, "steps") != nil {
		p.faults.Add(path+".steps", "order and steps exclude one another")
	}
	i.steps = c.layout(o, path)
	schemas := map[string]any{}
	for name, v := range document.Object(o, "properties").All() {
		c.name(path+".properties", name)
		source, ok := v.(*jqtemplate.Object)
		if !ok {
			if v == nil { // The schema cannot see it: null there means absent.
				p.faults.Add(document.Below(path+".properties", name), "must be an object, got null")
			}
			continue
		}
		at := document.Below(path+".properties", name)
		in := input{name: name, path: at, source: source, queries: map[string]*query{}}
		c.input = &in
		in.standard = c.setting(document.Member(source, "default"), at+".default")
		in.visible = c.setting(document.Member(source, "visible"), at+".visible")
		in.disabled = c.setting(document.Member(source, "disabled"), at+".disabled")
		schema := c.schema(source, at, true)
		in.names = c.naming(source, at)
		if len(in.queries) == 0 && !in.encryption.byClient() {
			schemas[name] = schema
		}
		i.byName[name] = len(i.declared)
		i.declared = append(i.declared, in)
	}
	if len(schemas) == 0 || p.faults.Any() {
		return i, nil
	}
	var err error
	if i.checker, err = c.draft.Checker(inputsSchema(schemas)); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the inputs are no valid JSON Schema")
	}
	return i, nil
}
