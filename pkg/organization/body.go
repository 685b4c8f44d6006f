package organization

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

//go:embed schema/organization.json
var schemaText []byte

const schemaURL = "https://longshore.invalid/schema/organization.json"

type bodySchemas struct{ organization, create, update *jsonschema.Schema }

// schemas compiles the embedded schema once.
var schemas = sync.OnceValues(func() (*bodySchemas, error) {
	var doc any
	if err := json.Unmarshal(schemaText, &doc); err != nil {
		return nil, fmt.Errorf("read the schema of the organization: %w", err)
	}
	c := document.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, fmt.Errorf("add the schema of the organization: %w", err)
	}
	s := new(bodySchemas)
	for name, to := range map[string]**jsonschema.Schema{"organization": &s.organization, "create": &s.create, "update": &s.update} {
		var err error
		if *to, err = c.Compile(schemaURL + "#/definitions/" + name); err != nil {
			return nil, fmt.Errorf("compile the schema of the organization: %w", err)
		}
	}
	return s, nil
})

// decode reads a body and checks it. All faults come in one fault.Invalid, which quotes no value.
func decode(text []byte, by func(*bodySchemas) *jsonschema.Schema) (*jqtemplate.Object, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	o, isObject := v.(*jqtemplate.Object)
	if !isObject {
		return nil, fault.New(fault.Invalid, "", "the body must be a JSON object")
	}
	s, err := schemas()
	if err != nil {
		return nil, err
	}
	var faults document.Faults
	faults.Finite(o, "")
	faults.Validate(by(s), document.Plain(o), "")
	if value := document.Text(o, "secretValue"); len(value) > MaxValue {
		faults.Add("secretValue", "must have at most %d bytes, it has %d", MaxValue, len(value))
	}
	return o, faults.Err()
}

// merged puts what was sent into settings. Members of members that are objects are merged one by one;
// each keeps the text that was sent.
func merged(content, sent json.RawMessage) (json.RawMessage, error) {
	if len(content) == 0 {
		content = json.RawMessage("{}")
	}
	all, err := document.ParseMembers(content)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	more, err := document.ParseMembers(sent)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	for name, value := range more.All() {
		before := all.Get(name)
		if len(before) == 0 || before[0] != '{' || value[0] != '{' {
			all.Set(name, value)
			continue
		}
		inner, err := merged(before, value)
		if err != nil {
			return nil, err
		}
		all.Set(name, inner)
	}
	return all.Encode(), nil
}
