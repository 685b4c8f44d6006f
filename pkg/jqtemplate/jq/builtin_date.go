package jq

import (
	"longshore/pkg/jqtemplate/jqtime"
	"longshore/pkg/jqtemplate/value"
)

func dateBuiltins() []native {
	return []native{
		timed("gmtime", 0, func(v any, _ []any) (any, error) { return list(jqtime.Gmtime(v)) }),
		timed("localtime", 0, func(v any, _ []any) (any, error) { return list(jqtime.Localtime(v)) }),
		timed("mktime", 0, func(v any, _ []any) (any, error) {
			seconds, err := jqtime.Mktime(v)
			return value.Computed(seconds), err
		}),
		timed("strftime", 1, func(v any, args []any) (any, error) { return jqtime.Strftime(v, args[0]) }),
		timed("strflocaltime", 1, func(v any, args []any) (any, error) { return jqtime.Strflocaltime(v, args[0]) }),
		timed("strptime", 1, func(v any, args []any) (any, error) { return list(jqtime.Strptime(v, args[0])) }),
	}
}

const dateDefinitions = `
def todate: strftime("` + jqtime.ISO8601 + `");
def fromdate: fromdateiso8601;
def date: todate;
def todateiso8601: strftime("` + jqtime.ISO8601 + `");
def fromdateiso8601: strptime("` + jqtime.ISO8601 + `") | mktime;
`

// longDate is longer than any date or format that people write, in bytes.
const longDate = 4 << 10

// list keeps a nil slice from becoming a value.
func list(items []any, err error) (any, error) { return items, err }

// timed is a builtin of package jqtime, whose numbers are plain doubles and whose errors are what catch
// sees.
func timed(name string, args int, f func(v any, args []any) (any, error)) native {
	return native{name: name, args: args, call: func(x *exec, v any, args []any) (any, error) {
		for _, a := range append(args, v) {
			if s, ok := a.(string); ok {
				n := len(s)
				if n > longDate {
					n *= 64 // It is read slowly, and in one go.
				}
				if err := x.charge(n); err != nil {
					return nil, err
				}
			}
		}
		out, err := f(doubles(v), args)
		if err != nil {
			return nil, &Error{err.Error()}
		}
		return out, nil
	}}
}

// doubles returns a number, or a list with its numbers, as doubles.
func doubles(v any) any {
	switch v := v.(type) {
	case value.Number:
		return v.F
	case []any:
		out := make([]any, min(len(v), 8))
		for i := range out {
			out[i] = v[i]
			if f, ok := value.Float(v[i]); ok {
				out[i] = f
			}
		}
		return out
	}
	return v
}
