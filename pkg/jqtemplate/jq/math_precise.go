package jq

import "math"

// double is the sum of two float64, about 106 bits: glibc's functions round almost as exact results would
// be, Go's are off by the last digit now and then.
type double struct{ hi, lo float64 }

var (
	doubleLn2 = double{6.931471805599452862e-01, 2.319046813846299558e-17}
	doublePi  = double{3.141592653589793116e+00, 1.224646799147353207e-16}
	// halfPi is the half of pi in three parts.
	halfPi = [3]float64{1.570796326794896558e+00, 6.123233995736766036e-17, -1.497384904859169777e-33}
)

func exact(f float64) double { return double{f, 0} }

func quickSum(a, b float64) double {
	s := a + b
	return double{s, b - (s - a)}
}

func exactSum(a, b float64) double {
	s := a + b
	t := s - a
	return double{s, (a - (s - t)) + (b - t)}
}

func exactProduct(a, b float64) double {
	p := float64(a * b)
	return double{p, math.FMA(a, b, -p)}
}

func (a double) plus(b double) double {
	s, t := exactSum(a.hi, b.hi), exactSum(a.lo, b.lo)
	s = quickSum(s.hi, s.lo+t.hi)
	return quickSum(s.hi, s.lo+t.lo)
}

func (a double) minus() double { return double{-a.hi, -a.lo} }

func (a double) times(b double) double {
	p := exactProduct(a.hi, b.hi)
	return quickSum(p.hi, p.lo+(float64(a.hi*b.lo)+float64(a.lo*b.hi)))
}

func (a double) over(b double) double {
	q := a.hi / b.hi
	r := a.plus(b.times(exact(q)).minus())
	q2 := r.hi / b.hi
	r = r.plus(b.times(exact(q2)).minus())
	return quickSum(q, q2).plus(exact(r.hi / b.hi))
}

// exp needs an argument between -700 and 700.
func (a double) exp() double {
	k := math.Round(a.hi / doubleLn2.hi)
	r := a.plus(doubleLn2.times(exact(k)).minus())
	const halvings = 9
	r = double{math.Ldexp(r.hi, -halvings), math.Ldexp(r.lo, -halvings)}
	// e^r-1 by its series, then (e^2r-1) = (e^r-1)^2 + 2(e^r-1).
	sum, term := exact(0), exact(1)
	for i := 1.0; i <= 10; i++ {
		term = term.times(r).over(exact(i))
		sum = sum.plus(term)
	}
	for range halvings {
		sum = sum.times(sum).plus(double{2 * sum.hi, 2 * sum.lo})
	}
	sum = sum.plus(exact(1))
	return double{math.Ldexp(sum.hi, int(k)), math.Ldexp(sum.lo, int(k))}
}

// log needs a positive normal number.
func (a double) log() double {
	y := exact(math.Log(a.hi))
	e := a.times(y.minus().exp()).plus(exact(-1))
	return y.plus(e).plus(exact(-e.hi * e.hi / 2))
}

// sincos needs an argument between -1e5 and 1e5.
func sincos(x float64) (sin, cos double) {
	k := math.Round(x / halfPi[0])
	r := exactSum(x, 0)
	for _, part := range halfPi {
		r = r.plus(exactProduct(-k, part))
	}
	square := r.times(r)
	sin, cos = r, exact(1)
	term, other := r, exact(1)
	for i := 1.0; i < 28; i += 2 {
		other = other.times(square).over(exact(-i * (i + 1)))
		term = term.times(square).over(exact(-(i + 1) * (i + 2)))
		sin, cos = sin.plus(term), cos.plus(other)
	}
	switch int(k) & 3 {
	case 1:
		return cos, sin.minus()
	case 2:
		return sin.minus(), cos.minus()
	case 3:
		return cos.minus(), sin
	}
	return sin, cos
}

// precisely falls back to Go's function outside of where the precise one holds.
func precisely(holds func(float64) bool, precise func(float64) double, plain func(float64) float64) func(float64) float64 {
	return func(f float64) float64 {
		if !holds(f) {
			return plain(f)
		}
		return precise(f).hi
	}
}

func below(limit float64) func(float64) bool {
	return func(f float64) bool { return f != 0 && math.Abs(f) > 1e-8 && math.Abs(f) < limit }
}

func positive(f float64) bool { return f > 1e-300 && f < 1e300 && f != 1 }

func exp2(f float64) float64 {
	if !below(1000)(f) || f == math.Trunc(f) {
		return math.Exp2(f)
	}
	whole := math.Trunc(f)
	return math.Ldexp(exact(f-whole).times(doubleLn2).exp().hi, int(whole))
}

// log10 is glibc's, which is less precise.
func log10(f float64) float64 {
	if !positive(f) {
		return math.Log10(f)
	}
	fraction, exponent := math.Frexp(f)
	k, m := exponent-1, 2*fraction
	if k < 0 {
		k, m = k+1, fraction
	}
	y := float64(k)
	z := float64(y*3.69423907715893078616e-13) + float64(4.34294481903251816668e-01*naturalLog(m))
	return z + float64(y*3.01029995663611771306e-01)
}

func pow(a, b float64) float64 {
	plain := math.Pow(a, b)
	abs := math.Abs(plain)
	if !positive(math.Abs(a)) || !(abs > 1e-290 && abs < 1e290) || b == 0 || b == 1 || abs == 1 {
		return plain
	}
	return math.Copysign(exact(math.Abs(a)).log().times(exact(b)).exp().hi, plain)
}

var naturalLog = precisely(positive, func(f float64) double { return exact(f).log() }, math.Log)

func atan(x double) double {
	y := math.Atan(x.hi)
	sin, cos := sincos(y)
	t := sin.over(cos)
	return exact(y).plus(x.plus(t.minus()).over(x.times(t).plus(exact(1))))
}

func atan2(y, x float64) float64 {
	if !below(1e100)(x) || !below(1e100)(y) {
		return math.Atan2(y, x)
	}
	out := atan(exact(y).over(exact(x)))
	if x < 0 {
		if y > 0 {
			out = out.plus(doublePi)
		} else {
			out = out.plus(doublePi.minus())
		}
	}
	return out.hi
}

func hypot(a, b float64) float64 {
	if !below(1e150)(a) || !below(1e150)(b) {
		return math.Hypot(a, b)
	}
	s := exactProduct(a, a).plus(exactProduct(b, b))
	r := math.Sqrt(s.hi)
	rest := s.plus(exactProduct(r, r).minus())
	return quickSum(r, rest.hi/(2*r)).hi
}

// arc corrects an inverse function's result by one step of Newton's method.
func arc(plain func(float64) float64, ofSine bool) func(float64) float64 {
	return precisely(func(f float64) bool { return math.Abs(f) > 1e-8 && math.Abs(f) < 0.9999 }, func(f float64) double {
		y := plain(f)
		sin, cos := sincos(y)
		if ofSine {
			return exact(y).plus(exact(f).plus(sin.minus()).over(cos))
		}
		return exact(y).plus(cos.plus(exact(-f)).over(sin))
	}, plain)
}

var naturalExp = precisely(below(650), func(f float64) double { return exact(f).exp() }, math.Exp)

// sinh, cosh and tanh are those of fdlibm, which glibc has.
func sinh(f float64) float64 {
	abs := math.Abs(f)
	half := math.Copysign(0.5, f)
	switch {
	case !(abs > 0x1p-28 && abs < 700):
		return math.Sinh(f)
	case abs >= 22:
		return half * naturalExp(abs)
	}
	t := math.Expm1(abs)
	if abs < 1 {
		return half * (2*t - float64(t*t)/(t+1))
	}
	return half * (t + t/(t+1))
}

func cosh(f float64) float64 {
	abs := math.Abs(f)
	switch {
	case !(abs > 0x1p-28 && abs < 700):
		return math.Cosh(f)
	case abs >= 22:
		return 0.5 * naturalExp(abs)
	case abs < 0.5*math.Ln2:
		t := math.Expm1(abs)
		return 1 + float64(t*t)/(2+2*t)
	}
	t := naturalExp(abs)
	return float64(0.5*t) + 0.5/t
}

func tanh(f float64) float64 {
	abs := math.Abs(f)
	switch {
	case !(abs > 0x1p-28 && abs < 22):
		return math.Tanh(f)
	case abs >= 1:
		return math.Copysign(1-2/(math.Expm1(2*abs)+2), f)
	}
	t := math.Expm1(-2 * abs)
	return math.Copysign(-t/(t+2), f)
}
