package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"longshore/pkg/jqtemplate"
)

// maxNodes is how many values a YAML document may have once its aliases are written out: far more
// than the server takes in a definition, and little enough that aliases of aliases end soon.
const maxNodes = 100_000

// fromYAML reads the documents of a text as JSON values, empty ones left out. It walks the library's
// tree, not what the library decodes: that replaces bytes that are no text, rounds integers, and
// writes aliases out without a bound.
func fromYAML(text []byte) ([]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	file, err := parser.Parse(tokens(strings.TrimPrefix(string(text), "\ufeff")), 0)
	if err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	var values []any
	for _, document := range file.Docs {
		switch document.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.DirectiveNode:
			continue
		}
		r := yamlReader{anchors: map[string]ast.Node{}, left: maxNodes}
		value, err := r.value(document.Body, 0)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(values)+1, err)
		}
		if value != nil {
			values = append(values, value)
		}
	}
	return values, nil
}

// tokens reads a text without the starts of empty documents: the parser drops all that follows one.
func tokens(text string) token.Tokens {
	var kept token.Tokens
	for _, t := range lexer.Tokenize(text) {
		last := len(kept) - 1
		switch {
		case t.Type == token.CommentType:
		case t.Type == token.DocumentHeaderType && last >= 0 && kept[last].Type == token.DocumentHeaderType:
			kept[last] = t
		default:
			kept = append(kept, t)
		}
	}
	return kept
}

// longDigits is an integer that needs more than 64 bits.
var longDigits = regexp.MustCompile(`^[-+]?[1-9][0-9]{15,}$`)

// yamlReader reads one document.
type yamlReader struct {
	anchors map[string]ast.Node
	left    int
}

func (r *yamlReader) value(n ast.Node, depth int) (any, error) {
	if r.left--; r.left < 0 {
		return nil, fmt.Errorf("it has more than %d values", maxNodes)
	}
	if depth > jqtemplate.MaxDepth {
		return nil, fmt.Errorf("it nests deeper than %d levels", jqtemplate.MaxDepth)
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.FloatNode:
		return n.Value, nil
	case *ast.IntegerNode:
		return readInteger(n)
	case *ast.StringNode:
		return readString(n)
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, item := range n.Values {
			var err error
			if list[i], err = r.value(item, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *ast.MappingNode:
		return r.object(n.Values, depth)
	case *ast.MappingValueNode:
		return r.object([]*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		// Known once it is read: an alias inside of it leads nowhere.
		value, err := r.value(n.Value, depth)
		r.anchors[n.Name.String()] = n.Value
		return value, err
	case *ast.AliasNode:
		target, ok := r.anchors[n.Value.String()]
		if !ok {
			return nil, at(n, "there is no anchor %s before it", n.Value)
		}
		return r.value(target, depth)
	case *ast.TagNode:
		if scalar, ok := n.Value.(ast.ScalarNode); ok && n.Start.Value == "!!str" {
			return scalar.GetToken().Value, nil
		}
	}
	return nil, at(n, "%s is a value that JSON does not have", n)
}

// object reads members. What a merge key brings gives way to the members that are written, and to
// what an earlier one brought. The parser refuses a name that is written twice.
func (r *yamlReader) object(members []*ast.MappingValueNode, depth int) (any, error) {
	object := &jqtemplate.Object{}
	for _, m := range members {
		value, err := r.value(m.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if !m.Key.IsMergeKey() {
			name, err := memberName(m.Key)
			if err != nil {
				return nil, err
			}
			object.Set(name, value)
			continue
		}
		sources, ok := value.([]any)
		if !ok {
			sources = []any{value}
		}
		for _, source := range sources {
			from, ok := source.(*jqtemplate.Object)
			if !ok {
				return nil, at(m.Key, "<< takes an object or a list of objects")
			}
			for name, value := range from.All() {
				if _, there := object.Get(name); !there {
					object.Set(name, value)
				}
			}
		}
	}
	return object, nil
}

// memberName is a member's name: the text of a scalar, as it is written.
func memberName(key ast.MapKeyNode) (string, error) {
	switch k := key.(type) {
	case *ast.StringNode:
		return k.Value, nil
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.NullNode:
		return k.GetToken().Value, nil
	}
	return "", at(key, "%s cannot be the name of a member", key)
}

// readInteger returns a number that readers of JSON will have as it is, or refuses it.
func readInteger(n *ast.IntegerNode) (any, error) {
	const most = 1 << 53
	switch v := n.Value.(type) {
	case int64:
		if -most <= v && v <= most {
			return float64(v), nil
		}
	case uint64:
		if v <= most {
			return float64(v), nil
		}
	}
	return nil, tooLong(n)
}

// readString returns a string. The library makes one of an integer that is too long for 64 bits.
func readString(n *ast.StringNode) (any, error) {
	if n.Token.Type == token.StringType && longDigits.MatchString(n.Value) {
		return nil, tooLong(n)
	}
	return n.Value, nil
}

func tooLong(n ast.Node) error {
	return at(n, "%s is beyond 2^53, where numbers lose digits; quote it", n)
}

// at says where a fault is.
func at(n ast.Node, format string, args ...any) error {
	position := n.GetToken().Position
	return fmt.Errorf("line %d, column %d: %s", position.Line, position.Column, fmt.Sprintf(format, args...))
}
