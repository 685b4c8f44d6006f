package jqtime_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate/jqtime"
)

// numbers makes jq's array of plain numbers.
func numbers(n ...float64) []any {
	out := make([]any, len(n))
	for i, f := range n {
		out[i] = f
	}
	return out
}

// errorText is an error's text, "" for none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStrftime(t *testing.T) {
	t.Parallel()
	wednesday := 1736933445.0 // 2025-01-15T09:30:45Z
	for name, c := range map[string]struct {
		value        any
		format, want string
	}{
		"date":                {wednesday, "%Y-%m-%d %F %D %x", "2025-01-15 2025-01-15 01/15/25 01/15/25"},
		"time":                {wednesday, "%H:%M:%S %T %X %R %r", "09:30:45 09:30:45 09:30:45 09:30 09:30:45 AM"},
		"hours":               {wednesday, "%I %l|%k|%p %P %#p", "09  9| 9|AM am am"},
		"names":               {wednesday, "%a %A %b %B %h %^a %#B", "Wed Wednesday Jan January Jan WED JANUARY"},
		"all":                 {wednesday, "%c", "Wed Jan 15 09:30:45 2025"},
		"numbers":             {wednesday, "%j %U %w %W %u %V %G %g %C %y %e", "015 02 3 02 3 03 2025 25 20 25 15"},
		"seconds":             {wednesday, "%s", "1736933445"},
		"zone":                {wednesday, "%z %Z", "+0000 UTC"},
		"flags":               {wednesday, "%-d %_m %05d %-m %6Y %10A|%010B", "15  1 00015 1 002025  Wednesday|000January"},
		"modifiers":           {wednesday, "%EY %Od %EC %Ex %EX", "2025 15 20 01/15/25 09:30:45"},
		"modifier unknown":    {wednesday, "%Ed %Oa %E", "%Ed %Oa %E"},
		"unknown":             {wednesday, "%L %f %+ %", "%L %f %+ %"},
		"white space":         {wednesday, "%n%t%%", "\n\t%"},
		"fraction":            {wednesday + 0.999, "%S", "45"},
		"before 1970":         {-86400.5, jqtime.ISO8601, "1969-12-31T00:00:00Z"},
		"year of one digit":   {-62135596800.0, "%Y %C %y", "1 0 01"},
		"year of five digits": {1e12, "%Y", "33658"},
		"out of range":        {numbers(2025, 12, 0, 25, 61, 61, 8, -1), "%b %a %H %m %d", "? ? 25 13 00"},
		"text behind a NUL":   {0.0, "%Y\x00%m", "1970"},
	} {
		got, err := jqtime.Strftime(c.value, c.format)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestStrptime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, format string
		want         []any
	}{
		"date":              {"2025-01-15", "%Y-%m-%d", numbers(2025, 0, 15, 0, 0, 0, 3, 14)},
		"offset is dropped": {"2025-01-15T09:30:45+02:00", "%Y-%m-%dT%H:%M:%S%z", numbers(2025, 0, 15, 9, 30, 45, 3, 14)},
		"zone is dropped":   {"2025-01-15 CET", "%F %Z", numbers(2025, 0, 15, 0, 0, 0, 3, 14)},
		"no date":           {"10:20", "%H:%M", numbers(1900, 0, 0, 10, 20, 0, 8, 367)},
		"year alone":        {"2025", "%Y", numbers(2025, 0, 0, 0, 0, 0, 2, -1)},
		"names":             {"wednesday 5 JAN 2025", "%A %d %B %Y", numbers(2025, 0, 5, 0, 0, 0, 3, 4)},
		"century":           {"69 68", "%y %Oy", numbers(2068, 0, 0, 0, 0, 0, 6, -1)},
		"century is read":   {"18 69", "%C %y", numbers(1869, 0, 0, 0, 0, 0, 4, -1)},
		"half of the day":   {"12:30 am 3 PM", "%I:%M %p %I %p", numbers(1900, 0, 0, 15, 30, 0, 8, 367)},
		"day of the year":   {"2024 60", "%Y %j", numbers(2024, 1, 29, 0, 0, 0, 4, 59)},
		"week":              {"2025 3 3", "%Y %W %u", numbers(2025, 0, 22, 0, 0, 0, 3, 21)},
		"seconds":           {"1736933445", "%s", numbers(2025, 0, 15, 9, 30, 45, 3, 14)},
		"white space":       {"  2025   01", "%Y%m", numbers(2025, 0, 0, 0, 0, 0, 2, -1)},
		"space is left":     {"2025 x", "%Y", append(numbers(2025, 0, 0, 0, 0, 0, 2, -1), " x")},
		"ISO week is read":  {"2025-W03-3", "%G-W%V-%u", numbers(1900, 0, 0, 0, 0, 0, 3, 367)},
	} {
		got, err := jqtime.Strptime(c.text, c.format)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestStrptimeMismatch(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"2025-13-01", "%Y-%m-%d"}, {"24:00", "%H:%M"}, {"x", "%Y"}, {"2025x", "%Y"}, {"%", "%"}, {"", "%d"},
		{"2025-01-15T09:30:45.678Z", jqtime.ISO8601}, {"+2", "%z"}, {"1", "%Q"}, {"1", "%E"}, {"Foo", "%a"},
		{strings.Repeat("9", 40), "%s"},
	} {
		_, err := jqtime.Strptime(c[0], c[1])
		if want := `date "` + c[0] + `" does not match format "` + c[1] + `"`; errorText(err) != want {
			t.Errorf("%q: got %v, want %s", c, err, want)
		}
	}
}

func TestGmtimeAndMktime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seconds float64
		want    []any
	}{
		{0, numbers(1970, 0, 1, 0, 0, 0, 4, 0)},
		{1736933445, numbers(2025, 0, 15, 9, 30, 45, 3, 14)},
		{1736933445.678, numbers(2025, 0, 15, 9, 30, 45.67799997329712, 3, 14)},
		{-0.5, numbers(1970, 0, 1, 0, 0, 0.5, 4, 0)},
		{951782400, numbers(2000, 1, 29, 0, 0, 0, 2, 59)},
		{-62135596801, numbers(0, 11, 31, 23, 59, 59, 0, 365)},
		{67767976233532799, numbers(2147481747, 11, 31, 23, 59, 59, 3, 364)},
	} {
		got, err := jqtime.Gmtime(c.seconds)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			if c.seconds < 1e16 {
				t.Errorf("%v: %v %s", c.seconds, err, diff)
			}
			continue
		}
		back, err := jqtime.Mktime(got)
		if want := math.Trunc(c.seconds); err != nil || back != want {
			t.Errorf("%v: mktime gives %v, %v", c.seconds, back, err)
		}
	}
	for name, c := range map[string]struct {
		value any
		want  float64
	}{
		"fractions are dropped": {numbers(2025.9, 0.9, 1.9, 0, 0, 0, 0, 0), 1735689600},
		"month 12":              {numbers(2025, 12, 1, 0, 0, 0, 0, 0), 1767225600},
		"February 30":           {numbers(2025, 1, 30, 0, 0, 0, 0, 0), 1740873600},
		"month -1":              {numbers(1970, -1, 32, 0, 0, 0, 0, 0), 0},
	} {
		if got, err := jqtime.Mktime(c.value); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const tooFar = "error converting number of seconds since epoch to datetime"
	strftime := func(v, format any) func() error {
		return func() error { _, err := jqtime.Strftime(v, format); return err }
	}
	mktime := func(v any) func() error {
		return func() error { _, err := jqtime.Mktime(v); return err }
	}
	for name, c := range map[string]struct {
		call func() error
		want string
	}{
		"format is a number":   {strftime(0.0, 1.0), "strftime/1 requires a string format"},
		"format is an array":   {strftime(1.0, []any{}), "strftime/1 requires a string format"},
		"no time":              {strftime("x", "%Y"), "strftime/1 requires parsed datetime inputs"},
		"six numbers":          {strftime(numbers(2025, 0, 15, 9, 30, 45), "%Y"), "strftime/1 requires parsed datetime inputs"},
		"too long":             {strftime(0.0, strings.Repeat("%Y", 1024)), "strftime/1: unknown system failure"},
		"too wide":             {strftime(0.0, "%1000000Y"), "strftime/1: unknown system failure"},
		"too wide name":        {strftime(0.0, "%99999999999999999999a"), "strftime/1: unknown system failure"},
		"empty":                {strftime(0.0, ""), "strftime/1: unknown system failure"},
		"too far":              {strftime(1e18, "%Y"), tooFar},
		"infinite":             {strftime(math.Inf(1), "%Y"), tooFar},
		"nan":                  {strftime(math.NaN(), "%Y"), tooFar},
		"mktime of a text":     {mktime("x"), "mktime requires array inputs"},
		"mktime of few":        {mktime([]any{}), "mktime requires parsed datetime inputs"},
		"mktime of texts":      {mktime([]any{"2025", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0}), "mktime requires parsed datetime inputs"},
		"mktime of no int":     {mktime(numbers(1e10, 1, 1, 1, 1, 1, 1, 1)), "mktime requires parsed datetime inputs"},
		"the last second":      {mktime(numbers(1969, 11, 31, 23, 59, 59, 0, 0)), "invalid gmtime representation"},
		"strptime of a number": {func() error { _, err := jqtime.Strptime(1.0, "%Y"); return err }, "strptime/1 requires string inputs and arguments"},
		"gmtime of a text":     {func() error { _, err := jqtime.Gmtime("x"); return err }, "gmtime() requires a number"},
		"localtime of null":    {func() error { _, err := jqtime.Localtime(nil); return err }, "localtime() requires a number"},
		"strflocaltime":        {func() error { _, err := jqtime.Strflocaltime(nil, "%Y"); return err }, "strflocaltime/1 requires parsed datetime inputs"},
	} {
		if got := errorText(c.call()); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// FuzzTime looks for panics and for output beyond jq's buffer.
func FuzzTime(f *testing.F) {
	f.Add("2025-01-15T09:30:45Z", jqtime.ISO8601, 1736933445.678)
	f.Add("%", "%", 1e18)
	f.Add("53 6 366", "%W %w %j", -1.0)
	f.Add("2025", "%_^#10EY%1000000Y%", math.Inf(-1))
	f.Fuzz(func(t *testing.T, text, format string, seconds float64) {
		if out, err := jqtime.Strftime(seconds, format); err == nil && len(out) >= 4096 {
			t.Errorf("%q: %d bytes", format, len(out))
		}
		a, err := jqtime.Strptime(text, format)
		if err != nil {
			return
		}
		if _, err := jqtime.Strftime(a, format); err == nil {
			_, _ = jqtime.Mktime(a)
		}
		_, _ = jqtime.Strftime(numbers(seconds, seconds, seconds, seconds, seconds, seconds, seconds, seconds), format)
	})
}
