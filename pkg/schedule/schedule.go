// Package schedule reads the expressions of EventBridge Scheduler and says when they come: rate(…), cron(…)
// and at(…), with an optional IANA time zone. It promises what EventBridge Scheduler documents ("Schedule
// types on EventBridge Scheduler"):
//   - a local time that does not exist is skipped, one that comes twice counts once, the first time;
//   - a rate counts elapsed time, whatever clocks are set to;
//   - nothing comes more often than once a minute.
//
// Time zones come from the machine, or from time/tzdata in a program that links it.
package schedule

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/fault"
)

// maxExpression is the longest expression in bytes, maxTimezone the longest name of a time zone
// (EventBridge Scheduler, CreateSchedule).
const maxExpression, maxTimezone = 256, 50

// longestRate bounds rate(…): what is rarer is a slip of the pen.
const longestRate = 100 * 366 * 24 * time.Hour

// Schedule is a compiled expression. It is immutable and safe for concurrent use.
type Schedule struct {
	// text is the expression as EventBridge Scheduler takes it.
	text string
	zone *time.Location
	// Of these one is set.
	every time.Duration
	at    time.Time
	cron  *cron
}

// Parse reads an expression; timezone is empty for UTC. Its faults are one fault.Invalid with the paths
// "expression" and "timezone".
func Parse(expression, timezone string) (*Schedule, error) {
	var faults []fault.Detail
	s := &Schedule{zone: time.UTC}
	if timezone != "" {
		zone, err := time.LoadLocation(timezone)
		if err != nil || timezone == "Local" || len(timezone) > maxTimezone {
			faults = append(faults, fault.Detail{Path: "timezone", Message: "must be the name of an IANA time zone, such as Europe/Amsterdam"})
		} else {
			s.zone = zone
		}
	}
	if message := s.parse(expression); message != "" {
		faults = append(faults, fault.Detail{Path: "expression", Message: message})
	}
	if err := fault.InvalidDetails(faults); err != nil {
		return nil, err
	}
	return s, nil
}

// parse reads an expression and says what is wrong with it.
func (s *Schedule) parse(expression string) (wrong string) {
	if len(expression) > maxExpression {
		return fmt.Sprintf("must have at most %d bytes", maxExpression)
	}
	kind, rest, ok := strings.Cut(expression, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed {
		return "must be rate(…), cron(…) or at(…)"
	}
	switch kind {
	case "rate":
		return s.parseRate(inner)
	case "at":
		return s.parseAt(inner)
	case "cron":
		c, wrong := parseCron(inner)
		if wrong != "" {
			return wrong
		}
		s.cron, s.text = c, "cron("+c.text+")"
		if _, comes := c.after(time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Minute), time.UTC); !comes {
			return "never comes: no month has such a day"
		}
		return ""
	}
	return "must be rate(…), cron(…) or at(…)"
}

var rateUnits = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

func (s *Schedule) parseRate(inner string) (wrong string) {
	const want = "rate takes a whole number above 0 and minutes, hours or days, such as rate(5 minutes)"
	words := strings.Fields(inner)
	if len(words) != 2 {
		return want
	}
	n, err := strconv.ParseInt(words[0], 10, 32)
	name := strings.TrimSuffix(words[1], "s")
	unit := rateUnits[name]
	if err != nil || n < 1 || unit == 0 || words[0][0] == '+' {
		return want
	}
	s.every = time.Duration(n) * unit
	if s.every > longestRate || s.every/unit != time.Duration(n) {
		return "rate must be at most 100 years"
	}
	// One is singular, all else plural.
	s.text = fmt.Sprintf("rate(%d %s)", n, name)
	if n != 1 {
		s.text = fmt.Sprintf("rate(%d %ss)", n, name)
	}
	return ""
}

var atShape = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)

func (s *Schedule) parseAt(inner string) (wrong string) {
	wall, err := time.Parse("2006-01-02T15:04:05", inner)
	if err != nil || !atShape.MatchString(inner) {
		return "at takes a local time without an offset, such as at(2027-01-31T09:00:00)"
	}
	at, exists := instant(wall, s.zone)
	if !exists {
		return fmt.Sprintf("there is no %s in %s: clocks go forward over it", inner, s.zone)
	}
	s.at, s.text = at, "at("+inner+")"
	return ""
}

// Expression returns the expression as EventBridge Scheduler takes it: the unit of a rate in the right
// number, names of days as numbers where they stand beside L and #.
func (s *Schedule) Expression() string { return s.text }

// Once returns the time of an at(…), false for any other schedule.
func (s *Schedule) Once() (at time.Time, once bool) { return s.at, !s.at.IsZero() }

// Next returns the first time that comes behind a moment, in UTC; false when none does. A rate counts from
// anchor, and comes the first time when it has passed once.
func (s *Schedule) Next(after, anchor time.Time) (next time.Time, comes bool) {
	switch {
	case s.every > 0:
		n := int64(1)
		if elapsed := after.Sub(anchor); elapsed >= 0 {
			n = int64(elapsed/s.every) + 1
		}
		return anchor.Add(time.Duration(n) * s.every).UTC(), true
	case s.cron != nil:
		return s.cron.after(after, s.zone)
	}
	return s.at.UTC(), s.at.After(after)
}

// Last returns the latest time that came behind a moment and not behind another; false when none did.
func (s *Schedule) Last(after, until, anchor time.Time) (last time.Time, came bool) {
	for {
		next, comes := s.Next(after, anchor)
		if !comes || next.After(until) {
			return last, came
		}
		last, after, came = next, next, true
	}
}

// instant returns the first moment at which clocks in a zone show a time; false when they never do. Wall has
// the time in UTC.
func instant(wall time.Time, zone *time.Location) (at time.Time, exists bool) {
	if zone == time.UTC {
		return wall, true
	}
	// No zone changes its offset twice in two days, or by more than a day.
	for _, near := range []time.Duration{-25 * time.Hour, 25 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, is := t.In(zone).Zone(); is == offset && (!exists || t.Before(at)) {
			at, exists = t, true
		}
	}
	return at, exists
}
