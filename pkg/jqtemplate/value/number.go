package value

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Number is a number whose text is not that of its double in JavaScript: a literal that keeps its
// spelling, or with an empty Text a result of arithmetic, written as jq 1.7.1 writes a double. Plain
// float64 are numbers as JSON.stringify hands them to jq.
type Number struct {
	F    float64
	Text string
}

// Computed returns the number that arithmetic yields. Only doubles whose two texts differ are wrapped.
func Computed(f float64) any {
	if abs := math.Abs(f); abs < 1e16 && abs >= 1e-4 || f == 0 && !math.Signbit(f) {
		return f
	}
	return Number{F: f}
}

// Literal returns the number that a JSON or jq literal stands for.
func Literal(text string) any {
	f, _ := strconv.ParseFloat(text, 64)
	canonical := decimalText(text)
	if canonical == NumberText(f) {
		return f
	}
	return Number{f, canonical}
}

// Float returns the double of a number.
func Float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case Number:
		return v.F, true
	}
	return 0, false
}

// NumberText returns the text that jq 1.7.1 gives a number in tojson and tostring.
func NumberText(v any) string {
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return doubleText(v)
		}
		if v == 0 {
			return "0"
		}
		return strings.Replace(string(AppendNumber(nil, v)), "e", "E", 1)
	case Number:
		if v.Text != "" {
			return v.Text
		}
		return doubleText(v.F)
	}
	return ""
}

// doubleText is jvp_dtoa_fmt of jq's source: the shortest digits, an exponent of at least two digits.
func doubleText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "null"
	case math.IsInf(f, 0):
		f = math.Copysign(math.MaxFloat64, f)
	case f == 0:
		if math.Signbit(f) {
			return "-0"
		}
		return "0"
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(text, "e")
	point, _ := strconv.Atoi(exponent)
	digits := len(strings.TrimLeft(mantissa, "-"))
	if digits > 1 {
		digits--
	}
	if point+1 <= -4 || point+1 > digits+15 {
		return text
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// decimalText is decNumber's to-scientific-string of a literal (General Decimal Arithmetic
// Specification, to-scientific-string).
func decimalText(text string) string {
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	}
	exponent := 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, _ = strconv.Atoi(text[i+1:])
		text = text[:i]
	}
	if i := strings.IndexByte(text, '.'); i >= 0 {
		exponent -= len(text) - i - 1
		text = text[:i] + text[i+1:]
	}
	if text = strings.TrimLeft(text, "0"); text == "" {
		text = "0"
	}
	adjusted := exponent + len(text) - 1
	if adjusted > 999999999 {
		return sign + doubleText(math.MaxFloat64)
	}
	if exponent <= 0 && adjusted >= -6 {
		if exponent == 0 {
			return sign + text
		}
		if n := len(text) + exponent; n > 0 {
			return sign + text[:n] + "." + text[n:]
		}
		return sign + "0." + strings.Repeat("0", -exponent-len(text)) + text
	}
	if len(text) > 1 {
		text = text[:1] + "." + text[1:]
	}
	e := strconv.Itoa(adjusted)
	if adjusted > 0 {
		e = "+" + e
	}
	return sign + text + "E" + e
}

// TypeName returns jq's name of a value's type.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case *Object:
		return "object"
	}
	return "number"
}

func rank(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 2
		}
		return 1
	case string:
		return 4
	case []any:
		return 5
	case *Object:
		return 6
	}
	return 3
}

// Compare orders two values as jq sorts them. NaN is below every number, itself included. Look is called
// for each part of arrays and objects, with how deep it lies: values that an evaluation has built may nest
// without end, and share parts so that the whole is larger than any memory. It may panic to end it.
func Compare(a, b any, look func(depth int)) int { return compare(a, b, look, 0) }

func compare(a, b any, look func(depth int), depth int) int {
	if depth > 0 {
		look(depth)
	}
	if x, y := rank(a), rank(b); x != y {
		return cmp.Compare(x, y)
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case []any:
		return slices.CompareFunc(a, b.([]any), func(a, b any) int { return compare(a, b, look, depth+1) })
	case *Object:
		b := b.(*Object)
		for range a.Len() + b.Len() {
			look(depth + 1)
		}
		keys, others := a.SortedKeys(), b.SortedKeys()
		if c := slices.Compare(keys, others); c != 0 {
			return c
		}
		for _, key := range keys {
			x, _ := a.Get(key)
			y, _ := b.Get(key)
			if c := compare(x, y, look, depth+1); c != 0 {
				return c
			}
		}
		return 0
	}
	x, ok := Float(a)
	if !ok {
		return 0
	}
	y, _ := Float(b)
	switch {
	case x < y || math.IsNaN(x):
		return -1
	case x == y:
		return 0
	}
	return 1
}

// SortedKeys returns the names of the members, sorted by code points.
func (o *Object) SortedKeys() []string {
	keys := make([]string, o.Len())
	for i, m := range o.Members() {
		keys[i] = m.Key
	}
	slices.Sort(keys)
	return keys
}
