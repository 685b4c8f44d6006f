package automation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/automation"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/feed"
)

// crowd defines n automations of which the first ten listen to the blueprint service, the others to
// blueprints and actions of their own.
func crowd(t testing.TB, w *world, n int, condition string) {
	t.Helper()
	for i := range n {
		members := fmt.Sprintf(`"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"blueprint-%d"`, i)
		switch {
		case i < 10:
			members = `"type":"ENTITY_UPDATED","blueprintIdentifier":"service"`
		case i%3 == 0:
			members = fmt.Sprintf(`"type":"ANY_RUN_CHANGE","actionIdentifier":"action-%d"`, i)
		case i%3 == 1:
			members = `"type":"ENTITY_DELETED","blueprintIdentifier":"service"`
		}
		w.define(t, on(fmt.Sprintf("a%04d", i), members, hook, condition))
	}
}

// Among a thousand automations only those are asked that may start: each condition that is evaluated fails
// and is logged.
func TestEventAsksOnlyWhoListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, `{"identifier":"cart"}`, w.machine())
	crowd(t, w, 1000, jq("and", `error("asked")`))
	w.tell(t)
	asked := func() (names []string) {
		for _, line := range strings.Split(strings.TrimSpace(w.log.String()), "\n") {
			var entry struct {
				Message string `json:"msg"`
				Action  string `json:"action"`
			}
			if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Message, "expression of a condition failed") {
				names = append(names, entry.Action)
			}
		}
		return names
	}
	if got := asked(); len(got) != 0 {
		t.Errorf("a creation, to which nobody listens, asks %v", got)
	}
	w.log.Reset()
	w.patch(t, "cart", `{"title":"Cart"}`, w.machine())
	w.tell(t)
	want := []string{"a0000", "a0001", "a0002", "a0003", "a0004", "a0005", "a0006", "a0007", "a0008", "a0009"}
	if diff := cmp.Diff(want, asked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(w.started) != 0 {
		t.Errorf("started %v", w.names())
	}
}

// idle is a starter that starts nothing: what a run costs is measured elsewhere.
type idle struct{}

func (idle) StartEvent(context.Context, *event.Event, *action.Entry) error { return nil }

// BenchmarkChange is what a change of an entity of 2 KiB costs on SQLite, whose stamps are in memory, beside 0 to
// 1,000 automations, at most ten of which listen.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{0, 1, 10, 1000} {
		b.Run(fmt.Sprintf("automations=%d", n), func(b *testing.B) {
			w := newWorld(b)
			w.create(b, `{"identifier":"cart","properties":{"n":1,"tier":"`+strings.Repeat("gold ", 400)+`"}}`, w.machine())
			crowd(b, w, n, jq("and", `.diff.before.properties.n != .diff.after.properties.n`, `.diff.after.properties.tier | startswith("gold")`))
			w.untold = nil
			w.patch(b, "cart", `{"properties":{"n":2}}`, w.machine())
			a := automation.New(automation.Config{
				Actions: action.NewCache(w.actions), Entities: catalog.NewReader(w.catalog, nil), Starter: idle{}, OrgID: "org_1", Log: slog.New(slog.DiscardHandler),
			})
			c := &feed.Change{Entity: w.untold[0].Entity}
			must(b, a.Handle(b.Context(), c))
			b.ReportAllocs()
			for b.Loop() {
				must(b, a.Handle(b.Context(), c))
			}
		})
	}
}
