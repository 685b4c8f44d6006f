package sqlitestore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
)

// Catalog is a catalog.Store. A blueprint's Rev is the stamp of its last change and an entity's the
// number of its last change among all of entities, so that no two states of one identifier ever
// share one. One database has one Catalog at a time.
type Catalog struct {
	db *sqlite.DB
	// Feed tells of the entities' changes; nil for none.
	Feed *Feed
	// stamp is the stored one, so that no reader has to ask for it: only this process moves it.
	stamp atomic.Int64
}

var _ catalog.Store = (*Catalog)(nil)

// NewCatalog returns a store over a database whose tables it makes or brings up to date.
func NewCatalog(ctx context.Context, db *sqlite.DB) (*Catalog, error) {
	// The table of stamps came with the definitions.
	if err := db.Migrate(ctx, "actions", actionSteps()...); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "catalog", catalogSchema, catalogTimers); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "timers", timersSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "audits", auditsSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "catalog migrations", migrationsSchema); err != nil {
		return nil, err
	}
	s := &Catalog{db: db}
	var stamp int64
	if err := db.Scan(ctx, "SELECT stamp FROM stamps WHERE kind = 'blueprint'", nil, &stamp); err != nil {
		return nil, sqlite.Explain(err, "read the stamp of blueprints")
	}
	s.stamp.Store(stamp)
	return s, nil
}

// Stamp implements catalog.Store.
func (s *Catalog) Stamp(context.Context) (int64, error) { return s.stamp.Load(), nil }

// nextRev raises a counter and returns it.
func nextRev(tx *sqlite.Tx, kind string) (n int64, err error) {
	if _, err := tx.Exec("UPDATE stamps SET stamp = stamp + 1 WHERE kind = ?", kind); err != nil {
		return 0, sqlite.Explain(err, "raise the stamp")
	}
	err = tx.Scan("SELECT stamp FROM stamps WHERE kind = ?", []any{kind}, &n)
	return n, sqlite.Explain(err, "read the stamp")
}

// deletion is the time in the deleted_at column of what was deleted then, which is never 0.
func deletion(at time.Time) int64 { return max(nanos(at), 1) }

// Purge removes what is left of blueprints and entities that were deleted more than an hour before a
// time. It does so in slices, so that it holds up no other writer for long.
func (s *Catalog) Purge(ctx context.Context, now time.Time) error {
	for _, text := range []string{
		"DELETE FROM blueprints WHERE rowid IN (SELECT rowid FROM blueprints WHERE deleted_at > 0 AND deleted_at < ? ORDER BY deleted_at LIMIT ?)",
		"DELETE FROM entities WHERE rowid IN (SELECT rowid FROM entities WHERE deleted_at > 0 AND deleted_at < ? ORDER BY deleted_at LIMIT ?)",
	} {
		for {
			var n int64
			if err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
				n, err = tx.Exec(text, nanos(now.Add(-deletedFor)), purgeSlice)
				return err
			}); err != nil {
				return sqlite.Explain(err, "purge the catalog")
			}
			if n < purgeSlice {
				break
			}
		}
	}
	return errors.Join(s.purgeMigrations(ctx, now), s.purgeTimers(ctx, now))
}

// place makes the token of a place in a list: what list it is, and the key that it continues behind.
func place(list, key []string) string {
	text, err := json.Marshal([][]string{list, key})
	if err != nil {
		panic(fmt.Sprintf("encode strings: %v", err)) // Strings have JSON.
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// behind returns the key of a place that place made for the list, and n empty texts for the
// beginning: every key is greater. Anything else is fault.Invalid.
func behind(from string, n int, list ...string) ([]string, error) {
	if from == "" {
		return make([]string, n), nil
	}
	text, err := base64.RawURLEncoding.DecodeString(from)
	if err == nil {
		var stored [][]string
		err = json.Unmarshal(text, &stored)
		if err == nil && len(stored) == 2 && len(stored[1]) == n && place(list, stored[1]) == from {
			return stored[1], nil
		}
	}
	return nil, fault.InvalidDetails([]fault.Detail{{Path: "from", Message: "must be the next of an answer to the same request"}})
}
