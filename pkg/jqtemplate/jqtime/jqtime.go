// Package jqtime has the time functions of jq 1.7.1 as it is on Linux: glibc's strftime and strptime in the
// C locale, in UTC.
//
// Each function takes jq values as they are — numbers are float64, arrays []any — and returns jq's value
// or an error with jq's text. A broken-down time is jq's array: year, month from 0, day, hours, minutes,
// seconds with their fraction, day of the week, day of the year.
//
// Promises. The functions are pure, bounded in time and memory by their input's length, and do not
// panic. Where jq 1.7.1 crashes there is an error: a format that is no string.
//
// The package is written after glibc's own text rather than put over a Go module: itchyny/timefmt-go,
// which gojq uses, formats a time.Time, which cannot hold what jq passes on (month 12, day of the week 8,
// year 0 of a half-parsed date), has fewer conversions, flags and widths, and parses %z into the result.
// What would be shared is the table of month names.
package jqtime

import (
	"errors"
	"math"
)

// ISO8601 is the format of todate and fromdate.
const ISO8601 = "%Y-%m-%dT%H:%M:%SZ"

var (
	errTooFar = errors.New("error converting number of seconds since epoch to datetime")
	errGmtime = errors.New("invalid gmtime representation")
)

// tm is C's broken-down time: year counts from 1900, mon and yday from 0.
type tm struct {
	sec, min, hour, mday, mon, year, wday, yday int32
}

// read reads jq's array of at least eight numbers.
func (t *tm) read(v []any) bool {
	if len(v) < 8 {
		return false
	}
	for i, field := range []*int32{&t.year, &t.mon, &t.mday, &t.hour, &t.min, &t.sec, &t.wday, &t.yday} {
		n, ok := v[i].(float64)
		if !ok || !(n > math.MinInt32+1900 && n < math.MaxInt32+1) {
			return false // What a struct tm cannot hold is undefined in C.
		}
		*field = int32(n)
	}
	t.year -= 1900
	return true
}

// value returns jq's array; its year counts from 0.
func (t *tm) value() []any {
	return []any{
		float64(t.year + 1900), float64(t.mon), float64(t.mday), float64(t.hour), float64(t.min),
		float64(t.sec), float64(t.wday), float64(t.yday),
	}
}

// unix is timegm: the seconds since 1970 of a time whose fields may be out of their ranges.
func (t *tm) unix() int64 {
	year, mon := int64(t.year)+1900, int64(t.mon)
	year += floorDiv(mon, 12)
	mon -= floorDiv(mon, 12) * 12
	days := daysBefore(year) + int64(monthStart[leap(year)][mon]) + int64(t.mday) - 1
	return ((days*24+int64(t.hour))*60+int64(t.min))*60 + int64(t.sec)
}

// split is gmtime: it fails for a year that is no C int.
func split(seconds int64) (tm, bool) {
	days := floorDiv(seconds, 24*60*60)
	rest := seconds - days*24*60*60
	year := 1970 + floorDiv(days, 366)
	for step := int64(1) << 40; step > 0; step /= 2 {
		for daysBefore(year+step) <= days {
			year += step
		}
		for daysBefore(year) > days {
			year -= step
		}
	}
	if year-1900 > math.MaxInt32 || year-1900 < math.MinInt32 {
		return tm{}, false
	}
	yday := days - daysBefore(year)
	mon := 0
	for monthStart[leap(year)][mon+1] <= int32(yday) {
		mon++
	}
	return tm{
		sec: int32(rest % 60), min: int32(rest / 60 % 60), hour: int32(rest / 3600),
		mday: int32(yday) - monthStart[leap(year)][mon] + 1, mon: int32(mon), year: int32(year - 1900),
		wday: int32(((days+4)%7 + 7) % 7), yday: int32(yday),
	}, true
}

// monthStart is the day of the year on which a month begins, in common and in leap years.
var monthStart = [2][13]int32{
	{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
	{0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366},
}

func leap(year int64) int {
	if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 1
	}
	return 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// daysBefore returns the days from 1970 to a year's beginning.
func daysBefore(year int64) int64 {
	y := year - 1
	return y*365 + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) - 719162
}

// Gmtime breaks a number of seconds since 1970 down. The fraction stays with the seconds.
func Gmtime(v any) ([]any, error) {
	f, ok := v.(float64)
	if !ok {
		return nil, errors.New("gmtime() requires a number")
	}
	return breakDown(f)
}

// Localtime is Gmtime: the local time is UTC.
func Localtime(v any) ([]any, error) {
	f, ok := v.(float64)
	if !ok {
		return nil, errors.New("localtime() requires a number")
	}
	return breakDown(f)
}

func breakDown(f float64) ([]any, error) {
	if !(f > math.MinInt64 && f < math.MaxInt64) {
		return nil, errTooFar
	}
	t, ok := split(int64(f))
	if !ok {
		return nil, errTooFar
	}
	out := t.value()
	out[5] = float64(t.sec) + (f - math.Floor(f))
	return out, nil
}

// Mktime returns the seconds since 1970 of a broken-down time, without fraction. The last two seconds of
// 1969 are errors, as jq takes them for those of C.
func Mktime(v any) (float64, error) {
	a, ok := v.([]any)
	if !ok {
		return 0, errors.New("mktime requires array inputs")
	}
	var t tm
	if !t.read(a) {
		return 0, errors.New("mktime requires parsed datetime inputs")
	}
	switch seconds := t.unix(); seconds {
	case -1:
		return 0, errGmtime
	case -2:
		return 0, errors.New("mktime not supported on this platform")
	default:
		return float64(seconds), nil
	}
}

// Strftime formats a broken-down time or a number of seconds since 1970.
func Strftime(v, format any) (string, error) { return strftime("strftime/1", v, format) }

// Strflocaltime is Strftime for a local time, which is UTC.
func Strflocaltime(v, format any) (string, error) { return strftime("strflocaltime/1", v, format) }

func strftime(name string, v, format any) (string, error) {
	if f, ok := v.(float64); ok {
		a, err := breakDown(f)
		if err != nil {
			return "", err
		}
		v = a
	}
	a, ok := v.([]any)
	if !ok {
		return "", errors.New(name + " requires parsed datetime inputs")
	}
	text, ok := format.(string)
	if !ok {
		return "", errors.New(name + " requires a string format")
	}
	var t tm
	if !t.read(a) {
		return "", errors.New(name + " requires parsed datetime inputs")
	}
	out, ok := t.format(text)
	if !ok || out == "" {
		return "", errors.New(name + ": unknown system failure")
	}
	return out, nil
}

// Strptime reads a broken-down time. What is left of the text must begin with white space; it becomes a
// ninth element.
func Strptime(v, format any) ([]any, error) {
	text, ok := v.(string)
	layout, fine := format.(string)
	if !ok || !fine {
		return nil, errors.New("strptime/1 requires string inputs and arguments")
	}
	text, layout = untilNUL(text), untilNUL(layout)
	t := tm{wday: 8, yday: 367} // Marks for what was not set, and as such sometimes seen in the result.
	p := strptimeState{tm: &t, rest: text, century: -1}
	if !p.parse(layout, 0) || p.rest != "" && !isSpace(p.rest[0]) {
		return nil, errors.New(`date "` + text + `" does not match format "` + layout + `"`)
	}
	p.finish()
	if t.mday >= 1 && t.mday <= 31 {
		if t.wday == 8 {
			t.setWeekday()
		}
		if t.yday == 367 {
			t.setYearDay()
		}
	}
	out := t.value()
	if p.rest != "" {
		out = append(out, p.rest)
	}
	return out, nil
}
