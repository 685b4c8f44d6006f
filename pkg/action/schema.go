package action

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/document"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// schemas are the compiled schemas of definitions.
type schemas struct {
	v1, v2 *jsonschema.Schema
	// The members of a trigger, by its type.
	selfService, automation *jsonschema.Schema
	// The members of an invocation method, by generation and type.
	methods map[int]map[string]*jsonschema.Schema
}

// definitionSchemas compiles the embedded schemas once. They never change afterwards.
var definitionSchemas = sync.OnceValues(compileSchemas)

// schemaBase is where the embedded schemas find one another. Nothing is ever fetched.
const schemaBase = "https://longshore.invalid/schema/"

func compileSchemas() (*schemas, error) {
	c := document.NewCompiler()
	var method struct {
		Definitions struct {
			V1 map[string]json.RawMessage `json:"v1"`
			V2 map[string]json.RawMessage `json:"v2"`
		} `json:"definitions"`
	}
	for _, name := range []string{"definition.json", "inputs.json", "method.json"} {
		text, err := schemaFiles.ReadFile("schema/" + name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		var doc any
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("read schema %s: %w", name, err)
		}
		if err := c.AddResource(schemaBase+name, doc); err != nil {
			return nil, fmt.Errorf("add schema %s: %w", name, err)
		}
		if name == "method.json" {
			if err := json.Unmarshal(text, &method); err != nil {
				return nil, fmt.Errorf("read schema %s: %w", name, err)
			}
		}
	}
	var failed error
	compile := func(at string) *jsonschema.Schema {
		s, err := c.Compile(schemaBase + at)
		if err != nil && failed == nil {
			failed = fmt.Errorf("compile schema %s: %w", at, err)
		}
		return s
	}
	s := &schemas{
		v1:          compile("definition.json#/definitions/v1"),
		v2:          compile("definition.json#/definitions/v2"),
		selfService: compile("definition.json#/definitions/self-service"),
		automation:  compile("definition.json#/definitions/automation"),
		methods:     map[int]map[string]*jsonschema.Schema{V1: {}, V2: {}},
	}
	for name := range method.Definitions.V1 {
		s.methods[V1][name] = compile("method.json#/definitions/v1/" + name)
	}
	for name := range method.Definitions.V2 {
		s.methods[V2][name] = compile("method.json#/definitions/v2/" + name)
	}
	return s, failed
}
