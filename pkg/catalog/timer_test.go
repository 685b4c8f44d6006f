package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/timer"
)

// The earliest timer ahead is kept by every write of an entity; one that a write sets to a past moment is due
// at once, and one that was fired stays so whatever else is written.
func TestTimers(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		w.blueprint(t, `{"identifier":"lease","title":"Lease","schema":{"properties":{"ends":{"type":"string","format":"timer"},`+
			`"warns":{"type":"string","format":"timer"},"day":{"type":"string","format":"date-time"},"n":{"type":"number"}}},`+
			`"relations":{"next":{"target":"lease"}}}`)
		at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
		soon, later, past := at(time.Hour), at(2*time.Hour), at(-time.Hour)
		post := func(upsert, text string) {
			t.Helper()
			_, err := w.service.CreateEntity(t.Context(), "lease", json.RawMessage(text), catalog.EntityWrite{By: author, Upsert: true, Merge: upsert == "merge"})
			if err != nil {
				t.Fatalf("write %s: %v", text, err)
			}
		}
		read := func(identifier string) *catalog.Entity {
			t.Helper()
			_, e, err := w.service.Entity(t.Context(), "lease", identifier)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		ends := func(step, identifier, want string) {
			t.Helper()
			got := ""
			if e := read(identifier); !e.Due().IsZero() {
				got = e.Due().Format(time.RFC3339)
			}
			if got != want {
				t.Errorf("%s: the timer is %q, want %q", step, got, want)
			}
		}
		// fired is what the clock does once it has dealt with what is due.
		fired := func(identifier string) {
			t.Helper()
			e := read(identifier)
			_, e.Timers = timer.Split(e.Timers, now)
			if err := w.store.ReplaceEntity(t.Context(), e, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		post("", fmt.Sprintf(`{"identifier":"a","properties":{"ends":%q,"warns":%q,"day":%q}}`, later, soon, at(time.Minute)))
		ends("created", "a", soon)
		post("merge", fmt.Sprintf(`{"identifier":"a","properties":{"warns":%q}}`, at(3*time.Hour)))
		ends("merged", "a", later)
		if _, err := w.service.PatchEntity(t.Context(), "lease", "a", json.RawMessage(`{"properties":{"ends":null}}`), catalog.EntityWrite{By: author}); err != nil {
			t.Fatal(err)
		}
		ends("patched", "a", at(3*time.Hour))
		post("", `{"identifier":"a","properties":{"n":1}}`)
		ends("replaced without", "a", "")
		post("", fmt.Sprintf(`{"identifier":"a","properties":{"ends":%q}}`, past))
		ends("set to the past", "a", past)
		post("merge", `{"identifier":"a","properties":{"n":2}}`)
		ends("written before it was fired", "a", past)
		fired("a")
		post("merge", `{"identifier":"a","properties":{"n":3}}`)
		ends("written after it was fired", "a", "")
		post("merge", fmt.Sprintf(`{"identifier":"a","properties":{"warns":%q}}`, soon))
		ends("another one ahead", "a", soon)
		post("merge", fmt.Sprintf(`{"identifier":"a","properties":{"ends":%q}}`, at(-2*time.Hour)))
		ends("set to another moment that is past", "a", at(-2*time.Hour))
		fired("a")

		// What changes a relation keeps the timer, as does a rename; a deletion does not.
		post("", fmt.Sprintf(`{"identifier":"b","properties":{"ends":%q},"relations":{"next":"a"}}`, soon))
		if _, err := w.service.ReplaceEntity(t.Context(), "lease", "b", json.RawMessage(fmt.Sprintf(`{"identifier":"c","properties":{"ends":%q},"relations":{"next":"a"}}`, soon)), catalog.EntityWrite{By: author}); err != nil {
			t.Fatal(err)
		}
		ends("renamed", "c", soon)
		if err := w.service.DeleteEntity(t.Context(), "lease", "a", false, author); err != nil {
			t.Fatal(err)
		}
		ends("detached", "c", soon)
		post("", `{"identifier":"d","properties":{"ends":"9999-12-31T23:59:59Z","warns":"0001-01-01T00:00:00Z"}}`)
		ends("at the ends of time", "d", "1970-01-01T00:00:00Z")

		due := func(at time.Time) (identifiers []string) {
			entities, err := w.store.DueTimers(t.Context(), at, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entities {
				identifiers = append(identifiers, e.Identifier)
			}
			slices.Sort(identifiers)
			return identifiers
		}
		if diff := cmp.Diff([]string{"d"}, due(now)); diff != "" {
			t.Errorf("due now (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"c", "d"}, due(now.Add(time.Hour))); diff != "" {
			t.Errorf("due in an hour (-want +got):\n%s", diff)
		}
	})
}
