package audit

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	// DefaultRetention is how long entries are kept where nothing else is said.
	DefaultRetention = 365 * 24 * time.Hour
	// MaxPage is about how many bytes of contents a page holds before it ends.
	MaxPage = 5 << 20
	// MaxDays is how many days one call of List looks through at most, where no index leads to what is
	// asked for.
	MaxDays = 31
)

// Filter selects entries; its members are ANDed, zero ones ignored.
type Filter struct {
	// Identifier is that of what was changed, or the id of the entry itself.
	Identifier string
	// Blueprint is the blueprint that was changed or that what was changed belongs to.
	Blueprint string
	// Entity is an entity, or the entity of runs.
	Entity string
	// RunID selects the changes that are tied to a run, and those of the run itself which lie between
	// RunFrom and RunTo, both included; none of its own when RunTo is zero.
	RunID          string
	RunFrom, RunTo time.Time
	Action         string
	Resources      []string
	Origins        []string
	From, To       time.Time
	// Next is a Page's; it selects what is older.
	Next string
	// Limit is 1 to 1,000.
	Limit int
}

// Page is one page of a list.
type Page struct {
	// Entries are newest first.
	Entries []*Entry
	// Next continues behind the last of them; empty at the end. A page may be short, even empty, though Next
	// is set.
	Next string
}

// Recorder keeps entries.
type Recorder interface {
	// Record keeps those of some entries that are not there yet; nil ones are left out. fault.Unavailable
	// when the store is throttled or cannot be reached; some may then be kept.
	Record(ctx context.Context, entries ...*Entry) error
}

// Store keeps entries for as long as it was told. What is older is not listed.
type Store interface {
	Recorder
	// List returns entries newest first. A caller sees what it has just recorded; changes that others
	// made less than a second ago may be missing.
	//
	// Fault.Unavailable when the store is throttled or cannot be reached.
	List(ctx context.Context, f Filter) (*Page, error)
	// Missing returns those of some entries that are not kept, nil ones left out. It may return one that was
	// kept a moment ago.
	//
	// Fault.Unavailable as List.
	Missing(ctx context.Context, entries ...*Entry) ([]*Entry, error)
}

// Kept returns those of some entries that are not nil: writes take nil for none.
func Kept(entries []*Entry) []*Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e *Entry) bool { return e == nil })
}

// Matches reports whether the filter selects an entry, its place in the list aside.
func (f *Filter) Matches(e *Entry) bool {
	in := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	is := func(want, value string) bool { return want == "" || want == value }
	if f.RunID != "" && e.Resource == Run && (e.By.At.Before(f.RunFrom) || e.By.At.After(f.RunTo)) {
		return false
	}
	return (is(f.Identifier, e.Identifier) || f.Identifier == e.ID) &&
		is(f.Blueprint, e.Blueprint) && is(f.Entity, e.Entity) && is(f.RunID, e.Run()) && is(f.Action, e.Action) &&
		in(f.Resources, e.Resource) && in(f.Origins, e.By.Origin) &&
		(f.From.IsZero() || !e.By.At.Before(f.From)) && (f.To.IsZero() || !e.By.At.After(f.To))
}

// Run returns the run that an entry is about or tied to, empty for none.
func (e *Entry) Run() string {
	if e.Resource == Run {
		return e.Identifier
	}
	return e.By.RunID
}

// Place returns the least id that an entry of a time may have.
func Place(t time.Time) string {
	var id ulid.ULID
	// A time that no id can have is nearest to the first or the last of them.
	_ = id.SetTime(uint64(min(max(t.UnixMilli(), 0), int64(ulid.MaxTime()))))
	return id.String()
}

// Span returns between which ids the selected entries of a store are: from least on, below end. Oldest is
// the time of the oldest entry that is kept.
func (f *Filter) Span(oldest time.Time) (least, end string) {
	least, end = Place(oldest), "8" // No id begins with more than a 7.
	if !f.From.IsZero() {
		// What is younger than the beginning of From's millisecond.
		least = max(least, Place(f.From))
	}
	if !f.To.IsZero() {
		end = Place(f.To.Add(time.Millisecond))
	}
	if f.Next != "" {
		end = min(end, f.Next)
	}
	return least, end
}

// Time returns the time in an id, false when the text is none. Next is an id too.
func Time(id string) (time.Time, bool) {
	parsed, err := ulid.ParseStrict(id)
	if err != nil || parsed.String() != id {
		return time.Time{}, false
	}
	return ulid.Time(parsed.Time()).UTC(), true
}
