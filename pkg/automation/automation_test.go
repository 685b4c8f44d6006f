package automation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/automation"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

func TestConditions(t *testing.T) {
	t.Parallel()
	const (
		yes, no   = `.diff.after.properties.n == 2`, `.diff.after.properties.n == 3`
		fails     = `.diff.after.properties.tier | tonumber`
		endless   = `[range(1e12)] | length > 0`
		noJQ      = `.diff.after.properties.n ==`
		undefined = `empty`
	)
	for name, test := range map[string]struct {
		condition string
		want      bool
		// logged is how many expressions are logged as failed.
		logged int
	}{
		"none":                  {"", true, 0},
		"null":                  {"null", true, 0},
		"an empty list":         {jq("and"), true, 0},
		"an empty list with or": {jq("or"), true, 0},
		"true":                  {jq("and", yes), true, 0},
		"false":                 {jq("and", no), false, 0},
		"both of and":           {jq("and", yes, yes), true, 0},
		"one of and":            {jq("and", yes, no), false, 0},
		"one of or":             {jq("or", no, yes), true, 0},
		"none of or":            {jq("or", no, no), false, 0},
		"and is the default":    {`{"type":"JQ","expressions":["` + yes + `","` + no + `"]}`, false, 0},
		"a null combinator":     {`{"type":"JQ","expressions":["` + yes + `","` + no + `"],"combinator":null}`, false, 0},
		"truthy is not true":    {jq("and", `.diff.after.properties.n`), false, 0},
		"a text that says true": {jq("and", `"true"`), false, 0},
		"null is not true":      {jq("and", `.diff.after.properties.none`), false, 0},
		"undefined is not true": {jq("and", undefined), false, 0},
		"fails":                 {jq("and", fails), false, 1},
		"fails beside true":     {jq("or", fails, yes), true, 1},
		"does not compile":      {jq("and", noJQ), false, 1},
		"the first output":      {jq("and", "true, false"), true, 0},
		"whole event":           {jq("and", `.action == "UPDATE" and .resourceType == "entity" and .context.blueprintIdentifier == "service" and .trigger.by.userId == "client"`), true, 0},
		"before and after":      {jq("and", `.diff.before.properties.n == 1 and .diff.after.properties.n == 2`), true, 0},
		"no secrets, no env":    {jq("and", `(.secrets == null) and ((env | length) == 0)`), true, 0},
		"has no end":            {jq("and", endless), false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create(t, `{"identifier":"cart","properties":{"n":1,"tier":"gold"}}`, w.machine())
			w.tell(t)
			w.define(t, on("it", `"type":"ENTITY_UPDATED","blueprintIdentifier":"service"`, hook, test.condition))
			w.patch(t, "cart", `{"properties":{"n":2}}`, w.machine())
			w.tell(t)
			if got := len(w.started) == 1; got != test.want {
				t.Errorf("started %v, want %v; log: %s", w.names(), test.want, w.log.String())
			}
			if got := strings.Count(w.log.String(), "counts as false"); got != test.logged {
				t.Errorf("%d expressions are logged as failed, want %d: %s", got, test.logged, w.log.String())
			}
		})
	}
}

// A condition is given a second; who has none left does not know whether it holds.
func TestConditionWithoutTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.define(t, on("it", `"type":"ENTITY_CREATED","blueprintIdentifier":"service"`, hook, jq("and", `.action == "CREATE"`)))
	w.create(t, `{"identifier":"cart"}`, w.machine())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Handle(ctx, w.untold[0]); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want that it is told again", err)
	}
	w.tell(t)
	if len(w.started) != 1 {
		t.Errorf("started %v", w.names())
	}
}

// Whatever is told more than once, by several at once, after the definitions have changed: one run.
func TestOneRunOfAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everything(w, t)
	w.create(t, `{"identifier":"cart"}`, w.machine())
	w.run(t, "deploy")
	changes := slices.Clone(w.untold)
	w.untold = nil
	var wait sync.WaitGroup
	direct := automation.New(automation.Config{
		Actions: action.NewCache(w.actions), Entities: catalog.NewReader(w.catalog, nil), Starter: w.trigger, OrgID: "org_1", Log: w.Log,
	})
	var mu sync.Mutex
	quiet := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		must(t, err)
	}
	// The runs that are told of are those of actions that no automation of this test listens to.
	w.runs.(*tellingRuns).tell = func(*feed.Change) {}
	for range 8 {
		wait.Go(func() {
			for _, c := range changes {
				quiet(direct.Handle(t.Context(), c))
			}
		})
	}
	wait.Wait()
	got := map[string]int{}
	for _, r := range w.automatic(t) {
		got[r.Action.Identifier]++
		if r.Status != run.InProgress || r.Cause.EventID == "" || r.Cause.Depth != 1 {
			t.Errorf("run %+v", r.Run)
		}
	}
	if diff := cmp.Diff(map[string]int{"any": 1, "created": 1, "run-created": 1}, got); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

func TestWriteThatChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everything(w, t)
	w.create(t, `{"identifier":"cart","properties":{"n":1,"tier":"gold"}}`, w.machine())
	id := w.run(t, "deploy")
	w.tell(t)
	w.started = nil
	w.now = w.now.Add(time.Second)
	w.patch(t, "cart", `{"properties":{"n":1}}`, w.ada())
	_, err := w.service.ReplaceEntity(t.Context(), "service", "cart", json.RawMessage(`{"icon":null,"properties":{"tier":"gold","n":1,"ends":null}}`), catalog.EntityWrite{By: w.ada()})
	must(t, err)
	by := w.ada()
	_, err = w.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{By: &by}, r.Apply(w.now, by.ID, run.Patch{})
	})
	must(t, err)
	if len(w.untold) != 3 {
		t.Fatalf("%d changes are told, want 3", len(w.untold))
	}
	w.tell(t)
	if len(w.started) != 0 {
		t.Errorf("started %v", w.names())
	}
	page, err := w.entries.List(t.Context(), audit.Filter{Origins: []string{"UI"}, Limit: 10})
	must(t, err)
	if len(page.Entries) != 3 {
		t.Errorf("the audit log has %d entries, want 3", len(page.Entries))
	}
}

// refusing is a starter that fails for some automations.
type refusing struct {
	automation.Starter
	errs map[string]error
	seen []string
}

func (r *refusing) StartEvent(ctx context.Context, e *event.Event, entry *action.Entry) error {
	r.seen = append(r.seen, entry.Record.Identifier)
	if err := r.errs[entry.Record.Identifier]; err != nil {
		return err
	}
	return r.Starter.StartEvent(ctx, e, entry)
}

func TestOneThatFailsHoldsBackNoOther(t *testing.T) {
	t.Parallel()
	busy := fault.Busy(errors.New("throttled"), time.Second, "the store cannot be used now")
	for name, test := range map[string]struct {
		err error
		// again says that the change is told again: else it is set aside.
		again bool
	}{
		"for good":        {errors.New("broken"), false},
		"for the time":    {busy, true},
		"by its contents": {fault.New(fault.Invalid, "", "cannot be read"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var starter *refusing
			w := newWorld(t, func(w *world, c *automation.Config) {
				starter = &refusing{Starter: w, errs: map[string]error{"b": test.err}}
				c.Starter = starter
			})
			w.define(t, onEntity("c", "ENTITY_CREATED"), onEntity("a", "ANY_ENTITY_CHANGE"), onEntity("b", "ENTITY_CREATED"))
			w.create(t, `{"identifier":"cart"}`, w.machine())
			c := w.untold[0]
			err := w.Handle(t.Context(), c)
			if !errors.Is(err, test.err) || !strings.Contains(err.Error(), "start a run of b") || feed.Curable(err) != test.again {
				t.Errorf("the handler returns %v", err)
			}
			if diff := cmp.Diff([]string{"a", "b", "c"}, starter.seen); diff != "" {
				t.Errorf("tried (-want +got):\n%s", diff)
			}
			starter.errs = nil
			must(t, w.Handle(t.Context(), c))
			if got := w.automatic(t); len(got) != 3 {
				t.Errorf("%d runs, want 3", len(got))
			}
		})
	}
}

// A change of an automation counts from the next event on.
func TestDefinitionsAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	started := func(want ...string) {
		t.Helper()
		n++
		w.started = nil
		w.create(t, fmt.Sprintf(`{"identifier":"e%d"}`, n), w.machine())
		w.tell(t)
		if diff := cmp.Diff(append([]string{}, want...), w.names()); diff != "" {
			t.Errorf("started (-want +got):\n%s", diff)
		}
	}
	started()
	w.define(t, onEntity("a", "ENTITY_CREATED"))
	started("a")
	w.define(t, onEntity("b", "ENTITY_CREATED"))
	started("a", "b")
	record, err := w.actions.Get(t.Context(), "a")
	must(t, err)
	record.Definition = json.RawMessage(strings.Replace(string(record.Definition), `"trigger"`, `"publish":false,"trigger"`, 1))
	must(t, w.actions.Replace(t.Context(), "a", record))
	started("b")
	must(t, w.actions.Delete(t.Context(), "b", "client", w.now))
	started()
}

// Runs are listened to by the name that their action has now.
func TestRunOfARenamedAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everything(w, t)
	id := w.run(t, "deploy")
	w.tell(t)
	w.started = nil
	record, err := w.actions.Get(t.Context(), "deploy")
	must(t, err)
	record.Identifier, record.Definition = "ship", json.RawMessage(strings.Replace(string(record.Definition), `"deploy"`, `"ship"`, 1))
	must(t, w.actions.Replace(t.Context(), "deploy", record))
	w.define(t, on("shipped", `"type":"RUN_UPDATED","actionIdentifier":"ship"`, hook, ""))
	w.deliver(t, id)
	w.tell(t)
	if diff := cmp.Diff([]string{"shipped"}, w.names()); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
}

func TestTimerOfWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everything(w, t)
	const text = `{"identifier":"cart","properties":{"ends":"2026-03-01T10:20:31Z"}}`
	e := w.create(t, text, w.machine())
	fired := &feed.Change{Timer: &feed.Timer{Key: e.Key, EntityID: e.ID, Property: "ends", At: start.Add(time.Second), Fired: start.Add(time.Hour)}}
	must(t, w.service.DeleteEntity(t.Context(), "service", "cart", false, w.machine()))
	must(t, w.Handle(t.Context(), fired))
	again := w.create(t, text, w.machine())
	must(t, w.Handle(t.Context(), fired))
	if len(w.started) != 0 {
		t.Errorf("started %v of an entity that is gone", w.names())
	}
	fired.Timer.EntityID = again.ID
	must(t, w.Handle(t.Context(), fired))
	if len(w.started) != 1 || !w.started[0].event.At.Equal(start.Add(time.Hour)) {
		t.Errorf("started %+v, want one, at the time at which the timer was told of", w.started)
	}
	other := *fired.Timer
	other.At = start.Add(2 * time.Second)
	must(t, w.Handle(t.Context(), &feed.Change{Timer: &other}))
	if len(w.started) != 2 || w.started[0].event.ID == w.started[1].event.ID {
		t.Errorf("another value of the timer is not another event: %+v", w.started)
	}
}

// neighbours are what is told beside automations.
type neighbours struct {
	calls []string
	err   error
}

func (n *neighbours) Reconcile(_ context.Context, before, after *action.Record) error {
	name := func(r *action.Record) string {
		if r == nil {
			return "nothing"
		}
		return r.Identifier
	}
	n.calls = append(n.calls, name(before)+" becomes "+name(after))
	return n.err
}

func (n *neighbours) Deliver(_ context.Context, e *event.Event, b *catalog.Blueprint) error {
	n.calls = append(n.calls, e.Action+" "+b.Identifier+" "+e.Entity)
	return n.err
}

// A definition that gets another identifier is told of as deleted and as new, in any order.
func TestScheduleOfARenamedAutomation(t *testing.T) {
	t.Parallel()
	n := &neighbours{}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Schedules = n })
	w.define(t, scheduled("a", "rate(1 hour)", "", ""))
	before, err := w.actions.Get(t.Context(), "a")
	must(t, err)
	after := *before
	after.Identifier = "b"
	after.Definition = json.RawMessage(strings.Replace(string(before.Definition), `"a"`, `"b"`, 1))
	must(t, w.actions.Replace(t.Context(), "a", &after))
	must(t, w.Handle(t.Context(), &feed.Change{Action: &feed.Action{Before: before}}))
	must(t, w.Handle(t.Context(), &feed.Change{Action: &feed.Action{After: &after}}))
	must(t, w.actions.Delete(t.Context(), "b", "client", w.now))
	must(t, w.Handle(t.Context(), &feed.Change{Action: &feed.Action{Before: &after}}))
	if diff := cmp.Diff([]string{"a becomes b", "nothing becomes b", "b becomes nothing"}, n.calls); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestSchedulesAndChangelog(t *testing.T) {
	t.Parallel()
	n := &neighbours{}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Schedules, c.Changelog = n, n })
	w.define(t, onEntity("a", "ENTITY_CREATED"))
	w.create(t, `{"identifier":"cart"}`, w.machine())
	w.patch(t, "cart", `{"title":"Cart"}`, w.machine())
	w.patch(t, "cart", `{"title":"Cart"}`, w.machine())
	w.tell(t)
	record := &action.Record{Identifier: "a", ID: "action_gone", Definition: json.RawMessage(scheduled("a", "rate(1 hour)", "", ""))}
	for _, c := range []*feed.Action{{After: record}, {Before: record, After: record}, {Before: record}} {
		must(t, w.Handle(t.Context(), &feed.Change{Action: c}))
	}
	want := []string{"CREATE service cart", "UPDATE service cart", "nothing becomes a", "a becomes a", "a becomes nothing"}
	if diff := cmp.Diff(want, n.calls); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	// One that cannot be reached holds back no automation.
	n.err = fault.Busy(nil, time.Second, "unplugged")
	w.started = nil
	w.create(t, `{"identifier":"other"}`, w.machine())
	if err := w.Handle(t.Context(), w.untold[0]); fault.KindOf(err) != fault.Unavailable || len(w.started) != 1 {
		t.Errorf("error %v, started %v", err, w.names())
	}
	if err := w.Handle(t.Context(), &feed.Change{Action: &feed.Action{After: record}}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error %v", err)
	}
}
