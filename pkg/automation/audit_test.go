package automation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/automation"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

// collecting is an audit log that has nothing but what it is given.
type collecting struct {
	entries []*audit.Entry
	// has are the ids of those that are there already; recorded counts writes.
	has      map[string]bool
	recorded int
	err      error
}

func (c *collecting) Missing(_ context.Context, entries ...*audit.Entry) ([]*audit.Entry, error) {
	return slices.DeleteFunc(audit.Kept(entries), func(e *audit.Entry) bool { return c.has[e.ID] }), c.err
}

func (c *collecting) Record(_ context.Context, entries ...*audit.Entry) error {
	c.recorded += len(entries)
	c.entries = append(c.entries, entries...)
	return c.err
}

// Those that the handler makes of changes are those that the changes' authors wrote.
func TestAuditEntriesAreTheSame(t *testing.T) {
	t.Parallel()
	log := &collecting{}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Audit = log })
	everything(w, t)
	w.create(t, `{"identifier":"cart","properties":{"n":1,"ends":"2026-03-02T00:00:00Z"},"relations":{"owner":null}}`, w.ada())
	w.now = w.now.Add(time.Second)
	w.patch(t, "cart", `{"properties":{"n":2}}`, w.machine())
	w.patch(t, "cart", `{"properties":{"n":2}}`, w.ada())
	w.patch(t, "cart", `{"identifier":"basket"}`, w.machine())
	w.patch(t, "basket", `{"identifier":"cart"}`, w.machine())
	must(t, w.service.DeleteEntity(t.Context(), "service", "cart", false, w.ada()))
	w.run(t, "upsert")
	id := w.run(t, "deploy")
	label, by := "50 %", w.ada()
	_, err := w.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{By: &by}, r.Apply(w.now, by.ID, run.Patch{StatusLabel: &label})
	})
	must(t, err)
	told := slices.Clone(w.untold)
	w.settle(t)

	var want []*audit.Entry
	for from := ""; ; {
		page, err := w.entries.List(t.Context(), audit.Filter{Resources: []string{audit.Entity, audit.Run}, Limit: 1000, Next: from})
		must(t, err)
		want = append(want, page.Entries...)
		if from = page.Next; from == "" {
			break
		}
	}
	byID := func(a, b *audit.Entry) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(want, byID)
	slices.SortFunc(log.entries, byID)
	for _, e := range log.entries {
		// It is kept with what was changed, and not in entries.
		e.By.Cause = audit.Cause{}
	}
	if diff := cmp.Diff(want, log.entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if len(want) < 15 {
		t.Errorf("only %d entries were compared", len(want))
	}

	// Those that are there are left alone.
	log.has = map[string]bool{}
	for _, e := range want {
		log.has[e.ID] = true
	}
	log.recorded = 0
	for _, c := range told {
		must(t, w.Handle(t.Context(), c))
	}
	if log.recorded != 0 {
		t.Errorf("%d entries were written again", log.recorded)
	}
}

// A write that only moves the entity's timer on has no author and no entry.
func TestTimerThatMovesOnIsNotAudited(t *testing.T) {
	t.Parallel()
	log := &collecting{}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Audit = log })
	everything(w, t)
	e := w.create(t, `{"identifier":"cart","properties":{"ends":"2026-03-02T00:00:00Z"}}`, w.ada())
	w.tell(t)
	w.started, log.recorded = nil, 0
	e, err := w.catalog.Entity(t.Context(), e.Key)
	must(t, err)
	e.Timers = nil
	must(t, w.catalog.ReplaceEntity(t.Context(), e, nil, nil))
	if len(w.untold) != 1 {
		t.Fatalf("%d changes are told, want the timer's", len(w.untold))
	}
	w.tell(t)
	if log.recorded != 0 || len(w.started) != 0 {
		t.Errorf("%d entries, started %v", log.recorded, w.names())
	}
}

// A log that cannot be written holds back no automation; the change is told again.
func TestAuditThatCannotBeReached(t *testing.T) {
	t.Parallel()
	log := &collecting{err: fault.Busy(nil, time.Second, "unplugged")}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Audit = log })
	everything(w, t)
	w.create(t, `{"identifier":"cart"}`, w.ada())
	w.run(t, "deploy")
	for _, c := range w.untold {
		w.started = nil
		if err := w.Handle(t.Context(), c); fault.KindOf(err) != fault.Unavailable || len(w.started) == 0 {
			t.Errorf("error %v, started %v", err, w.names())
		}
	}
	log.err = errors.New("broken")
	for _, c := range w.untold {
		if err := w.Handle(t.Context(), c); !errors.Is(err, log.err) || feed.Curable(err) {
			t.Errorf("got %v, want that the change is set aside", err)
		}
	}
}
