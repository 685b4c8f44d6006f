package action_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
)

func TestTimetable(t *testing.T) {
	t.Parallel()
	const hourly = `{"type":"SCHEDULE","expression":"rate(1 hour)"}`
	for name, c := range map[string]struct {
		definition string
		want       action.Timetable
		has        bool
	}{
		"plain":           {`{"trigger":{"type":"automation","event":` + hourly + `}}`, action.Timetable{Expression: "rate(1 hour)", Published: true}, true},
		"null members":    {`{"publish":null,"trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":"rate(1 hour)","timezone":null}}}`, action.Timetable{Expression: "rate(1 hour)", Published: true}, true},
		"switched off":    {`{"publish":false,"trigger":{"type":"automation","event":` + hourly + `}}`, action.Timetable{Expression: "rate(1 hour)"}, true},
		"the last counts": {`{"trigger":{"type":"automation","event":{"type":"ENTITY_CREATED"}},"trigger":{"type":"automation","event":` + hourly + `}}`, action.Timetable{Expression: "rate(1 hour)", Published: true}, true},
		"case matters":    {`{"Trigger":{"type":"automation","event":` + hourly + `}}`, action.Timetable{}, false},
		"self-service":    {`{"trigger":{"type":"self-service","event":` + hourly + `}}`, action.Timetable{}, false},
		"v1":              {`{"trigger":"CREATE"}`, action.Timetable{}, false},
		"no object":       {`[]`, action.Timetable{}, false},
		"no JSON":         {`{`, action.Timetable{}, false},
		"none":            {``, action.Timetable{}, false},
	} {
		got, has := action.TimetableOf(json.RawMessage(c.definition))
		if diff := cmp.Diff(c.want, got); diff != "" || has != c.has {
			t.Errorf("%s: has %t, timetable (-want +got):\n%s", name, has, diff)
		}
	}
}
