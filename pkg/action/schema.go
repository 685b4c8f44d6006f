package action

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"net/mail"
	"net/url"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/jqtemplate"
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
	c := newCompiler(nil)
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

// newCompiler returns a compiler that fetches nothing, with JavaScript's regular expressions, whose
// time is taken from b (unbounded when nil: the patterns are our own), and with the formats url and email.
func newCompiler(b *budget) *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(nil)
	c.UseRegexpEngine(b.compile)
	c.RegisterFormat(&jsonschema.Format{Name: "url", Validate: validURL})
	c.RegisterFormat(&jsonschema.Format{Name: "email", Validate: validEmail})
	return c
}

// validURL accepts absolute URLs with a scheme and a host; what is no string is another keyword's
// matter.
func validURL(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("no absolute URL with scheme and host")
	}
	return nil
}

// validEmail accepts bare addresses (RFC 5322, addr-spec); the library's own check takes "@b" for one.
func validEmail(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s {
		return fmt.Errorf("no e-mail address")
	}
	return nil
}

// plain returns a value as the validator takes it: objects as maps. Numbers beyond the doubles become
// the greatest one.
func plain(v any) any {
	switch v := v.(type) {
	case *jqtemplate.Object:
		m := make(map[string]any, v.Len())
		for k, e := range v.All() {
			m[k] = plain(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = plain(e)
		}
		return l
	case float64:
		return max(-math.MaxFloat64, min(v, math.MaxFloat64))
	default:
		return v
	}
}
