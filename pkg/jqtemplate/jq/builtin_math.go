package jq

import (
	"math"

	"longshore/pkg/jqtemplate/value"
)

// unary are libm's functions of one number.
var unary = map[string]func(float64) float64{
	"floor": math.Floor, "ceil": math.Ceil, "round": math.Round, "trunc": math.Trunc,
	"rint": math.RoundToEven, "nearbyint": math.RoundToEven,
	"sqrt": math.Sqrt, "cbrt": cbrt, "fabs": math.Abs,
	"exp": naturalExp, "exp2": exp2, "exp10": exp10, "pow10": exp10, "expm1": math.Expm1,
	"log":   naturalLog,
	"log2":  precisely(positive, func(f float64) double { return exact(f).log().over(doubleLn2) }, math.Log2),
	"log10": log10, "log1p": math.Log1p,
	"logb": logb, "significand": significand,
	"gamma": lgamma, "lgamma": lgamma, "tgamma": math.Gamma,
	"sin":  precisely(below(1e5), func(f float64) double { s, _ := sincos(f); return s }, math.Sin),
	"cos":  precisely(below(1e5), func(f float64) double { _, c := sincos(f); return c }, math.Cos),
	"tan":  precisely(below(1e5), func(f float64) double { s, c := sincos(f); return s.over(c) }, math.Tan),
	"asin": arc(math.Asin, true), "acos": arc(math.Acos, false),
	"atan": precisely(below(1e100), func(f float64) double { return atan(exact(f)) }, math.Atan),
	"sinh": sinh, "cosh": cosh, "tanh": tanh,
	"asinh": math.Asinh, "acosh": math.Acosh, "atanh": math.Atanh,
	"j0": math.J0, "j1": math.J1, "y0": math.Y0, "y1": math.Y1,
}

// libmBinary are libm's functions of two numbers.
var libmBinary = map[string]func(a, b float64) float64{
	"pow": pow, "atan2": atan2, "hypot": hypot, "fmod": math.Mod,
	"fmin": func(a, b float64) float64 { return extremum(a, b, math.Min) },
	"fmax": func(a, b float64) float64 { return extremum(a, b, math.Max) },
	"fdim": func(a, b float64) float64 {
		if a <= b {
			return 0
		}
		return a - b
	},
	"copysign": math.Copysign, "drem": math.Remainder,
	"nextafter": math.Nextafter, "nexttoward": math.Nextafter,
	"ldexp": func(a, b float64) float64 { return ldexp(a, math.Trunc(b)) },
	"scalb": func(a, b float64) float64 {
		if !math.IsInf(b, 0) && b != math.Trunc(b) {
			return math.NaN()
		}
		if math.IsInf(b, -1) {
			return a / math.Inf(1)
		}
		return ldexp(a, b)
	},
	"scalbln": func(a, b float64) float64 { return ldexp(a, math.Trunc(b)) },
}

func mathBuiltins() []native {
	all := []native{
		{name: "fma", args: 3, call: func(_ *exec, _ any, args []any) (any, error) {
			var f [3]float64
			for i, a := range args {
				var err error
				if f[i], err = number(a); err != nil {
					return nil, err
				}
			}
			return value.Computed(math.FMA(f[0], f[1], f[2])), nil
		}},
		{name: "infinite", call: func(*exec, any, []any) (any, error) { return value.Computed(math.Inf(1)), nil }},
		{name: "nan", call: func(*exec, any, []any) (any, error) { return value.Computed(math.NaN()), nil }},
		{name: "isnan", call: func(_ *exec, v any, _ []any) (any, error) {
			f, ok := value.Float(v)
			return ok && math.IsNaN(f), nil
		}},
		{name: "isinfinite", call: numeric(func(f float64) any { return isInfinite(f) })},
		{name: "isnormal", call: numeric(func(f float64) any { return isNormal(f) })},
		{name: "frexp", call: numeric(func(f float64) any {
			if math.IsInf(f, 0) || math.IsNaN(f) {
				return []any{value.Computed(f), 0.0}
			}
			fraction, exponent := math.Frexp(f)
			return []any{value.Computed(fraction), float64(exponent)}
		})},
		{name: "modf", call: numeric(func(f float64) any {
			whole, part := math.Modf(f)
			if math.IsInf(f, 0) {
				part = math.Copysign(0, f)
			}
			return []any{value.Computed(part), value.Computed(whole)}
		})},
		{name: "lgamma_r", call: numeric(func(f float64) any {
			l, sign := math.Lgamma(f)
			return []any{value.Computed(l), float64(sign)}
		})},
	}
	for name, f := range unary {
		all = append(all, native{name: name, call: numeric(func(a float64) any { return value.Computed(f(a)) })})
	}
	for name, f := range libmBinary {
		all = append(all, native{name: name, args: 2, call: func(_ *exec, _ any, args []any) (any, error) {
			a, err := number(args[0])
			if err != nil {
				return nil, err
			}
			b, err := number(args[1])
			if err != nil {
				return nil, err
			}
			return value.Computed(f(a, b)), nil
		}})
	}
	return all
}

func number(v any) (float64, error) {
	f, ok := value.Float(v)
	if !ok {
		return 0, wrongType(v, "number required")
	}
	return f, nil
}

func numeric(f func(float64) any) func(*exec, any, []any) (any, error) {
	return func(_ *exec, v any, _ []any) (any, error) {
		n, err := number(v)
		if err != nil {
			return nil, err
		}
		return f(n), nil
	}
}

func isInfinite(f float64) bool { return math.IsInf(f, 0) }

func isNormal(f float64) bool {
	abs := math.Abs(f)
	return abs >= 0x1p-1022 && abs <= math.MaxFloat64
}

// extremum is fmin or fmax: NaN is the lesser choice.
func extremum(a, b float64, f func(a, b float64) float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	}
	return f(a, b)
}

func ldexp(a, b float64) float64 {
	return math.Ldexp(a, int(math.Max(-1e5, math.Min(1e5, b))))
}

// exp10 is glibc's: the argument in two parts, a power of each.
func exp10(f float64) float64 {
	if !(math.Abs(f) > 1e-15 && math.Abs(f) < 280) {
		return math.Pow(10, f)
	}
	high := math.Float64frombits(math.Float64bits(f) &^ 0x7ffffff)
	low := f - high
	e := naturalExp
	return e(float64(high*0x2.4d7637p0)) * e(float64(high*0x7.6aaa2b05ba95cp-28)+float64(low*math.Ln10))
}

func lgamma(f float64) float64 {
	l, _ := math.Lgamma(f)
	return l
}

// logb is the exponent of the leading binary digit.
func logb(f float64) float64 {
	switch {
	case f == 0:
		return math.Inf(-1)
	case math.IsInf(f, 0):
		return math.Inf(1)
	case math.IsNaN(f):
		return f
	}
	_, exponent := math.Frexp(f)
	return float64(exponent - 1)
}

func significand(f float64) float64 {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return f
	}
	fraction, _ := math.Frexp(f)
	return 2 * fraction
}

// cbrt is glibc's: a polynomial, one step of Halley's method, the power of two put back. Its last digit
// is often another than the nearest one's.
func cbrt(f float64) float64 {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return f
	}
	third, twoThirds := 1.2599210498948731648, 1.5874010519681994748
	factors := [5]float64{1 / twoThirds, 1 / third, 1, third, twoThirds}
	m, e := math.Frexp(math.Abs(f))
	u := 0.354895765043919860 + float64((1.50819193781584896-float64((2.11499494167371287-
		float64((2.44693122563534430-float64((1.83469277483613086-
			float64((0.784932344976639262-float64(0.145263899385486367*m))*m))*m))*m))*m))*m)
	cube := u * u * u
	y := u * (cube + float64(2*m)) / (float64(2*cube) + m) * factors[2+e%3]
	return math.Copysign(math.Ldexp(y, e/3), f)
}
