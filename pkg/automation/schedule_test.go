package automation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/event"
	"longshore/pkg/run"
	"longshore/pkg/schedule"
)

// scheduled is an automation with a schedule.
func scheduled(identifier, expression, timezone, condition string) string {
	members := fmt.Sprintf(`"type":"SCHEDULE","expression":%q`, expression)
	if timezone != "" {
		members += fmt.Sprintf(`,"timezone":%q`, timezone)
	}
	return on(identifier, members, `{"type":"WEBHOOK","url":"https://example.com","body":{"event":"{{ .event }}"}}`, condition)
}

func nightly(timezone string) schedule.Due {
	return schedule.Due{ActionID: "action_nightly", Expression: "cron(0 9 * * ? *)", Timezone: timezone, At: start.Truncate(time.Second).Add(time.Hour)}
}

func TestScheduleStartsItsAutomation(t *testing.T) {
	t.Parallel()
	for timezone, context := range map[string]string{
		"":                 `{"expression":"cron(0 9 * * ? *)","timezone":null}`,
		"Europe/Amsterdam": `{"expression":"cron(0 9 * * ? *)","timezone":"Europe/Amsterdam"}`,
	} {
		w := newWorld(t)
		w.define(t, scheduled("nightly", "cron(0 9 * * ? *)", timezone, ""), scheduled("other", "cron(0 9 * * ? *)", timezone, ""))
		due := nightly(timezone)
		// EventBridge Scheduler may tell it more than once.
		for range 2 {
			taken, err := w.TakeSchedule(t.Context(), json.RawMessage(due.Input()))
			if !taken || err != nil {
				t.Fatalf("taken %t, %v", taken, err)
			}
		}
		id := event.ScheduleID("action_nightly", due.At)
		r, err := w.runs.Read(t.Context(), run.DerivedID(due.At, id, "action_nightly"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != run.InProgress || r.Source != run.SourceAutomation || len(w.sent) != 1 {
			t.Errorf("the run is %s by %s, %d messages", r.Status, r.Source, len(w.sent))
		}
		want := fmt.Sprintf(`{"id":%q,"action":"SCHEDULED","resourceType":"schedule","trigger":{"by":{"orgId":"org_1","userId":"longshore"},"origin":"AUTOMATION","at":"2026-03-01T11:20:30.000Z"},"context":%s,"diff":null}`, id, context)
		var got struct{ Event any }
		var wanted any
		if err := errors.Join(json.Unmarshal([]byte(*r.Invocation.Webhook.Body), &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got.Event); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
}

func TestScheduleThatIsDropped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ definition, says string }{
		"gone":               {scheduled("other", "cron(0 9 * * ? *)", "", ""), "is gone"},
		"another expression": {scheduled("nightly", "cron(0 10 * * ? *)", "", ""), "another one meanwhile"},
		"another zone":       {scheduled("nightly", "cron(0 9 * * ? *)", "Asia/Tokyo", ""), "another one meanwhile"},
		"switched off":       {strings.Replace(scheduled("nightly", "cron(0 9 * * ? *)", "", ""), `{"identifier"`, `{"publish":false,"identifier"`, 1), "switched off"},
		"another kind":       {on("nightly", `"type":"ENTITY_CREATED","blueprintIdentifier":"service"`, hook, ""), "another one meanwhile"},
		"condition":          {scheduled("nightly", "cron(0 9 * * ? *)", "", jq("and", `.event.action == "CREATE"`)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.define(t, c.definition)
			if err := w.StartScheduled(t.Context(), nightly("")); err != nil {
				t.Fatal(err)
			}
			if len(w.started) > 0 || !strings.Contains(w.log.String(), c.says) {
				t.Errorf("%d started, log:\n%s", len(w.started), w.log.String())
			}
		})
	}
}

func TestScheduleWithACondition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.define(t, scheduled("nightly", "cron(0 9 * * ? *)", "", jq("and", `.resourceType == "schedule"`, `.context.timezone == null`)))
	if err := w.StartScheduled(t.Context(), nightly("")); err != nil || len(w.started) != 1 {
		t.Errorf("%d started, %v; want one\n%s", len(w.started), err, w.log.String())
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if taken, err := w.TakeSchedule(t.Context(), json.RawMessage(`{"version":"2.0","rawPath":"/v1/jq"}`)); taken || err != nil {
		t.Errorf("a request: taken %t, %v", taken, err)
	}
	// It would come again for ever.
	if taken, err := w.TakeSchedule(t.Context(), json.RawMessage(`{"schedule":{"actionId":"action_nightly","scheduledTime":"soon"}}`)); !taken || err != nil {
		t.Errorf("a schedule that cannot be read: taken %t, %v", taken, err)
	}
}
