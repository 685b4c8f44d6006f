package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// NewCompiler returns a compiler of our own schemas: it fetches nothing, and has JavaScript's regular
// expressions and the formats of Checker.
func NewCompiler() *jsonschema.Compiler { return newCompiler(nil) }

// newCompiler takes the time of patterns from b, unbounded when nil.
func newCompiler(b *budget) *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(nil)
	c.UseRegexpEngine(b.compile)
	c.RegisterFormat(&jsonschema.Format{Name: "url", Validate: validURL})
	c.RegisterFormat(&jsonschema.Format{Name: "email", Validate: validEmail})
	c.RegisterFormat(&jsonschema.Format{Name: "idn-email", Validate: validEmail})
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

// validEmail accepts bare addresses (RFC 5322, addr-spec; RFC 6532 beyond ASCII); the library's own
// check takes "@b" for one.
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

// Keyword reports whether a member of a declared property means the same in JSON Schema and needs no
// care: not those that Draft has a method for, and not those that hold schemas.
func Keyword(name string) bool {
	switch name {
	case "type", "const", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"multipleOf", "uniqueItems", "minProperties", "maxProperties", "minItems", "maxItems":
		return true
	}
	return false
}

// Draft is a JSON Schema that is being put together from what a client declared. Its zero value is
// ready.
type Draft struct {
	// enums are formats that stand for enums.
	enums []*jsonschema.Format
	// weight is how many parts of the schema may have to be looked at for one value.
	weight int
	// patterns tells whether a pattern must be matched.
	patterns bool
}

// Enum returns the name of a format that has just these values. The validator's own enum compares
// with one after the other: a long list of values against a long enum would take it hours.
func (d *Draft) Enum(values []any) string {
	allowed, list := make(map[any]bool, len(values)), make([]any, len(values))
	for i, v := range values {
		list[i] = Plain(v)
		allowed[comparableForm(list[i])] = true
	}
	refused := errors.New("must be " + oneOf(list))
	name := fmt.Sprintf("enum-%d", len(d.enums))
	d.enums = append(d.enums, &jsonschema.Format{Name: name, Validate: func(v any) error {
		if allowed[comparableForm(v)] {
			return nil
		}
		return refused
	}})
	return name
}

// comparableForm returns a plain value, or its text if it is an object or an array.
func comparableForm(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		text, _ := json.Marshal(v) // Members are sorted. What was JSON can be JSON again.
		return [1]string{string(text)}
	default:
		return v
	}
}

// Pattern notes a pattern; the error says why it is none.
func (d *Draft) Pattern(text string) error {
	_, err := compilePattern(text)
	if err == nil {
		d.patterns = true
	}
	return err
}

// Required returns the names of required members as JSON Schema wants them: each once.
func (d *Draft) Required(v any) []any {
	names := []any{}
	for _, n := range slices.Compact(slices.Sorted(slices.Values(Texts(v)))) {
		names = append(names, n)
	}
	d.Weigh(len(names))
	return names
}

// Weigh notes that one value may have to be looked at n times.
func (d *Draft) Weigh(n int) { d.weight = max(d.weight, n) }

// Checker is a compiled JSON Schema. It is immutable and safe for concurrent use.
type Checker struct {
	enums    []*jsonschema.Format
	weight   int
	document map[string]any
	// free holds compiled forms of document that nobody uses now: each has a budget of its own for
	// matching patterns. A document without patterns has one form, shared by all.
	free   chan *form
	shared *form
}

// form is one compiled form of a schema.
type form struct {
	schema *jsonschema.Schema
	budget *budget
}

// maxFree is how many compiled forms are kept of a schema with patterns: as many as usually work side
// by side.
const maxFree = 4

// maxChecks bounds what the validator has to look at: the values, times the members that each may
// lack. The validator collects every fault before it returns any, and a list of empty objects in
// which each lacks a thousand members would fill the memory.
const maxChecks = 5_000_000

const documentURL = "https://longshore.invalid/document.json"

// Checker compiles a schema that was made with the draft.
func (d *Draft) Checker(schema map[string]any) (*Checker, error) {
	c := &Checker{enums: d.enums, weight: d.weight, document: schema}
	first, err := c.compile()
	if err != nil {
		return nil, err
	}
	if d.patterns {
		c.free = make(chan *form, maxFree)
		c.free <- first
	} else {
		c.shared = first
	}
	return c, nil
}

func (c *Checker) compile() (*form, error) {
	b := new(budget)
	compiler := newCompiler(b)
	for _, f := range c.enums {
		compiler.RegisterFormat(f)
	}
	if err := compiler.AddResource(documentURL, c.document); err != nil {
		return nil, err
	}
	s, err := compiler.Compile(documentURL)
	if err != nil {
		return nil, err
	}
	return &form{schema: s, budget: b}, nil
}

// Check checks a plain value and adds its faults under a base path. The error is our own.
func (c *Checker) Check(f *Faults, v any, base string) error {
	if countValues(v)*(1+c.weight) > maxChecks {
		f.Add(base, "has too many values to be checked")
		return nil
	}
	use := c.shared
	if use == nil {
		select {
		case use = <-c.free:
		default:
			var err error
			if use, err = c.compile(); err != nil {
				return fmt.Errorf("compile the schema of %s: %w", base, err)
			}
		}
		defer func() {
			select {
			case c.free <- use:
			default:
			}
		}()
		use.budget.reset()
	}
	var e *jsonschema.ValidationError
	if errors.As(use.schema.Validate(v), &e) {
		if c.shared == nil {
			f.spent = use.budget.spent
		}
		f.translate(e, v, base)
	}
	return nil
}
