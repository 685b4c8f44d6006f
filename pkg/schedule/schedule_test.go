package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/schedule"
)

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func details(err error) []fault.Detail {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Details
	}
	return nil
}

func parse(t *testing.T, expression, zone string) *schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(expression, zone)
	if err != nil {
		t.Fatalf("parse %s in %q: %v", expression, zone, err)
	}
	return s
}

// The examples of AWS's pages, and what their tables say of each sign.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, expression, zone string
		// after and want are in UTC; a want of "" ends the list because no time comes any more.
		after string
		want  []string
	}{
		{"10:00 every day", "cron(0 10 * * ? *)", "", "2026-11-25T10:00:00Z", []string{"2026-11-26T10:00:00Z", "2026-11-27T10:00:00Z"}},
		{"12:15 every day", "cron(15 12 * * ? *)", "", "2026-11-25T12:14:59Z", []string{"2026-11-25T12:15:00Z"}},
		{"18:00 Monday to Friday", "cron(0 18 ? * MON-FRI *)", "", "2026-11-26T18:00:00Z", []string{"2026-11-27T18:00:00Z", "2026-11-30T18:00:00Z"}},
		{"numbers of weekdays begin with Sunday", "cron(0 18 ? * 2-6 *)", "", "2026-11-26T18:00:00Z", []string{"2026-11-27T18:00:00Z", "2026-11-30T18:00:00Z"}},
		{"8:00 on the first of each month", "cron(0 8 1 * ? *)", "", "2026-11-25T00:00:00Z", []string{"2026-12-01T08:00:00Z", "2027-01-01T08:00:00Z"}},
		{"every 15 minutes", "cron(0/15 * * * ? *)", "", "2026-11-25T23:31:00Z", []string{"2026-11-25T23:45:00Z", "2026-11-26T00:00:00Z"}},
		{"every 10 minutes, Monday to Friday", "cron(0/10 * ? * MON-FRI *)", "", "2026-11-27T23:50:00Z", []string{"2026-11-30T00:00:00Z"}},
		{"every 5 minutes from 8:00 to 17:55 on weekdays", "cron(0/5 8-17 ? * MON-FRI *)", "", "2026-11-27T17:50:00Z", []string{"2026-11-27T17:55:00Z", "2026-11-30T08:00:00Z"}},
		{"every 30 minutes around midnight", "cron(0/30 20-23,0-2 ? * MON-FRI *)", "", "2026-11-27T02:30:00Z", []string{"2026-11-27T20:00:00Z"}},
		{"10:15 on the last Friday of each month of 2022 and 2023", "cron(15 10 ? * 6L 2022-2023)", "", "2023-11-01T00:00:00Z", []string{"2023-11-24T10:15:00Z", "2023-12-29T10:15:00Z", ""}},
		{"the last Friday by name", "cron(15 10 ? * FRIL *)", "", "2026-11-01T00:00:00Z", []string{"2026-11-27T10:15:00Z"}},
		{"the first Monday", "cron(0 9 ? * 2#1 *)", "", "2026-11-03T00:00:00Z", []string{"2026-12-07T09:00:00Z"}},
		{"the second Tuesday", "cron(0 0 ? * 3#2 *)", "", "2026-11-01T00:00:00Z", []string{"2026-11-10T00:00:00Z"}},
		{"the fifth Sunday, where there is one", "cron(0 0 ? * SUN#5 *)", "", "2026-11-25T00:00:00Z", []string{"2026-11-29T00:00:00Z", "2027-01-31T00:00:00Z"}},
		{"Saturday is the last day of the week", "cron(0 0 ? * L *)", "", "2026-11-25T00:00:00Z", []string{"2026-11-28T00:00:00Z"}},
		{"the last day of the month", "cron(0 0 L * ? *)", "", "2028-01-31T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"}},
		{"the weekday nearest to the third, a Tuesday", "cron(0 0 3W 11 ? 2026)", "", "2026-01-01T00:00:00Z", []string{"2026-11-03T00:00:00Z", ""}},
		{"the weekday nearest to a Saturday", "cron(0 0 14W * ? *)", "", "2026-11-01T00:00:00Z", []string{"2026-11-13T00:00:00Z"}},
		{"the weekday nearest to a Sunday", "cron(0 0 15W * ? *)", "", "2026-11-01T00:00:00Z", []string{"2026-11-16T00:00:00Z"}},
		{"the weekday nearest to a first that is a Saturday", "cron(0 0 1W * ? *)", "", "2026-07-31T00:00:00Z", []string{"2026-08-03T00:00:00Z"}},
		{"the weekday nearest to a last that is a Sunday", "cron(0 0 31W * ? *)", "", "2026-05-01T00:00:00Z", []string{"2026-05-29T00:00:00Z", "2026-07-31T00:00:00Z"}},
		{"the last weekday", "cron(0 0 LW * ? *)", "", "2026-01-01T00:00:00Z", []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z", "2026-05-29T00:00:00Z"}},
		{"29 February", "cron(0 12 29 2 ? *)", "", "2026-11-25T00:00:00Z", []string{"2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z"}},
		{"29 February over a year that is no leap year", "cron(0 12 29 FEB ? *)", "", "2096-03-01T00:00:00Z", []string{"2104-02-29T12:00:00Z"}},
		{"the 31st", "cron(0 0 31 * ? *)", "", "2026-08-31T00:00:00Z", []string{"2026-10-31T00:00:00Z", "2026-12-31T00:00:00Z"}},
		{"a step from a day", "cron(0 0 1/10 * ? *)", "", "2026-11-25T00:00:00Z", []string{"2026-12-01T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-21T00:00:00Z", "2026-12-31T00:00:00Z"}},
		{"a step in a range", "cron(10-40/15 3 * * ? *)", "", "2026-11-25T00:00:00Z", []string{"2026-11-25T03:10:00Z", "2026-11-25T03:25:00Z", "2026-11-25T03:40:00Z", "2026-11-26T03:10:00Z"}},
		{"a step of years", "cron(0 0 1 1 ? 2026/3)", "", "2026-11-25T00:00:00Z", []string{"2029-01-01T00:00:00Z", "2032-01-01T00:00:00Z"}},
		{"a list of years", "cron(0 0 1 1 ? 2027,2199)", "", "2026-11-25T00:00:00Z", []string{"2027-01-01T00:00:00Z", "2199-01-01T00:00:00Z", ""}},
		{"a list of months", "cron(0 0 1 JAN,APR,7,OCT ? *)", "", "2026-11-25T00:00:00Z", []string{"2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-07-01T00:00:00Z"}},
		{"a year that has passed", "cron(0 0 1 1 ? 2026)", "", "2026-11-25T00:00:00Z", []string{""}},
		{"small letters and spaces", "cron( 0  9 ? * mon-fri  * )", "", "2026-11-27T10:00:00Z", []string{"2026-11-30T09:00:00Z"}},

		{"a time zone", "cron(0 9 ? * MON-FRI *)", "America/New_York", "2026-11-25T14:00:00Z", []string{"2026-11-26T14:00:00Z"}},
		{"a day of the zone, not of UTC", "cron(30 23 L * ? *)", "America/New_York", "2026-11-25T00:00:00Z", []string{"2026-12-01T04:30:00Z"}},
		{"a zone of a quarter of an hour", "cron(0 9 * * ? *)", "Asia/Kathmandu", "2026-11-25T00:00:00Z", []string{"2026-11-25T03:15:00Z"}},
		{"the same local time in summer and winter", "cron(0 9 * * ? *)", "Europe/Amsterdam", "2026-10-24T00:00:00Z", []string{"2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z"}},
		{"a time that does not exist is skipped", "cron(30 2 * * ? *)", "Europe/Amsterdam", "2026-03-28T01:30:00Z", []string{"2026-03-30T00:30:00Z"}},
		{"times around the hour that does not exist", "cron(0,30 1-3 29 3 ? 2026)", "Europe/Amsterdam", "2026-03-28T00:00:00Z", []string{"2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", ""}},
		{"a time that comes twice fires the first time", "cron(30 2 * * ? *)", "Europe/Amsterdam", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"asked between the two", "cron(30 2 * * ? *)", "Europe/Amsterdam", "2026-10-25T01:00:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"every half hour over the hour that comes twice", "cron(0/30 * * * ? *)", "Europe/Amsterdam", "2026-10-25T00:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"}},
		{"clocks that move by half an hour", "cron(45 1 * * ? *)", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"2026-04-04T14:45:00Z"}},
		{"midnight that does not exist", "cron(0 0 * * ? *)", "America/Santiago", "2026-09-05T12:00:00Z", []string{"2026-09-07T03:00:00Z"}},

		{"at", "at(2027-01-31T09:00:01)", "", "2026-11-25T00:00:00Z", []string{"2027-01-31T09:00:01Z", ""}},
		{"at in a zone", "at(2027-07-31T09:00:00)", "Europe/Amsterdam", "2026-11-25T00:00:00Z", []string{"2027-07-31T07:00:00Z", ""}},
		{"at a time that comes twice", "at(2026-10-25T02:30:00)", "Europe/Amsterdam", "2026-01-01T00:00:00Z", []string{"2026-10-25T00:30:00Z", ""}},
		{"at a time that has passed", "at(2026-11-25T00:00:00)", "", "2026-11-25T00:00:00Z", []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, c.expression, c.zone)
			after := moment(t, c.after)
			for i, want := range c.want {
				got := ""
				next, comes := s.Next(after, time.Time{})
				if comes {
					got, after = next.Format(time.RFC3339), next
				}
				if got != want {
					t.Fatalf("time %d: got %q, want %q", i, got, want)
				}
			}
		})
	}
}

// A rate counts elapsed time from its anchor, over changes of clocks and for whoever asks.
func TestRate(t *testing.T) {
	t.Parallel()
	anchor := moment(t, "2026-10-24T22:10:00Z")
	for _, c := range []struct{ expression, after, want string }{
		{"rate(5 minutes)", "2026-10-24T22:10:00Z", "2026-10-24T22:15:00Z"},
		{"rate(5 minutes)", "2026-10-24T22:00:00Z", "2026-10-24T22:15:00Z"},
		{"rate(5 minutes)", "2026-10-24T22:14:59Z", "2026-10-24T22:15:00Z"},
		{"rate(5 minutes)", "2026-10-24T22:15:00Z", "2026-10-24T22:20:00Z"},
		{"rate(1 minute)", "2026-11-25T10:00:30Z", "2026-11-25T10:01:00Z"},
		{"rate(1 minutes)", "2026-11-25T10:00:30Z", "2026-11-25T10:01:00Z"},
		{"rate(1 day)", "2026-10-24T22:10:00Z", "2026-10-25T22:10:00Z"},
		{"rate(7 days)", "2036-01-01T00:00:00Z", "2036-01-05T22:10:00Z"},
		{"rate(12 hours)", "2026-10-25T10:10:00Z", "2026-10-25T22:10:00Z"},
	} {
		next, comes := parse(t, c.expression, "Europe/Amsterdam").Next(moment(t, c.after), anchor)
		if got := next.Format(time.RFC3339); got != c.want || !comes {
			t.Errorf("%s after %s: got %s, want %s", c.expression, c.after, got, c.want)
		}
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	s := parse(t, "cron(0/10 * * * ? *)", "")
	for _, c := range []struct{ after, until, want string }{
		{"2026-11-25T10:00:00Z", "2026-11-25T10:09:59Z", ""},
		{"2026-11-25T10:00:00Z", "2026-11-25T10:10:00Z", "2026-11-25T10:10:00Z"},
		{"2026-11-25T10:00:00Z", "2026-11-25T10:35:00Z", "2026-11-25T10:30:00Z"},
	} {
		got := ""
		if last, came := s.Last(moment(t, c.after), moment(t, c.until), time.Time{}); came {
			got = last.Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("from %s to %s: got %q, want %q", c.after, c.until, got, c.want)
		}
	}
}

func TestExpressionAsAWSTakesIt(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"rate(1 minutes)":              "rate(1 minute)",
		"rate(05  hour)":               "rate(5 hours)",
		"cron(0  9 ? * mon-fri *)":     "cron(0 9 ? * MON-FRI *)",
		"cron(0 9 ? * FRI#2 *)":        "cron(0 9 ? * 6#2 *)",
		"cron(0 9 ? * sunl *)":         "cron(0 9 ? * 1L *)",
		"at(2027-01-31T09:00:00)":      "at(2027-01-31T09:00:00)",
		"cron(0 9 LW jan ? 2026-2030)": "cron(0 9 LW JAN ? 2026-2030)",
	} {
		if got := parse(t, expression, "").Expression(); got != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, zone, path, says string }{
		{"", "", "expression", "must be rate(…), cron(…) or at(…)"},
		{"every(5 minutes)", "", "expression", "must be rate(…), cron(…) or at(…)"},
		{"RATE(5 minutes)", "", "expression", "must be"},
		{"rate(5 minutes", "", "expression", "must be"},
		{"rate(0 minutes)", "", "expression", "above 0"},
		{"rate(-5 minutes)", "", "expression", "above 0"},
		{"rate(+5 minutes)", "", "expression", "above 0"},
		{"rate(1.5 hours)", "", "expression", "whole number"},
		{"rate(5 seconds)", "", "expression", "minutes, hours or days"},
		{"rate(5 minutess)", "", "expression", "minutes, hours or days"},
		{"rate(5)", "", "expression", "minutes, hours or days"},
		{"rate(99999999 days)", "", "expression", "100 years"},
		{"at(2026-11-25)", "", "expression", "at takes"},
		{"at(2026-11-25T10:00:00Z)", "", "expression", "without an offset"},
		{"at(2026-02-29T10:00:00)", "", "expression", "at takes"},
		{"at(2026-11-25T10:00:00.5)", "", "expression", "at takes"},
		{"at(2026-03-29T02:30:00)", "Europe/Amsterdam", "expression", "clocks go forward"},
		{"cron(0 9 * * *)", "", "expression", "this one has 5"},
		{"cron(0 0 9 ? * MON *)", "", "expression", "this one has 7"},
		{"cron(0 9 * * * *)", "", "expression", "exactly one"},
		{"cron(0 9 ? * ? *)", "", "expression", "exactly one"},
		{"cron(0 9 1 * MON *)", "", "expression", "exactly one"},
		{"cron(60 9 * * ? *)", "", "expression", `minutes: "60"`},
		{"cron(? 9 * * ? *)", "", "expression", `minutes: "?"`},
		{"cron(-1 9 * * ? *)", "", "expression", "minutes:"},
		{"cron(0 24 * * ? *)", "", "expression", "hours:"},
		{"cron(0 22-2 * * ? *)", "", "expression", "a range goes upwards"},
		{"cron(0 9 0 * ? *)", "", "expression", "day of month:"},
		{"cron(0 9 32W * ? *)", "", "expression", "day of month:"},
		{"cron(0 9 1,L * ? *)", "", "expression", "stand alone"},
		{"cron(0 9 W * ? *)", "", "expression", "stand alone"},
		{"cron(0 9 * 13 ? *)", "", "expression", "month:"},
		{"cron(0 9 * MAI ? *)", "", "expression", "JAN to DEC"},
		{"cron(0 9 ? * 0 *)", "", "expression", "day of week:"},
		{"cron(0 9 ? * 8 *)", "", "expression", "SUN to SAT"},
		{"cron(0 9 ? * 2/2 *)", "", "expression", "day of week:"},
		{"cron(0 9 ? * 6#6 *)", "", "expression", "stand alone"},
		{"cron(0 9 ? * 6#1,6#3 *)", "", "expression", "stand alone"},
		{"cron(0 9 ? * 8L *)", "", "expression", "stand alone"},
		{"cron(0 9 * * ? 1969)", "", "expression", "year:"},
		{"cron(0 9 * * ? 2200)", "", "expression", "1970 to 2199"},
		{"cron(0/0 9 * * ? *)", "", "expression", "minutes:"},
		{"cron(0/x 9 * * ? *)", "", "expression", "minutes:"},
		{"cron(1,,2 9 * * ? *)", "", "expression", "minutes:"},
		{"cron(0 9 30 2 ? *)", "", "expression", "never comes"},
		{"cron(" + strings.Repeat("0,", 200) + "0 9 * * ? *)", "", "expression", "256 bytes"},
		{"rate(5 minutes)", "Europe/Atlantis", "timezone", "IANA time zone"},
		{"rate(5 minutes)", "Local", "timezone", "IANA time zone"},
		{"rate(5 minutes)", "../etc/passwd", "timezone", "IANA time zone"},
		{"rate(5 minutes)", "+02:00", "timezone", "IANA time zone"},
	} {
		_, err := schedule.Parse(c.expression, c.zone)
		var paths []string
		said := false
		for _, d := range details(err) {
			paths = append(paths, d.Path)
			said = said || strings.Contains(d.Message, c.says)
		}
		if diff := cmp.Diff([]string{c.path}, paths); diff != "" || fault.KindOf(err) != fault.Invalid || !said {
			t.Errorf("%s in %q: got %v, want a fault of %s that says %q", c.expression, c.zone, err, c.path, c.says)
		}
	}
	if _, err := schedule.Parse("never", "Nowhere"); len(details(err)) != 2 {
		t.Errorf("two faults: got %v", err)
	}
}
