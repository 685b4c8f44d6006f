package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/schedule"
)

// Timetable is when an automation starts whose event is a schedule, as it was written.
type Timetable struct {
	Expression string
	// Timezone is the name of an IANA time zone, empty for UTC.
	Timezone string
	// Published is false for one that is switched off.
	Published bool
}

// timetablePath is where a timetable stands in a definition.
const timetablePath = "trigger.event"

// TimetableOf reads the timetable of a definition's text; false when it has none. It compiles nothing, so
// that it also reads what this version of the program cannot compile.
func TimetableOf(definition json.RawMessage) (t Timetable, ok bool) {
	v, err := jqtemplate.Decode(definition)
	if err != nil {
		return t, false
	}
	root, _ := v.(*jqtemplate.Object)
	trigger := document.Object(root, "trigger")
	on := document.Object(trigger, "event")
	if document.Text(trigger, "type") != Automation || document.Text(on, "type") != "SCHEDULE" {
		return t, false
	}
	return Timetable{
		Expression: document.Text(on, "expression"), Timezone: document.Text(on, "timezone"),
		Published: document.Member(root, "publish") != false,
	}, true
}

// Schedule compiles the timetable. Its faults are schedule.Parse's.
func (t Timetable) Schedule() (*schedule.Schedule, error) {
	return schedule.Parse(t.Expression, t.Timezone)
}

// CheckTimetable adds what is wrong with a definition's expression and time zone to the error of Parse, nil
// for none. A definition is checked when it is saved, not when it is read: a time zone that the machine of
// a dispatcher does not know must not make one unreadable.
func CheckTimetable(definition json.RawMessage, parsed error) error {
	var known *fault.Error
	if parsed != nil && (!errors.As(parsed, &known) || known.Kind != fault.Invalid || len(known.Details) == 0) {
		return parsed
	}
	t, ok := TimetableOf(definition)
	if !ok || t.Expression == "" {
		return parsed
	}
	var wrong *fault.Error
	_, err := t.Schedule()
	if !errors.As(err, &wrong) {
		return parsed
	}
	var faults document.Faults
	if known != nil {
		for _, d := range known.Details {
			faults.AddDetail(d)
		}
	}
	for _, d := range wrong.Details {
		d.Path = document.Below(timetablePath, d.Path)
		if known == nil || !slices.ContainsFunc(known.Details, func(k fault.Detail) bool { return k.Path == d.Path }) {
			faults.AddDetail(d)
		}
	}
	return faults.Err()
}

// CheckPassed refuses a definition whose at(…) is not ahead of now, unless the one in whose place it is put,
// nil for none, had the same already.
func CheckPassed(definition, had json.RawMessage, now time.Time) error {
	t, ok := TimetableOf(definition)
	if !ok {
		return nil
	}
	s, err := t.Schedule()
	if err != nil {
		return err
	}
	at, once := s.Once()
	if !once || at.After(now) {
		return nil
	}
	if old, ok := TimetableOf(had); ok && old.Expression == t.Expression && old.Timezone == t.Timezone {
		return nil
	}
	return fault.InvalidDetails([]fault.Detail{{
		Path: document.Below(timetablePath, "expression"), Message: fmt.Sprintf("has passed: it was %s", at.UTC().Format(time.RFC3339)),
	}})
}
