package jqtime

import (
	"math"
	"strings"
)

// strptimeState is glibc's strptime at work.
type strptimeState struct {
	tm   *tm
	rest string

	afternoon, twelveHours                    bool
	haveWeekday, haveMonth, haveDay, haveYday bool
	sundayWeek, mondayWeek                    bool
	wantDays, wantCentury                     bool
	century, week                             int32
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *strptimeState) at() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *strptimeState) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t\n\v\f\r") }

// number reads a number of at most so many digits, white space before it.
func (p *strptimeState) number(low, high int32, digits int) (n int32, ok bool) {
	p.skipSpace()
	if !isDigit(p.at()) {
		return 0, false
	}
	for {
		n = n*10 + int32(p.at()-'0')
		p.rest = p.rest[1:]
		if digits--; digits <= 0 || n*10 > high || !isDigit(p.at()) {
			break
		}
	}
	return n, n >= low && n <= high
}

// name reads the longest of names, or of their first three letters, in either case.
func (p *strptimeState) name(names []string) (int32, bool) {
	best, length := int32(-1), 0
	for i, name := range names {
		for _, s := range []string{name, name[:3]} {
			if len(s) > length && len(p.rest) >= len(s) && strings.EqualFold(p.rest[:len(s)], s) {
				best, length = int32(i), len(s)
			}
		}
	}
	p.rest = p.rest[length:]
	return best, best >= 0
}

// parse reads what format says. depth counts formats inside formats.
func (p *strptimeState) parse(format string, depth int) bool {
	for format != "" {
		c := format[0]
		format = format[1:]
		switch {
		case isSpace(c):
			p.skipSpace()
			continue
		case c != '%':
			if p.at() != c || p.rest == "" {
				return false
			}
			p.rest = p.rest[1:]
			continue
		}
		format = strings.TrimLeft(format, "-_^#0123456789")
		if format == "" {
			return false
		}
		verb := format[0]
		format = format[1:]
		if verb == 'E' || verb == 'O' {
			if format == "" {
				return false
			}
			allowed := "cYxX" // %Ey and %EC need an era, and the C locale has none.
			if verb == 'O' {
				allowed = "bBhdeHImMSUWVwy"
			}
			if verb = format[0]; strings.IndexByte(allowed, verb) < 0 {
				return false
			}
			format = format[1:]
		}
		if !p.convert(verb, depth) {
			return false
		}
	}
	return true
}

// into reads a number into a field.
func (p *strptimeState) into(field *int32, low, high int32, digits int, offset int32) bool {
	n, ok := p.number(low, high, digits)
	if ok {
		*field = n + offset
	}
	return ok
}

func (p *strptimeState) convert(verb byte, depth int) (ok bool) {
	t := p.tm
	switch verb {
	case '%':
		if p.at() != '%' {
			return false
		}
		p.rest = p.rest[1:]
		return true
	case 'a', 'A':
		t.wday, ok = p.nameInto(t.wday, weekdays[:])
		p.haveWeekday = true
	case 'b', 'B', 'h':
		t.mon, ok = p.nameInto(t.mon, months[:])
		p.haveMonth, p.wantDays = true, true
	case 'c':
		p.wantDays = true
		return p.parse(localeDateTime, depth+1)
	case 'C':
		p.wantDays = true
		return p.into(&p.century, 0, 99, 2, 0)
	case 'd', 'e':
		p.haveDay, p.wantDays = true, true
		return p.into(&t.mday, 1, 31, 2, 0)
	case 'x', 'D':
		p.wantDays = true
		return p.parse(localeDate, depth+1)
	case 'F':
		p.wantDays = true
		return p.parse("%Y-%m-%d", depth+1)
	case 'k', 'H':
		p.twelveHours = false
		return p.into(&t.hour, 0, 23, 2, 0)
	case 'l', 'I':
		p.twelveHours = true
		ok = p.into(&t.hour, 1, 12, 2, 0)
		t.hour %= 12
	case 'j':
		p.haveYday = true
		return p.into(&t.yday, 1, 366, 3, -1)
	case 'm':
		p.haveMonth, p.wantDays = true, true
		return p.into(&t.mon, 1, 12, 2, -1)
	case 'M':
		return p.into(&t.min, 0, 59, 2, 0)
	case 'n', 't':
		p.skipSpace()
		return true
	case 'p':
		return p.halfOfDay()
	case 'r':
		return p.parse(localeAMPM, depth+1)
	case 'R':
		return p.parse("%H:%M", depth+1)
	case 's':
		return p.seconds()
	case 'S':
		return p.into(&t.sec, 0, 61, 2, 0)
	case 'X', 'T':
		return p.parse(localeTime, depth+1)
	case 'u':
		p.haveWeekday = true
		ok = p.into(&t.wday, 1, 7, 1, 0)
		t.wday %= 7
	case 'g':
		_, ok = p.number(0, 99, 2)
	case 'G':
		if ok = isDigit(p.at()); ok {
			p.rest = strings.TrimLeft(p.rest, "0123456789")
		}
	case 'U', 'W':
		p.sundayWeek, p.mondayWeek = p.sundayWeek || verb == 'U', p.mondayWeek || verb == 'W'
		return p.into(&p.week, 0, 53, 2, 0)
	case 'V':
		_, ok = p.number(0, 53, 2)
	case 'w':
		p.haveWeekday = true
		return p.into(&t.wday, 0, 6, 1, 0)
	case 'y':
		p.wantCentury, p.wantDays = true, true
		if ok = p.into(&t.year, 0, 99, 2, 0); ok && t.year < 69 {
			t.year += 100
		}
	case 'Y':
		p.wantCentury, p.wantDays = false, true
		return p.into(&t.year, 0, 9999, 4, -1900)
	case 'Z':
		p.skipSpace()
		for p.rest != "" && !isSpace(p.rest[0]) {
			p.rest = p.rest[1:]
		}
		return true
	case 'z':
		return p.zone()
	}
	return ok
}

func (p *strptimeState) nameInto(old int32, names []string) (int32, bool) {
	if n, ok := p.name(names); ok {
		return n, true
	}
	return old, false
}

func (p *strptimeState) halfOfDay() bool {
	if len(p.rest) < 2 {
		return false
	}
	switch {
	case strings.EqualFold(p.rest[:2], "AM"):
		p.afternoon = false
	case strings.EqualFold(p.rest[:2], "PM"):
		p.afternoon = true
	default:
		return false
	}
	p.rest = p.rest[2:]
	return true
}

// seconds reads seconds since 1970, which set everything.
func (p *strptimeState) seconds() bool {
	if !isDigit(p.at()) {
		return false
	}
	n := int64(0)
	for ; isDigit(p.at()); p.rest = p.rest[1:] {
		if n > (math.MaxInt64-9)/10 {
			return false
		}
		n = n*10 + int64(p.at()-'0')
	}
	t, ok := split(n)
	if ok {
		*p.tm = t
	}
	return ok
}

// zone reads Z, ±hh, ±hhmm or ±hh:mm, of which jq keeps nothing.
func (p *strptimeState) zone() bool {
	p.skipSpace()
	switch p.at() {
	case 'Z':
		p.rest = p.rest[1:]
		return true
	case '+', '-':
		p.rest = p.rest[1:]
	default:
		return false
	}
	n, digits := 0, 0
	for digits < 4 && isDigit(p.at()) {
		n = n*10 + int(p.at()-'0')
		p.rest = p.rest[1:]
		if digits++; digits == 2 && len(p.rest) > 1 && p.rest[0] == ':' && isDigit(p.rest[1]) {
			p.rest = p.rest[1:]
		}
	}
	if digits == 2 {
		n *= 100
	} else if digits != 4 {
		return false
	}
	return n%100 < 60
}

// finish computes the fields that follow from others, as glibc does.
func (p *strptimeState) finish() {
	t := p.tm
	if p.twelveHours && p.afternoon {
		t.hour += 12
	}
	if p.century != -1 {
		if p.wantCentury {
			t.year = t.year%100 + (p.century-19)*100
		} else {
			t.year = (p.century - 19) * 100
		}
	}
	if p.wantDays && !p.haveWeekday {
		if (!p.haveMonth || !p.haveDay) && p.haveYday {
			p.fromYearDay()
			p.haveMonth, p.haveDay = true, true
		}
		t.setWeekday()
	}
	if p.wantDays && !p.haveYday {
		t.setYearDay()
	}
	if (p.sundayWeek || p.mondayWeek) && p.haveWeekday {
		weekday, day, month := t.wday, t.mday, t.mon
		offset := int32(1)
		if p.sundayWeek {
			offset = 0
		}
		t.mday, t.mon = 1, 0
		t.setWeekday()
		if p.haveDay {
			t.mday = day
		}
		if p.haveMonth {
			t.mon = month
		}
		if !p.haveYday {
			t.yday = (7-(t.wday-offset))%7 + (p.week-1)*7 + (weekday-offset+7)%7
		}
		if !p.haveDay || !p.haveMonth {
			p.fromYearDay()
		}
		t.wday = weekday
	}
}

// fromYearDay sets the month and the day that were not read from the day of the year.
func (p *strptimeState) fromYearDay() {
	t := p.tm
	month, leap := 0, leap(int64(t.year)+1900)
	for month+leap*13 < 26 && startOf(leap, month) <= t.yday {
		month++
	}
	before := startOf(leap, month-1)
	if !p.haveMonth {
		t.mon = int32(month) - 1
	}
	if !p.haveDay {
		t.mday = t.yday - before + 1
	}
}

// startOf returns the day of the year on which a month begins. Behind a common year's months lie, in
// glibc's table, those of a leap year; day 366 of a common year reaches them.
func startOf(leap, month int) int32 {
	switch i := leap*len(monthStart[0]) + month; {
	case i < 0:
		return 0
	case i < len(monthStart[0]):
		return monthStart[0][i]
	default:
		return monthStart[1][min(i-len(monthStart[0]), len(monthStart[1])-1)]
	}
}

// setWeekday sets the day of the week of a year, month and day, by glibc's formula, which is one off in
// year 0.
func (t *tm) setWeekday() {
	corrected := t.year + 1900
	if t.mon < 2 {
		corrected--
	}
	quarter := corrected / 4
	day := -473 + 365*(t.year-70) + quarter - quarter/25 + quarter/25/4 + startOf(0, int(t.mon)) + t.mday - 1
	if quarter%25 < 0 {
		day++
	}
	t.wday = (day%7 + 7) % 7
}

// setYearDay sets the day of the year of a year, month and day.
func (t *tm) setYearDay() {
	t.yday = startOf(leap(int64(t.year)+1900), int(t.mon)) + t.mday - 1
}
