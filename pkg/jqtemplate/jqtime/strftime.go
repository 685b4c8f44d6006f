package jqtime

import (
	"strconv"
	"strings"
)

// maxOutput is the size of jq's buffer: longer output is an error, glibc's "0 bytes".
const maxOutput = 4096

var (
	weekdays = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	months   = [...]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
		"November", "December",
	}
)

// The formats of the C locale.
const (
	localeDateTime = "%a %b %e %H:%M:%S %Y"
	localeDate     = "%m/%d/%y"
	localeTime     = "%H:%M:%S"
	localeAMPM     = "%I:%M:%S %p"
)

// conversion is one % of a format.
type conversion struct {
	text     string // from the '%' on
	pad      byte   // '_', '-', '0' or 0
	width    int    // -1 if there is none
	modifier byte   // 'E', 'O' or 0
	upper    bool   // ^
	change   bool   // #
	verb     byte
}

// untilNUL is what C sees of a text.
func untilNUL(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return text
}

// format is glibc's strftime. It is not ok when the output is too long.
func (t *tm) format(format string) (string, bool) {
	w := formatter{tm: t}
	w.run(untilNUL(format), false)
	return w.out.String(), !w.full
}

type formatter struct {
	tm   *tm
	out  strings.Builder
	full bool
}

// run formats; upper makes all names upper case.
func (w *formatter) run(format string, upper bool) {
	for i := 0; i < len(format) && !w.full; {
		if format[i] != '%' {
			w.write(format[i : i+1])
			i++
			continue
		}
		c, length := readConversion(format[i:])
		c.upper = c.upper || upper
		i += length
		w.convert(c)
	}
}

func (w *formatter) write(text string) {
	if w.out.Len()+len(text) >= maxOutput {
		w.full = true
		return
	}
	w.out.WriteString(text)
}

func readConversion(format string) (conversion, int) {
	c := conversion{width: -1}
	i := 1
	at := func() byte {
		if i < len(format) {
			return format[i]
		}
		return 0
	}
flags:
	for {
		switch f := at(); f {
		case '_', '-', '0':
			c.pad = f
		case '^':
			c.upper = true
		case '#':
			c.change = true
		default:
			break flags
		}
		i++
	}
	if d := at(); d >= '0' && d <= '9' {
		c.width = 0
		for ; at() >= '0' && at() <= '9'; i++ {
			c.width = min(c.width*10+int(at()-'0'), 1<<20)
		}
	}
	if m := at(); m == 'E' || m == 'O' {
		c.modifier = m
		i++
	}
	if c.verb = at(); c.verb != 0 {
		i++
	}
	c.text = format[:i]
	return c, i
}

// text writes a name, padded to the width.
func (w *formatter) text(c conversion, s string) {
	if missing := c.width - len(s); missing > 0 {
		fill := " "
		if c.pad == '0' {
			fill = "0"
		}
		if missing >= maxOutput {
			w.full = true
			return
		}
		w.write(strings.Repeat(fill, missing))
	}
	w.write(s)
}

// name writes a name of the locale.
func (w *formatter) name(c conversion, names []string, i int32, length int) {
	s := "?"
	if i >= 0 && int(i) < len(names) {
		s = names[i]
		if length > 0 {
			s = s[:length]
		}
	}
	if c.upper || c.change {
		s = strings.ToUpper(s)
	}
	w.text(c, s)
}

// number writes a number of at least so many digits.
func (w *formatter) number(c conversion, digits int, n int64) {
	digits = max(digits, c.width)
	s := strconv.FormatInt(n, 10)
	if missing := digits - len(s); missing > 0 && c.pad != '-' {
		if digits >= maxOutput {
			w.full = true
			return
		}
		switch {
		case c.pad == '_':
			s = strings.Repeat(" ", missing) + s
		case n < 0:
			s = "-" + strings.Repeat("0", missing) + s[1:]
		default:
			s = strings.Repeat("0", missing) + s
		}
	}
	w.text(c, s)
}

// spaced is number, padded with spaces where no flag says otherwise.
func (w *formatter) spaced(c conversion, digits int, n int64) {
	if c.pad != '0' && c.pad != '-' {
		c.pad = '_'
	}
	w.number(c, digits, n)
}

// sub writes what another format gives.
func (w *formatter) sub(c conversion, format string) {
	inner := formatter{tm: w.tm}
	inner.run(format, c.upper)
	s := inner.out.String()
	if inner.full {
		w.full = true
		return
	}
	if c.upper {
		s = strings.ToUpper(s)
	}
	w.text(c, s)
}

// known reports whether the modifier may stand before the conversion; most take any.
func (c conversion) known() bool {
	switch c.modifier {
	case 'E':
		return strings.IndexByte("aAbBhDdeFHIjklMmSUWVgGw", c.verb) < 0
	case 'O':
		return strings.IndexByte("aAcDFXxY", c.verb) < 0
	}
	return true
}

// unknown writes what is no conversion as it stands.
func (w *formatter) unknown(c conversion) {
	s := c.text
	if c.upper || c.change && strings.IndexByte("bBh", c.verb) >= 0 {
		s = strings.ToUpper(s)
	}
	w.text(c, s)
}

func (w *formatter) convert(c conversion) {
	t := w.tm
	hour12 := t.hour
	if hour12 > 12 {
		hour12 -= 12
	} else if hour12 == 0 {
		hour12 = 12
	}
	if !c.known() {
		w.unknown(c)
		return
	}
	switch c.verb {
	case '%':
		w.text(c, "%")
	case 'a':
		w.name(c, weekdays[:], t.wday, 3)
	case 'A':
		w.name(c, weekdays[:], t.wday, 0)
	case 'b', 'h':
		w.name(c, months[:], t.mon, 3)
	case 'B':
		w.name(c, months[:], t.mon, 0)
	case 'c':
		w.sub(c, localeDateTime)
	case 'C':
		year := t.year + 1900
		century := year / 100
		if year%100 < 0 {
			century--
		}
		w.number(c, 1, int64(century))
	case 'x', 'D':
		w.sub(c, localeDate)
	case 'd':
		w.number(c, 2, int64(t.mday))
	case 'e':
		w.spaced(c, 2, int64(t.mday))
	case 'F':
		w.sub(c, "%Y-%m-%d")
	case 'H':
		w.number(c, 2, int64(t.hour))
	case 'I':
		w.number(c, 2, int64(hour12))
	case 'k':
		w.spaced(c, 2, int64(t.hour))
	case 'l':
		w.spaced(c, 2, int64(hour12))
	case 'j':
		w.number(c, 3, int64(t.yday+1))
	case 'M':
		w.number(c, 2, int64(t.min))
	case 'm':
		w.number(c, 2, int64(t.mon+1))
	case 'n':
		w.text(c, "\n")
	case 't':
		w.text(c, "\t")
	case 'p', 'P':
		s := "AM"
		if t.hour > 11 {
			s = "PM"
		}
		if c.verb == 'P' || c.change {
			s = strings.ToLower(s)
		}
		w.text(c, s)
	case 'r':
		w.sub(c, localeAMPM)
	case 'R':
		w.sub(c, "%H:%M")
	case 'T', 'X':
		w.sub(c, localeTime)
	case 'S':
		w.number(c, 2, int64(t.sec))
	case 's':
		w.text(c, strconv.FormatInt(t.unix(), 10))
	case 'u':
		w.number(c, 1, int64((t.wday-1+7)%7+1))
	case 'w':
		w.number(c, 1, int64(t.wday))
	case 'U':
		w.number(c, 2, int64((t.yday-t.wday+7)/7))
	case 'W':
		w.number(c, 2, int64((t.yday-(t.wday-1+7)%7+7)/7))
	case 'V', 'g', 'G':
		w.isoWeek(c)
	case 'y':
		w.number(c, 2, int64((t.year%100+100)%100))
	case 'Y':
		w.number(c, 1, int64(t.year+1900))
	case 'Z':
		if c.change {
			w.text(c, "utc")
		} else {
			w.text(c, "UTC")
		}
	case 'z':
		w.text(c, "+")
		w.number(c, 4, 0)
	default:
		w.unknown(c)
	}
}

// isoWeek writes the week of ISO 8601, or the year that it belongs to.
func (w *formatter) isoWeek(c conversion) {
	days := func(yday, wday int32) int32 { return yday - (yday-wday+4+378)%7 + 4 - 1 }
	year := w.tm.year + 1900
	n := days(w.tm.yday, w.tm.wday)
	if n < 0 {
		year--
		n = days(w.tm.yday+365+int32(leap(int64(year))), w.tm.wday)
	} else if d := days(w.tm.yday-365-int32(leap(int64(year))), w.tm.wday); d >= 0 {
		year++
		n = d
	}
	switch c.verb {
	case 'g':
		w.number(c, 2, int64((year%100+100)%100))
	case 'G':
		w.number(c, 1, int64(year))
	default:
		w.number(c, 2, int64(n/7+1))
	}
}
