package automation_test

import (
	"fmt"
	"strings"
	"testing"

	"longshore/pkg/event"
	"longshore/pkg/run"
)

// upsertInto is a method that writes the entity "x" of a blueprint, with a number that grows.
func upsertInto(blueprint string) string {
	return `{"type":"UPSERT_ENTITY","blueprintIdentifier":"` + blueprint + `","mapping":{"identifier":"x","properties":{"n":"{{ .event.diff.after.properties.n + 1 }}"}}}`
}

// Loops are cut off at the eleventh run, which fails and says why; the ten before are delivered.
func TestLoopsEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		definitions []string
		begin       func(t *testing.T, w *world)
	}{
		"an automation that causes itself": {
			[]string{on("self", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"`, upsertInto("service"), "")},
			func(t *testing.T, w *world) { w.create(t, `{"identifier":"x","properties":{"n":0}}`, w.ada()) },
		},
		"two that cause each other": {
			[]string{
				on("ping", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"`, upsertInto("owner"), ""),
				on("pong", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"owner"`, upsertInto("service"), ""),
			},
			func(t *testing.T, w *world) { w.create(t, `{"identifier":"x","properties":{"n":0}}`, w.ada()) },
		},
		"one that listens to its own runs": {
			[]string{on("self", `"type":"RUN_CREATED","actionIdentifier":"self"`, hook, ""), on("first", `"type":"ENTITY_CREATED","blueprintIdentifier":"service"`, hook, ""),
				on("second", `"type":"RUN_CREATED","actionIdentifier":"first"`, hook, ""), on("third", `"type":"RUN_CREATED","actionIdentifier":"second"`, hook, ""),
				on("third-again", `"type":"RUN_CREATED","actionIdentifier":"third"`, `{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"properties":{"n":1}}}`, "")},
			func(t *testing.T, w *world) { w.create(t, `{"identifier":"x","properties":{"n":0}}`, w.ada()) },
		},
		"ends of runs": {
			[]string{on("a", `"type":"RUN_UPDATED","actionIdentifier":"b"`, hook, ""), on("b", `"type":"RUN_UPDATED","actionIdentifier":"a"`, hook, ""),
				on("begin", `"type":"ENTITY_CREATED","blueprintIdentifier":"service"`, hook, ""), on("c", `"type":"RUN_UPDATED","actionIdentifier":"c"`, hook, ""),
				on("d", `"type":"RUN_CREATED","actionIdentifier":"begin"`, hook, ""), on("e", `"type":"RUN_UPDATED","actionIdentifier":"d"`, `{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"properties":{"n":1}}}`, "")},
			func(t *testing.T, w *world) { w.create(t, `{"identifier":"x","properties":{"n":0}}`, w.ada()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.define(t, test.definitions...)
			test.begin(t, w)
			w.settle(t)
			failed, deepest := 0, 0
			seen := map[string]int{}
			for _, r := range w.automatic(t) {
				seen[fmt.Sprint(r.Cause.Depth)]++
				deepest = max(deepest, r.Cause.Depth)
				if r.Status != run.Failure {
					if r.Cause.Depth > event.MaxDepth {
						t.Errorf("run %s of depth %d is %s", r.ID, r.Cause.Depth, r.Status)
					}
					continue
				}
				failed++
				lines, err := w.runs.Logs(t.Context(), r.ID, run.LogQuery{Limit: 50})
				must(t, err)
				if r.Cause.Depth != event.MaxDepth+1 || r.StatusLabel != "loop cut off" || len(lines) != 1 ||
					!strings.Contains(lines[0].Message, "follows from 10 runs") || !strings.Contains(lines[0].Message, r.Cause.RunID) {
					t.Errorf("run %+v, log %v", r.Run, lines)
				}
			}
			if failed != 1 || deepest != event.MaxDepth+1 {
				t.Errorf("%d failures, deepest %d; runs by depth: %v", failed, deepest, seen)
			}
		})
	}
}
