package jq

import (
	"math"
	"strings"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// operation is a function of two values.
type operation = func(x *exec, a, b any) (any, error)

// arithmetic returns what an operator does, nil for one that is no function of two values.
func arithmetic(op gojq.Operator) operation {
	switch op {
	case gojq.OpAdd:
		return add
	case gojq.OpSub:
		return subtract
	case gojq.OpMul:
		return multiply
	case gojq.OpDiv:
		return divide
	case gojq.OpMod:
		return modulo
	case gojq.OpEq:
		return compared(func(c int) bool { return c == 0 })
	case gojq.OpNe:
		return compared(func(c int) bool { return c != 0 })
	case gojq.OpLt:
		return compared(func(c int) bool { return c < 0 })
	case gojq.OpLe:
		return compared(func(c int) bool { return c <= 0 })
	case gojq.OpGt:
		return compared(func(c int) bool { return c > 0 })
	case gojq.OpGe:
		return compared(func(c int) bool { return c >= 0 })
	}
	return nil
}

func compared(holds func(int) bool) operation {
	return func(x *exec, a, b any) (any, error) { return holds(x.compare(a, b)), x.step() }
}

// add is +: null is neutral, numbers, strings and arrays are put together, objects merged.
func add(x *exec, a, b any) (any, error) {
	if a == nil {
		return b, nil
	}
	if b == nil {
		return a, nil
	}
	switch l := a.(type) {
	case string:
		if r, ok := b.(string); ok {
			if err := x.charge(len(l) + len(r)); err != nil {
				return nil, err
			}
			return l + r, nil
		}
	case []any:
		if r, ok := b.([]any); ok {
			if len(r) == 0 {
				return l, nil
			}
			return x.grow(l, len(l), r...)
		}
	case *value.Object:
		if r, ok := b.(*value.Object); ok {
			return x.merge(l, r)
		}
	}
	if l, r, ok := floats(a, b); ok {
		return value.Computed(l + r), nil
	}
	return nil, unfit(a, b, "cannot be added")
}

// merge returns l with the members of r.
func (x *exec) merge(l, r *value.Object) (any, error) {
	for _, m := range r.Members() {
		next, n := l.With(x, m.Key, m.Value)
		if err := x.charge(64 + 40*n); err != nil {
			return nil, err
		}
		l = next
	}
	return l, nil
}

func subtract(x *exec, a, b any) (any, error) {
	if l, r, ok := floats(a, b); ok {
		return value.Computed(l - r), nil
	}
	l, left := a.([]any)
	r, right := b.([]any)
	if !left || !right {
		return nil, unfit(a, b, "cannot be subtracted")
	}
	out := []any{}
	for _, item := range l {
		kept := true
		for _, gone := range r {
			if err := x.step(); err != nil {
				return nil, err
			}
			if x.compare(item, gone) == 0 {
				kept = false
				break
			}
		}
		if kept {
			out = append(out, item)
		}
	}
	return out, x.charge(16 * len(out))
}

// multiply is *: numbers; a string as often as a number says, null for less than once; objects merged
// at every level.
func multiply(x *exec, a, b any) (any, error) {
	if l, r, ok := floats(a, b); ok {
		return value.Computed(l * r), nil
	}
	if l, ok := a.(*value.Object); ok {
		if r, ok := b.(*value.Object); ok {
			return x.mergeDeep(l, r)
		}
	}
	s, isText := a.(string)
	n, isNumber := value.Float(b)
	if !isText {
		s, isText = b.(string)
		n, isNumber = value.Float(a)
	}
	if isText && isNumber {
		return x.repeat(s, n)
	}
	return nil, unfit(a, b, "cannot be multiplied")
}

// repeat returns a text n times, rounded up (f_multiply of jq's source counts down from n while more
// than nothing is left).
func (x *exec) repeat(s string, n float64) (any, error) {
	if !(n > 0) {
		return nil, nil
	}
	n = math.Max(1, math.Floor(n))
	if n*float64(len(s)) > budget {
		return nil, ErrMemory
	}
	if len(s) == 0 {
		return "", nil
	}
	if err := x.charge(int(n) * len(s)); err != nil {
		return nil, err
	}
	return strings.Repeat(s, int(n)), nil
}

func (x *exec) mergeDeep(l, r *value.Object) (any, error) {
	if err := x.enter(); err != nil {
		return nil, err
	}
	defer x.leave()
	for _, m := range r.Members() {
		v := m.Value
		old, _ := l.Get(m.Key)
		if inner, ok := old.(*value.Object); ok {
			if with, ok := v.(*value.Object); ok {
				merged, err := x.mergeDeep(inner, with)
				if err != nil {
					return nil, err
				}
				v = merged
			}
		}
		next, n := l.With(x, m.Key, v)
		if err := x.charge(64 + 40*n); err != nil {
			return nil, err
		}
		l = next
	}
	return l, nil
}

func divide(x *exec, a, b any) (any, error) {
	if l, r, ok := floats(a, b); ok {
		if r == 0 {
			return nil, unfit(a, b, "cannot be divided because the divisor is zero")
		}
		return value.Computed(l / r), nil
	}
	if l, ok := a.(string); ok {
		if r, ok := b.(string); ok {
			return x.split(l, r)
		}
	}
	return nil, unfit(a, b, "cannot be divided")
}

// split cuts a text at every separator; without one into its characters.
func (x *exec) split(s, separator string) (any, error) {
	out := []any{}
	if s == "" {
		return out, nil
	}
	if err := x.charge(len(s) + 32*(1+strings.Count(s, separator))); err != nil {
		return nil, err
	}
	for _, part := range strings.Split(s, separator) {
		out = append(out, part)
	}
	return out, nil
}

// modulo is % on the doubles cut to 64-bit integers.
func modulo(_ *exec, a, b any) (any, error) {
	l, r, ok := floats(a, b)
	if !ok {
		return nil, unfit(a, b, "cannot be divided (remainder)")
	}
	if math.IsNaN(l) || math.IsNaN(r) {
		return math.NaN(), nil
	}
	divisor := toInteger(r)
	switch divisor {
	case 0:
		return nil, unfit(a, b, "cannot be divided (remainder) because the divisor is zero")
	case -1:
		return 0.0, nil
	}
	return value.Computed(float64(toInteger(l) % divisor)), nil
}

// toInteger is dtoi of jq's source; 2^63 itself it converts as the processor does.
func toInteger(f float64) int64 {
	switch {
	case f <= math.MinInt64, f == 1<<63:
		return math.MinInt64
	case f > 1<<63:
		return math.MaxInt64
	}
	return int64(f)
}

func floats(a, b any) (l, r float64, ok bool) {
	l, left := value.Float(a)
	r, right := value.Float(b)
	return l, r, left && right
}
