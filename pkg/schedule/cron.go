package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// firstYear and lastYear are the years that a cron expression knows.
const firstYear, lastYear = 1970, 2199

// field is a field of a cron expression.
type field struct {
	name        string
	first, last int
	names       []string
	// steps says that the field takes "/".
	steps bool
}

var (
	days   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	months = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}

	// fields are in the order of an expression. The first name stands for first.
	fields = []field{
		{"minutes", 0, 59, nil, true},
		{"hours", 0, 23, nil, true},
		{"day of month", 1, 31, nil, true},
		{"month", 1, 12, months, true},
		{"day of week", 1, 7, days, false},
		{"year", firstYear, lastYear, nil, true},
	}
)

const (
	minutes = iota
	hours
	dayOfMonth
	month
	dayOfWeek
	year
)

// cron is a compiled cron(…).
type cron struct {
	text string
	// minutes and hours are ascending.
	minutes, hours []int
	months, years  map[int]bool
	// day reports whether a day is one of the schedule's: its number, how many its month has, and the weekday
	// of the first.
	day func(day, length int, first time.Weekday) bool
}

// parseCron reads what stands between the parentheses.
func parseCron(inner string) (c *cron, wrong string) {
	words := strings.Fields(strings.ToUpper(inner))
	if len(words) != len(fields) {
		return nil, fmt.Sprintf("cron takes six fields (minutes, hours, day of month, month, day of week, year), this one has %d", len(words))
	}
	c = &cron{months: map[int]bool{}, years: map[int]bool{}}
	if (words[dayOfMonth] == "?") == (words[dayOfWeek] == "?") {
		return nil, "cron takes ? in exactly one of day of month and day of week"
	}
	for i, f := range fields {
		word := words[i]
		var of []int
		switch {
		case word == "?" && (i == dayOfMonth || i == dayOfWeek):
			continue
		case i == dayOfMonth && strings.ContainsAny(word, "LW"):
			wrong = c.specialDay(word)
		case i == dayOfWeek && (strings.Contains(word, "#") || strings.HasSuffix(word, "L")):
			words[i], wrong = c.specialWeekday(word)
		default:
			of, wrong = f.parse(word)
		}
		if wrong != "" {
			return nil, fmt.Sprintf("%s: %s", f.name, wrong)
		}
		switch {
		case of == nil:
		case i == minutes:
			c.minutes = of
		case i == hours:
			c.hours = of
		case i == dayOfMonth:
			c.day = func(day, _ int, _ time.Weekday) bool { return slices.Contains(of, day) }
		case i == dayOfWeek:
			c.day = func(day, _ int, first time.Weekday) bool { return slices.Contains(of, weekday(day, first)+1) }
		case i == month, i == year:
			into := c.months
			if i == year {
				into = c.years
			}
			for _, n := range of {
				into[n] = true
			}
		}
	}
	c.text = strings.Join(words, " ")
	return c, ""
}

// weekday returns the weekday of a day of a month, 0 for Sunday.
func weekday(day int, first time.Weekday) int { return (int(first) + day - 1) % 7 }

// parse reads a list of numbers, ranges and steps, and returns what it holds, ascending.
func (f field) parse(word string) (all []int, wrong string) {
	in := map[int]bool{}
	for part := range strings.SplitSeq(word, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			var err error
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 || !f.steps || !digits(stepText) {
				return nil, f.refuse(part)
			}
		}
		from, to := f.first, f.last
		if span != "*" {
			low, high, ranged := strings.Cut(span, "-")
			var ok bool
			if from, ok = f.number(low); !ok {
				return nil, f.refuse(part)
			}
			switch {
			case ranged:
				if to, ok = f.number(high); !ok || to < from {
					return nil, f.refuse(part)
				}
			case !stepped:
				to = from
			}
		}
		for n := from; n <= to; n += step {
			in[n] = true
		}
	}
	for n := f.first; n <= f.last; n++ {
		if in[n] {
			all = append(all, n)
		}
	}
	return all, ""
}

// number reads a number or a name.
func (f field) number(text string) (n int, ok bool) {
	if i := slices.Index(f.names, text); i >= 0 {
		return f.first + i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && digits(text) && n >= f.first && n <= f.last
}

func digits(text string) bool {
	return len(text) <= 4 && strings.Trim(text, "0123456789") == ""
}

func (f field) refuse(part string) string {
	takes := fmt.Sprintf("%d to %d", f.first, f.last)
	if f.names != nil {
		takes += fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	signs := ", - * /"
	switch f.name {
	case "day of month":
		signs = ", - * ? / L W"
	case "day of week":
		signs = ", - * ? L #"
	}
	return fmt.Sprintf("%q is none: it takes %s, and the signs %s; a range goes upwards", part, takes, signs)
}

// specialDay reads L, LW and nW.
func (c *cron) specialDay(word string) (wrong string) {
	n, err := strconv.Atoi(strings.TrimSuffix(word, "W"))
	switch {
	case word == "L":
		c.day = func(day, length int, _ time.Weekday) bool { return day == length }
	case word == "LW":
		c.day = func(day, length int, first time.Weekday) bool { return day == nearestWorkday(length, length, first) }
	case err == nil && strings.HasSuffix(word, "W") && digits(strings.TrimSuffix(word, "W")) && n >= 1 && n <= 31:
		c.day = func(day, length int, first time.Weekday) bool {
			return n <= length && day == nearestWorkday(n, length, first)
		}
	default:
		return fmt.Sprintf("%q is none: L, LW and a W behind one day, such as 15W, stand alone", word)
	}
	return ""
}

// nearestWorkday returns the day from Monday to Friday that is nearest to a day and in its month.
func nearestWorkday(n, length int, first time.Weekday) int {
	switch time.Weekday(weekday(n, first)) {
	case time.Saturday:
		if n == 1 {
			return 3
		}
		return n - 1
	case time.Sunday:
		if n == length {
			return n - 2
		}
		return n + 1
	}
	return n
}

// specialWeekday reads L, nL and n#k, and returns them with names as numbers.
func (c *cron) specialWeekday(word string) (text, wrong string) {
	wrong = fmt.Sprintf("%q is none: L, a day with L behind it for the last in the month, such as 6L, and a day with # and 1 to 5, such as 6#3, stand alone", word)
	if word == "L" {
		c.day = func(day, _ int, first time.Weekday) bool { return weekday(day, first) == int(time.Saturday) }
		return word, ""
	}
	if name, ok := strings.CutSuffix(word, "L"); ok {
		n, ok := fields[dayOfWeek].number(name)
		if !ok {
			return "", wrong
		}
		c.day = func(day, length int, first time.Weekday) bool {
			return weekday(day, first)+1 == n && day+7 > length
		}
		return fmt.Sprintf("%dL", n), ""
	}
	name, nth, _ := strings.Cut(word, "#")
	n, ok := fields[dayOfWeek].number(name)
	if !ok || len(nth) != 1 || nth < "1" || nth > "5" {
		return "", wrong
	}
	k := int(nth[0] - '0')
	c.day = func(day, _ int, first time.Weekday) bool {
		return weekday(day, first)+1 == n && (day-1)/7+1 == k
	}
	return fmt.Sprintf("%d#%d", n, k), ""
}

// after returns the first time behind a moment that clocks in a zone show as the expression says.
func (c *cron) after(after time.Time, zone *time.Location) (next time.Time, comes bool) {
	begin := after.In(zone)
	for y := max(begin.Year(), firstYear); y <= lastYear; y++ {
		if !c.years[y] {
			continue
		}
		for m := time.January; m <= time.December; m++ {
			if !c.months[int(m)] || y == begin.Year() && m < begin.Month() {
				continue
			}
			start := time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
			length := start.AddDate(0, 1, -1).Day()
			for d := 1; d <= length; d++ {
				if y == begin.Year() && m == begin.Month() && d < begin.Day() || !c.day(d, length, start.Weekday()) {
					continue
				}
				if next, comes = c.within(start.AddDate(0, 0, d-1), after, zone); comes {
					return next, true
				}
			}
		}
	}
	return next, false
}

// within returns the first time on a day that is behind a moment. Hours and minutes go up, and so do the
// moments at which clocks show them first.
func (c *cron) within(day, after time.Time, zone *time.Location) (next time.Time, comes bool) {
	for _, h := range c.hours {
		for _, m := range c.minutes {
			at, exists := instant(day.Add(time.Duration(h)*time.Hour+time.Duration(m)*time.Minute), zone)
			if exists && at.After(after) {
				return at.UTC(), true
			}
		}
	}
	return next, false
}
