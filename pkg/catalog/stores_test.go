package catalog_test

import (
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/sqlitestore"
)

// onStores runs a test on an empty catalog in each store.
func onStores(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		s, err := sqlitestore.NewCatalog(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		test(t, newWorld(s))
	})
	t.Run("DynamoDB", func(t *testing.T) {
		t.Parallel()
		client := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)))
		name := rand.Text()
		if err := dynamostore.CreateTables(t.Context(), client, name+"-runs", name+"-catalog"); err != nil {
			t.Fatal(err)
		}
		test(t, newWorld(dynamocatalog.NewCatalog(client, name+"-catalog", time.Now)))
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

var by = catalog.Author{ID: "client_1", Origin: "API", At: now}

func (w *world) blueprint(t *testing.T, text string) {
	t.Helper()
	if _, err := w.service.CreateBlueprint(t.Context(), json.RawMessage(text), false, by); err != nil {
		t.Fatalf("create blueprint %s: %v", text, err)
	}
}

func (w *world) entity(t *testing.T, blueprint, text string) {
	t.Helper()
	if _, err := w.service.CreateEntity(t.Context(), blueprint, json.RawMessage(text), catalog.EntityWrite{By: by}); err != nil {
		t.Fatalf("create entity %s: %v", text, err)
	}
}
