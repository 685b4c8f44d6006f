package storetest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/run"
)

// AuditStores are an empty audit log that keeps entries for 365 days, and the stores whose changes it has.
type AuditStores struct {
	audit.Store
	Actions action.Store
	Catalog catalog.Store
	// Runs records what becomes of runs.
	Runs run.Store
}

// Audit runs every test of audit.Store, and of what other stores write into it. Open returns empty stores of
// their own at each call and closes them with t.Cleanup.
func Audit(t *testing.T, open func(t *testing.T) AuditStores) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s AuditStores)
	}{
		{"AuditByEachFilter", auditByEachFilter},
		{"AuditSameEventOnce", auditSameEventOnce},
		{"AuditMissing", auditMissing},
		{"AuditTextComesBackAsItWas", auditTextComesBackAsItWas},
		{"AuditLargeEntry", auditLargeEntry},
		{"AuditPaging", auditPaging},
		{"AuditPageEndsBySize", auditPageEndsBySize},
		{"AuditGoesBackByPages", auditGoesBackByPages},
		{"AuditOwnChangeAtOnce", auditOwnChangeAtOnce},
		{"AuditExpires", auditExpires},
		{"AuditOfARun", auditOfARun},
		{"AuditEntersWithItsDefinition", auditEntersWithItsDefinition},
		{"AuditEntersWithItsBlueprint", auditEntersWithItsBlueprint},
		{"AuditEntersWithItsEntity", auditEntersWithItsEntity},
		{"AuditEntersWithItsRun", auditEntersWithItsRun},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// newChange returns an entry of a change of an entity.
func newChange(at time.Time, identifier string, edits ...func(*audit.Entry)) *audit.Entry {
	e := audit.Entry{
		Action: audit.Update, Resource: audit.Entity, Identifier: identifier, Blueprint: "service", Entity: identifier,
		By:     audit.Author{ID: "client_1", Origin: "API", At: at},
		Before: json.RawMessage(`{"n":1}`), After: json.RawMessage(`{"n":2}`),
	}
	for _, edit := range edits {
		edit(&e)
	}
	return audit.New(e, identifier+strconv.FormatInt(at.UnixMilli(), 10), 0)
}

func recordAll(t *testing.T, s audit.Store, entries ...*audit.Entry) {
	t.Helper()
	if err := s.Record(t.Context(), entries...); err != nil {
		t.Fatalf("record: %v", err)
	}
}

func auditMissing(t *testing.T, s AuditStores) {
	now := startOfTest()
	var entries, odd []*audit.Entry
	for n := range 250 {
		e := newChange(now.Add(time.Duration(n)*time.Minute), fmt.Sprint("e", n))
		entries = append(entries, e)
		if n%2 == 1 {
			odd = append(odd, e)
		}
	}
	for n := 0; n < len(entries); n += 2 {
		recordAll(t, s, entries[n])
	}
	// Of what was kept a moment ago some may still be missing.
	eventually(t, func() string {
		missing, err := s.Missing(t.Context(), append(entries, nil)...)
		if err != nil {
			t.Fatalf("look for entries: %v", err)
		}
		return cmp.Diff(odd, missing)
	})
	if none, err := s.Missing(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("of no entries %v are missing, %v", none, err)
	}
}

// entriesOf follows a list to its last page.
func entriesOf(t *testing.T, s audit.Store, f audit.Filter) (all []*audit.Entry) {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	for range 1_000 {
		page, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if len(page.Entries) > f.Limit {
			t.Fatalf("a page of %d entries, the limit is %d", len(page.Entries), f.Limit)
		}
		all = append(all, page.Entries...)
		if page.Next == "" {
			return all
		}
		if page.Next == f.Next {
			t.Fatalf("a page of %d entries leads to itself", len(page.Entries))
		}
		f.Next = page.Next
	}
	t.Fatalf("the list does not end: %d entries", len(all))
	return nil
}

// sameEntries fails the test unless exactly these of the last two days are listed, in this order. To look
// through a year takes a while.
func sameEntries(t *testing.T, s audit.Store, f audit.Filter, want ...*audit.Entry) {
	t.Helper()
	if f.From.IsZero() {
		f.From = time.Now().AddDate(0, 0, -2)
	}
	sameEntriesEver(t, s, f, want...)
}

// sameEntriesEver is sameEntries of all that is kept.
func sameEntriesEver(t *testing.T, s audit.Store, f audit.Filter, want ...*audit.Entry) {
	t.Helper()
	// Byte by byte takes seconds for large contents.
	whole := cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })
	if diff := cmp.Diff(want, entriesOf(t, s, f), whole); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func auditByEachFilter(t *testing.T, s AuditStores) {
	now := startOfTest()
	const runID = "r_0123456789abcdef"
	at := func(n int) time.Time { return now.Add(time.Duration(n) * time.Second) }
	entity := newChange(at(1), "a")
	other := newChange(at(2), "a", func(e *audit.Entry) { e.Blueprint = "team" })
	tied := newChange(at(3), "b", func(e *audit.Entry) { e.By.RunID, e.By.Origin = runID, "AUTOMATION" })
	blueprint := newChange(at(4), "service", func(e *audit.Entry) {
		e.Action, e.Resource, e.Entity, e.Before, e.By.Email = audit.Create, audit.Blueprint, "", nil, "ada@example.com"
	})
	definition := newChange(at(5), "deploy", func(e *audit.Entry) { e.Action, e.Resource, e.Entity, e.After = audit.Delete, audit.Action, "", nil })
	own := newChange(at(6), runID, func(e *audit.Entry) { e.Resource, e.Entity = audit.Run, "a" })
	recordAll(t, s, entity, other, tied, blueprint, definition, own)
	for name, c := range map[string]struct {
		filter audit.Filter
		want   []*audit.Entry
	}{
		"none":                {audit.Filter{}, []*audit.Entry{own, definition, blueprint, tied, other, entity}},
		"identifier":          {audit.Filter{Identifier: "a"}, []*audit.Entry{other, entity}},
		"id of the entry":     {audit.Filter{Identifier: tied.ID}, []*audit.Entry{tied}},
		"unknown id":          {audit.Filter{Identifier: audit.Place(now)}, nil},
		"identifier of a run": {audit.Filter{Identifier: runID}, []*audit.Entry{own}},
		"entity":              {audit.Filter{Entity: "a"}, []*audit.Entry{own, other, entity}},
		"blueprint":           {audit.Filter{Blueprint: "team"}, []*audit.Entry{other}},
		"action":              {audit.Filter{Action: audit.Create}, []*audit.Entry{blueprint}},
		"unknown action":      {audit.Filter{Action: "MOVE"}, nil},
		"resource":            {audit.Filter{Resources: []string{audit.Action}}, []*audit.Entry{definition}},
		"resources":           {audit.Filter{Resources: []string{audit.Blueprint, audit.Action, "webhook"}}, []*audit.Entry{definition, blueprint}},
		"origin":              {audit.Filter{Origins: []string{"AUTOMATION", "UI"}}, []*audit.Entry{tied}},
		"from":                {audit.Filter{From: at(5)}, []*audit.Entry{own, definition}},
		"from between":        {audit.Filter{From: at(5).Add(time.Microsecond)}, []*audit.Entry{own}},
		"to":                  {audit.Filter{To: at(2)}, []*audit.Entry{other, entity}},
		"to between":          {audit.Filter{To: at(2).Add(-time.Microsecond)}, []*audit.Entry{entity}},
		"run":                 {audit.Filter{RunID: runID, RunFrom: at(0), RunTo: at(6)}, []*audit.Entry{own, tied}},
		"run, not its own":    {audit.Filter{RunID: runID}, []*audit.Entry{tied}},
		"one entity":          {audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: "a"}, []*audit.Entry{entity}},
		"one definition":      {audit.Filter{Resources: []string{audit.Action}, Identifier: "deploy"}, []*audit.Entry{definition}},
		"one of two kinds":    {audit.Filter{Resources: []string{audit.Action, audit.Blueprint}, Identifier: "service"}, []*audit.Entry{blueprint}},
		"together":            {audit.Filter{Entity: "a", Blueprint: "service", Action: audit.Update, From: at(1), To: at(3)}, []*audit.Entry{entity}},
		"together, with an index": {audit.Filter{
			Resources: []string{audit.Entity}, Identifier: "a", Blueprint: "service", Action: audit.Delete,
		}, nil},
	} {
		t.Run(name, func(t *testing.T) { sameEntries(t, s, c.filter, c.want...) })
	}
}

func auditSameEventOnce(t *testing.T, s AuditStores) {
	now := startOfTest()
	first := newChange(now, "a")
	recordAll(t, s, first, nil, first)
	again := newChange(now, "a", func(e *audit.Entry) { e.After = json.RawMessage(`{"n":3}`) })
	recordAll(t, s, again)
	sameEntries(t, s, audit.Filter{}, first)
	sameEntries(t, s, audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: "a"}, first)
}

func auditTextComesBackAsItWas(t *testing.T, s AuditStores) {
	long := "ü" + fmt.Sprintf("%0999d", 1)
	e := newChange(startOfTest(), long, func(e *audit.Entry) {
		e.Before = json.RawMessage(`{"z":1.50,"a":1e400,"text":"<&>  "}`)
		e.After = json.RawMessage(`{"empty":"","null":null}`)
	})
	recordAll(t, s, e)
	sameEntries(t, s, audit.Filter{}, e)
	sameEntries(t, s, audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: long}, e)
}

// large is a JSON object of that many bytes, about, that hardly gets smaller.
func large(seed uint64, size int) json.RawMessage {
	random := rand.NewChaCha8([32]byte{byte(seed)})
	bytes := make([]byte, size*3/4)
	_, _ = random.Read(bytes)
	return json.RawMessage(`{"text":"` + base64.StdEncoding.EncodeToString(bytes) + `"}`)
}

// An entity may have 350 KiB, and an entry has two of it.
func auditLargeEntry(t *testing.T, s AuditStores) {
	e := newChange(startOfTest(), "a", func(e *audit.Entry) { e.Before, e.After = large(1, 350<<10), large(2, 350<<10) })
	small := newChange(e.By.At.Add(time.Millisecond), "b")
	recordAll(t, s, e, e, small)
	sameEntries(t, s, audit.Filter{}, small, e)
}

func auditPaging(t *testing.T, s AuditStores) {
	now := startOfTest()
	var want []*audit.Entry
	for n := range 60 {
		want = append(want, newChange(now.Add(-time.Duration(n/3)*time.Hour), fmt.Sprintf("e%02d", n)))
	}
	recordAll(t, s, want...)
	slices.SortFunc(want, func(a, b *audit.Entry) int {
		if a.ID > b.ID {
			return -1
		}
		return 1
	})
	for _, limit := range []int{1, 7, 30, 60, 1000} {
		sameEntries(t, s, audit.Filter{Limit: limit}, want...)
		sameEntries(t, s, audit.Filter{Limit: limit, Blueprint: "service", Action: audit.Update}, want...)
	}
	// By an index.
	one := audit.Filter{Limit: 2, Resources: []string{audit.Entity}, Blueprint: "service", Entity: "same"}
	want = nil
	for n := range 9 {
		want = append(want, newChange(now.Add(time.Duration(-n*40)*time.Second), "same"))
	}
	recordAll(t, s, want...)
	sameEntries(t, s, one, want...)
}

func auditPageEndsBySize(t *testing.T, s AuditStores) {
	now := startOfTest()
	var want []*audit.Entry
	for n := range 12 {
		want = append(want, newChange(now.Add(time.Duration(-n)*time.Second), "a", func(e *audit.Entry) {
			e.Before, e.After = large(uint64(n), 350<<10), large(uint64(n+100), 350<<10)
		}))
	}
	recordAll(t, s, want...)
	page, err := s.List(t.Context(), audit.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(page.Entries); page.Next == "" || n == 0 || n > 9 {
		t.Errorf("a page of %d entries of 700 KiB, next %q; want it to end at about 5 MB", n, page.Next)
	}
	sameEntries(t, s, audit.Filter{}, want...)
}

// What is months old is found, if not in one call.
func auditGoesBackByPages(t *testing.T, s AuditStores) {
	now := startOfTest()
	var want []*audit.Entry
	for _, days := range []int{0, 1, 30, 31, 32, 100, 300, 364} {
		want = append(want, newChange(now.AddDate(0, 0, -days), "a"))
	}
	recordAll(t, s, want...)
	sameEntriesEver(t, s, audit.Filter{}, want...)
	sameEntriesEver(t, s, audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: "a"}, want...)
	sameEntriesEver(t, s, audit.Filter{From: now.AddDate(0, 0, -31), To: now.AddDate(0, 0, -30)}, want[2:4]...)
	sameEntriesEver(t, s, audit.Filter{To: now.AddDate(0, 0, -200)}, want[6:]...)
	sameEntriesEver(t, s, audit.Filter{From: now.AddDate(1, 0, 0)})
	sameEntriesEver(t, s, audit.Filter{To: now.AddDate(-10, 0, 0)})
	sameEntriesEver(t, s, audit.Filter{From: now, To: now.AddDate(0, 0, -1)})
}

func auditOwnChangeAtOnce(t *testing.T, s AuditStores) {
	// Entries of one millisecond have no order.
	began := startOfTest().Add(-20 * time.Millisecond)
	for n := range 20 {
		e := newChange(began.Add(time.Duration(n)*time.Millisecond), fmt.Sprintf("e%d", n), func(e *audit.Entry) { e.By.RunID = fmt.Sprintf("r_%016d", n) })
		recordAll(t, s, e)
		sameEntries(t, s, audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: e.Entity}, e)
		sameEntries(t, s, audit.Filter{RunID: e.By.RunID}, e)
		page, err := s.List(t.Context(), audit.Filter{Limit: 1})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].ID != e.ID {
			t.Errorf("the newest entry: got %v, %v, want %s", page, err, e.ID)
		}
	}
}

func auditExpires(t *testing.T, s AuditStores) {
	now := startOfTest()
	young, old := newChange(now.AddDate(0, 0, -364), "a"), newChange(now.AddDate(0, 0, -366), "a")
	recordAll(t, s, young, old)
	sameEntriesEver(t, s, audit.Filter{}, young)
	sameEntriesEver(t, s, audit.Filter{Resources: []string{audit.Entity}, Blueprint: "service", Entity: "a"}, young)
	sameEntriesEver(t, s, audit.Filter{Identifier: old.ID})
}

// A run's own changes are found wherever they lie between its creation and its end, and once.
func auditOfARun(t *testing.T, s AuditStores) {
	now := startOfTest()
	began := now.AddDate(0, 0, -40)
	r, _ := newRun(began)
	own := func(at time.Time) *audit.Entry {
		return newChange(at, r.ID, func(e *audit.Entry) { e.Resource = audit.Run })
	}
	tied := newChange(began.AddDate(0, 0, 3), "a", func(e *audit.Entry) { e.By.RunID = r.ID })
	created, reported, ended := own(began), own(began.AddDate(0, 0, 7)), own(now.Add(-time.Second))
	another := newChange(began.AddDate(0, 0, 1), "r_another000000000", func(e *audit.Entry) { e.Resource = audit.Run })
	recordAll(t, s, created, tied, reported, ended, another)
	for _, limit := range []int{1, 100} {
		sameEntriesEver(t, s, audit.Filter{RunID: r.ID, RunFrom: began, RunTo: ended.By.At, Limit: limit}, ended, reported, tied, created)
	}
	sameEntriesEver(t, s, audit.Filter{RunID: r.ID, RunFrom: began, RunTo: reported.By.At}, reported, tied, created)
}
