package sqlitestore_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/timer"
)

// A row that was written before timers were kept has the time of the earliest only.
func TestTimersOfAnOldRow(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openCatalog(t, db)
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	e := &catalog.Entity{
		Key: catalog.Key{Blueprint: "bp", Identifier: "cart"}, ID: "ent_1", CreatedAt: noon, UpdatedAt: noon,
		Content: json.RawMessage(`{"properties":{"a":"2026-11-25T11:00:00Z","b":"2026-11-26T12:00:00Z"}}`),
		Timers:  []timer.Timer{{Property: "a", At: noon.Add(-time.Hour)}, {Property: "b", At: noon.Add(24 * time.Hour)}},
	}
	if err := s.CreateEntity(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec("UPDATE entities SET timers = ''")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	late, err := s.LateTimers(t.Context(), noon, 10)
	if err != nil || len(late) != 1 {
		t.Fatalf("late are %v, %v", late, err)
	}
	if n, err := s.FireTimers(t.Context(), late[0], noon); n != 1 || err != nil {
		t.Errorf("%d fired, %v; want one", n, err)
	}
	got, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.Timers[1:], got.Timers); diff != "" {
		t.Errorf("timers (-want +got):\n%s", diff)
	}
}
