package schedule_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/schedule"
)

func TestDue(t *testing.T) {
	t.Parallel()
	want := schedule.Due{ActionID: "action_1", Expression: "rate(5 minutes)", Timezone: "Europe/Amsterdam"}
	text := want.Input()
	want.At = moment(t, "2026-11-25T18:00:00Z")
	// EventBridge Scheduler replaces the attribute in the text.
	for _, text := range []string{strings.ReplaceAll(text, "<aws.scheduler.scheduled-time>", "2026-11-25T18:00:00Z"), want.Input()} {
		got, is, err := schedule.ParseDue(json.RawMessage(text))
		if diff := cmp.Diff(want, got); diff != "" || !is || err != nil {
			t.Errorf("%s: is %t, error %v, due (-want +got):\n%s", text, is, err, diff)
		}
	}
	for text, isOne := range map[string]bool{
		`{"version":"2.0","rawPath":"/v1/jq"}`: false, `[]`: false, `null`: false, `{"schedule":null}`: false,
		`{"schedule":{"actionId":"action_1"}}`: true, `{"schedule":{"scheduledTime":"2026-11-25T18:00:00Z"}}`: true, text: true,
	} {
		if _, is, err := schedule.ParseDue(json.RawMessage(text)); is != isOne || (err != nil) != isOne {
			t.Errorf("%s: is one %t, error %v; want %t", text, is, err, isOne)
		}
	}
}
