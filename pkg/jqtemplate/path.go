package jqtemplate

import (
	"fmt"
	"strconv"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// step is one part of a plain path: a member's name, or an element's number.
type step struct {
	key     string
	index   int
	numeric bool
}

// plainPath returns the steps of a query such as .a.b[0]."c d"; ok is false for any other query. Most
// expressions are such paths, and walking them takes a tenth of the time that running them does.
func plainPath(q *gojq.Query) (steps []step, ok bool) {
	t := q.Term
	if t == nil || q.Meta != nil || len(q.Imports) > 0 || len(q.FuncDefs) > 0 {
		return nil, false
	}
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		s, ok := plainStep(t.Index)
		if !ok {
			return nil, false
		}
		steps = append(steps, s)
	default:
		return nil, false
	}
	for _, suffix := range t.SuffixList {
		if suffix.Index == nil || suffix.Iter || suffix.Optional {
			return nil, false
		}
		s, ok := plainStep(suffix.Index)
		if !ok {
			return nil, false
		}
		steps = append(steps, s)
	}
	return steps, true
}

func plainStep(x *gojq.Index) (step, bool) {
	switch {
	case x.IsSlice:
		return step{}, false
	case x.Name != "":
		return step{key: x.Name}, true
	case x.Str != nil:
		return step{key: x.Str.Str}, x.Str.Queries == nil
	case x.Start == nil || x.Start.Term == nil || len(x.Start.FuncDefs) > 0 || len(x.Start.Term.SuffixList) > 0:
		return step{}, false
	}
	t, sign := x.Start.Term, ""
	if t.Type == gojq.TermTypeString {
		return step{key: t.Str.Str}, t.Str.Queries == nil
	}
	if t.Type == gojq.TermTypeUnary && t.Unary.Op == gojq.OpSub && len(t.Unary.Term.SuffixList) == 0 {
		t, sign = t.Unary.Term, "-"
	}
	if t.Type != gojq.TermTypeNumber {
		return step{}, false
	}
	index, err := strconv.Atoi(sign + t.Number)
	return step{index: index, numeric: true}, err == nil
}

// walk follows a plain path as jq does: anything of null is null, and so is what is not there.
func walk(v any, steps []step) (any, error) {
	for _, s := range steps {
		switch in := v.(type) {
		case nil:
			return nil, nil
		case *Object:
			if s.numeric {
				return nil, jqError("Cannot index object with number")
			}
			v, _ = in.Get(s.key)
		case []any:
			if !s.numeric {
				return nil, jqError(fmt.Sprintf("Cannot index array with string \"%s\"", s.key))
			}
			i := s.index
			if i < 0 {
				i += len(in)
			}
			if i < 0 || i >= len(in) {
				return nil, nil
			}
			v = in[i]
		default:
			if s.numeric {
				return nil, jqError(fmt.Sprintf("Cannot index %s with number", value.TypeName(v)))
			}
			return nil, jqError(fmt.Sprintf("Cannot index %s with string \"%s\"", value.TypeName(v), s.key))
		}
	}
	return v, nil
}
