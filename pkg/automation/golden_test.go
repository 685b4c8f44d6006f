package automation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/approval"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/feed"
	"longshore/pkg/identity"
	"longshore/pkg/run"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everything listens to all types of events, and starts a webhook.
func everything(w *world, t *testing.T) {
	t.Helper()
	w.define(t,
		onEntity("created", "ENTITY_CREATED"), onEntity("updated", "ENTITY_UPDATED"), onEntity("deleted", "ENTITY_DELETED"), onEntity("any", "ANY_ENTITY_CHANGE"),
		on("timed", `"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"service","propertyIdentifier":"ends"`, hook, ""),
		on("run-created", `"type":"RUN_CREATED","actionIdentifier":"deploy"`, hook, ""), on("run-updated", `"type":"RUN_UPDATED","actionIdentifier":"deploy"`, hook, ""),
		on("run-any", `"type":"ANY_RUN_CHANGE","actionIdentifier":"upsert"`, hook, ""),
		// None of these listens to what happens.
		on("other-blueprint", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"owner"`, hook, ""),
		on("other-action", `"type":"ANY_RUN_CHANGE","actionIdentifier":"other"`, hook, ""),
		on("other-timer", `"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"service","propertyIdentifier":"tier"`, hook, ""),
		`{"identifier":"off","publish":false,"trigger":{"type":"automation","event":{"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"}},"invocationMethod":`+hook+`}`,
		`{"identifier":"deploy","title":"Deploy <it>","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":`+hook+`}`,
		`{"identifier":"upsert","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"service",
			"mapping":{"identifier":"cart","properties":{"n":7}}}}`,
		`{"identifier":"guarded","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":`+hook+`,"requiredApproval":true}`,
	)
}

// The golden files say which automations each change starts, and with what event.
func TestEvents(t *testing.T) {
	t.Parallel()
	const cart = `{"identifier":"cart","title":"Cart <1>","properties":{"n":1.50,"tier":"gold"}}`
	for name, test := range map[string]func(t *testing.T, w *world){
		"entity-created": func(t *testing.T, w *world) { w.create(t, cart, w.ada()) },
		"entity-updated": func(t *testing.T, w *world) {
			w.create(t, cart, w.machine())
			w.settle(t)
			w.started = nil
			w.now = w.now.Add(time.Second)
			w.patch(t, "cart", `{"properties":{"n":2},"relations":{"owner":null}}`, w.ada())
		},
		"entity-deleted": func(t *testing.T, w *world) {
			w.create(t, cart, w.machine())
			w.settle(t)
			w.started = nil
			must(t, w.service.DeleteEntity(t.Context(), "service", "cart", false, w.ada()))
		},
		"entity-renamed": func(t *testing.T, w *world) {
			w.create(t, cart, w.machine())
			w.settle(t)
			w.started = nil
			w.patch(t, "cart", `{"identifier":"basket"}`, w.machine())
		},
		"entities-in-bulk": func(t *testing.T, w *world) {
			_, err := w.service.WriteEntities(t.Context(), "service", []json.RawMessage{[]byte(`{"identifier":"a"}`), []byte(`{"identifier":"b","team":["x"]}`)},
				catalog.EntityWrite{Upsert: true, By: w.machine()})
			must(t, err)
		},
		"entities-with-their-blueprint": func(t *testing.T, w *world) {
			w.create(t, cart, w.machine())
			w.settle(t)
			w.started = nil
			_, err := w.service.DeleteAllEntities(t.Context(), "service", true, w.machine())
			must(t, err)
			if _, err := w.service.Blueprint(t.Context(), "service"); err == nil {
				t.Error("the blueprint is there before its entities' deletion is told")
			}
		},
		"upsert-by-a-run": func(t *testing.T, w *world) {
			w.run(t, "upsert")
			w.tell(t)
			w.deliver(t, w.sent[0].PK)
		},
		"upsert-by-an-automation": func(t *testing.T, w *world) {
			w.define(t, on("copy", `"type":"ENTITY_CREATED","blueprintIdentifier":"service"`,
				`{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"{{ .event.context.entityIdentifier }}-copy"}}`,
				jq("and", `.trigger.origin != "AUTOMATION"`)))
			w.create(t, cart, w.ada())
			w.settle(t)
		},
		"timer": func(t *testing.T, w *world) {
			e := w.create(t, `{"identifier":"cart","properties":{"ends":"2026-03-01T10:20:31Z"}}`, w.ada())
			w.settle(t)
			w.started = nil
			for range 2 {
				must(t, w.Handle(t.Context(), &feed.Change{Timer: &feed.Timer{Key: e.Key, EntityID: e.ID, Property: "ends", At: start.Add(544 * time.Millisecond)}}))
			}
		},
		"run-created":   func(t *testing.T, w *world) { w.run(t, "deploy") },
		"run-delivered": func(t *testing.T, w *world) { w.run(t, "deploy"); w.settle(t) },
		"run-patched": func(t *testing.T, w *world) {
			id := w.run(t, "deploy")
			w.tell(t)
			w.started = nil
			w.now = w.now.Add(time.Second)
			label, summary := "50 %", "half <done>"
			by := w.ada()
			_, err := w.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
				return &run.Write{By: &by}, r.Apply(w.now, by.ID, run.Patch{StatusLabel: &label, Summary: &summary})
			})
			must(t, err)
		},
		"run-approved": func(t *testing.T, w *world) {
			w.define(t, on("guard", `"type":"ANY_RUN_CHANGE","actionIdentifier":"guarded"`, hook, ""))
			id := w.run(t, "guarded")
			w.now = w.now.Add(time.Second)
			_, err := w.approval.Decide(t.Context(), approval.Request{
				Caller: identity.Caller{OrgID: "org_1", Machine: true, ID: "client"}, RunID: id, State: run.Approved, Description: "fine",
			})
			must(t, err)
		},
		"run-of-a-deleted-action": func(t *testing.T, w *world) {
			w.run(t, "deploy")
			must(t, w.actions.Delete(t.Context(), "deploy", "client", w.now))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			everything(w, t)
			test(t, w)
			w.tell(t)
			golden(t, name, w.story(t))
		})
	}
}

// ids are made of what tests cannot know.
var ids = regexp.MustCompile(`"event_[0-9a-f]{32}"`)

// story tells what was started, by what event, and the event's cause.
func (w *world) story(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("[")
	for n, s := range w.started {
		text, err := s.event.JSON("org_1")
		must(t, err)
		line, err := json.Marshal(struct {
			Automation string `json:"automation"`
			RunID      string `json:"causeRunId"`
			Depth      int    `json:"causeDepth"`
		}{s.automation, s.event.RunID, s.event.Depth})
		must(t, err)
		if n > 0 {
			out.WriteString(",")
		}
		out.Write(line[:len(line)-1])
		out.WriteString(`,"event":`)
		out.Write(ids.ReplaceAll(text, []byte(`"event_…"`)))
		out.WriteString("}")
	}
	out.WriteString("]")
	var pretty bytes.Buffer
	must(t, json.Indent(&pretty, out.Bytes(), "", "  "))
	return append(derived.ReplaceAll(pretty.Bytes(), []byte("${1}…")), '\n')
}

// derived are the ids of runs of automations, which are made of random ones. Those of a test's own end with
// digits.
var derived = regexp.MustCompile(`(r_0VCbr[0-9A-Za-z]{3})(?:[0-9A-Za-z]*[A-Za-z][0-9A-Za-z]*)`)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// The event of a schedule has no diff.
func TestEventOfASchedule(t *testing.T) {
	t.Parallel()
	e := &event.Event{
		ID: "event_1", Action: event.Scheduled, Resource: event.Schedule, UserID: "longshore", Origin: "AUTOMATION", At: start,
		Context: json.RawMessage(`{"expression":"rate(1 day)","timezone":null}`),
	}
	got, err := e.JSON("org_1")
	must(t, err)
	want := `{"id":"event_1","action":"SCHEDULED","resourceType":"schedule","trigger":{"by":{"orgId":"org_1","userId":"longshore"},"origin":"AUTOMATION",` +
		`"at":"2026-03-01T10:20:30.456Z"},"context":{"expression":"rate(1 day)","timezone":null},"diff":null}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
