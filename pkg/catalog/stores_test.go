package catalog_test

import (
	"encoding/json"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// onStores runs a test on an empty catalog in each store.
func onStores(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		s, err := sqlitestore.NewCatalog(t.Context(), opentest.SQLite(t))
		if err != nil {
			t.Fatal(err)
		}
		test(t, newWorld(s))
	})
	t.Run("DynamoDB", func(t *testing.T) {
		t.Parallel()
		client, _, table := opentest.DynamoDB(t)
		test(t, newWorld(dynamocatalog.NewCatalog(client, table, time.Now)))
	})
}

// world is a catalog whose clock stands at now.
type world struct {
	store   catalog.Store
	service *catalog.Service
	reader  *catalog.Reader
}

func newWorld(s catalog.Store) *world {
	clock := func() time.Time { return now }
	return &world{store: s, service: catalog.NewService(s, clock), reader: catalog.NewReader(s, clock)}
}

var author = catalog.Author{ID: "client_1", Origin: "API", At: now}

func (w *world) blueprint(t *testing.T, text string) {
	t.Helper()
	if _, err := w.service.CreateBlueprint(t.Context(), json.RawMessage(text), false, author); err != nil {
		t.Fatalf("create blueprint %s: %v", text, err)
	}
}

func (w *world) entity(t *testing.T, blueprint, text string) {
	t.Helper()
	if _, err := w.service.CreateEntity(t.Context(), blueprint, json.RawMessage(text), catalog.EntityWrite{By: author}); err != nil {
		t.Fatalf("create entity %s: %v", text, err)
	}
}
