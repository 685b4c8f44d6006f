package dynamocatalog_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// meter adds up the write units of requests, those of indexes included.
type meter struct {
	*dynamodb.Client

	mu     sync.Mutex
	writes float64
}

func (m *meter) add(c *types.ConsumedCapacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c != nil && c.CapacityUnits != nil {
		m.writes += *c.CapacityUnits
	}
}

func (m *meter) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.PutItem(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.UpdateItem(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.DeleteItem(ctx, in, o...)
	if err == nil {
		m.add(out.ConsumedCapacity)
	}
	return out, err
}

func TestCostOfOneEntity(t *testing.T) {
	t.Parallel()
	plain, client, name := newCatalog(t)
	now := startOfTest()
	for _, c := range []struct {
		name     string
		content  string
		relation bool
		want     [3]float64 // creation, change, deletion
	}{
		{"small", `{"title":"Small"}`, false, [3]float64{1, 1, 1}},
		{"small with a relation", `{"title":"Small"}`, true, [3]float64{2, 1, 2}},
		{"2 KiB that do not compress", `{"title":"` + hex(2<<10) + `"}`, false, [3]float64{3, 3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &meter{Client: client}
			s := dynamocatalog.NewCatalog(m, name, time.Now)
			e := newEntity(c.name, now)
			e.Content = json.RawMessage(c.content)
			var edges []catalog.Edge
			if c.relation {
				edges = []catalog.Edge{edge(e.Key, "needs", "db")}
			}
			for step, do := range []func(*catalog.Entity) error{
				func(*catalog.Entity) error { return s.CreateEntity(t.Context(), e, edges) },
				func(e *catalog.Entity) error { return s.ReplaceEntity(t.Context(), e, nil, nil) },
				func(e *catalog.Entity) error {
					return s.DeleteEntity(t.Context(), e, edges, catalog.Author{ID: "client_1", Origin: "API", At: now})
				},
			} {
				was := e
				if step > 0 {
					was = getEntity(t, plain, e.Key)
				}
				m.writes = 0
				if err := do(was); err != nil {
					t.Fatal(err)
				}
				t.Logf("step %d: %v write units", step, m.writes)
				if m.writes != c.want[step] {
					t.Errorf("step %d took %v write units, want %v", step, m.writes, c.want[step])
				}
			}
		})
	}
}

// counter counts queries and the items that they read.
type counter struct {
	*dynamodb.Client

	mu             sync.Mutex
	queries, items int
}

func (c *counter) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := c.Client.Query(ctx, in, o...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries++
	if err == nil {
		c.items += int(out.ScannedCount)
	}
	return out, err
}

// Shards are read ahead, but little of what is read does not go into the page.
func TestListReadsLittleInVain(t *testing.T) {
	t.Parallel()
	plain, client, name := newCatalog(t)
	const n = 400
	fill(t, plain, n, func(*catalog.Entity) {})
	for _, limit := range []int{10, 100, 200, 1000} {
		c := &counter{Client: client}
		walk(t, dynamocatalog.NewCatalog(c, name, time.Now), limit, func(catalog.Page) {})
		t.Logf("pages of %d: %d queries read %d items for %d entities", limit, c.queries, c.items, n)
		if c.items > n*3/2 {
			t.Errorf("pages of %d: %d items read for %d entities", limit, c.items, n)
		}
	}
}
