package dynamocatalog_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// fill writes entities with these identifiers, 20 at a time.
func fill(t *testing.T, s *dynamocatalog.Catalog, n int, edit func(*catalog.Entity)) {
	t.Helper()
	faults := make(chan error)
	slots := make(chan struct{}, 20)
	for i := range n {
		go func() {
			slots <- struct{}{}
			e := newEntity(fmt.Sprintf("e%d", i), startOfTest())
			edit(e)
			err := s.CreateEntity(t.Context(), e, nil)
			<-slots
			faults <- err
		}()
	}
	for range n {
		if err := <-faults; err != nil {
			t.Fatal(err)
		}
	}
}

// walk follows a list to its end; ctx is made anew for each page. It fails the test when an entity
// comes twice.
func walk(t *testing.T, s *dynamocatalog.Catalog, limit int, each func(page catalog.Page)) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for from := ""; ; {
		page, err := s.List(t.Context(), service, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entities) > limit {
			t.Fatalf("a page of %d entities, the limit is %d", len(page.Entities), limit)
		}
		for _, e := range page.Entities {
			if seen[e.Identifier] {
				t.Errorf("%s comes twice", e.Identifier)
			}
			seen[e.Identifier] = true
		}
		each(page)
		if from = page.Next; from == "" {
			return seen
		}
	}
}

func TestListGoesThroughAllShards(t *testing.T) {
	t.Parallel()
	s, client, name := newCatalog(t)
	const n = 200
	fill(t, s, n, func(*catalog.Entity) {})
	for _, limit := range []int{1, 7, 1000} {
		pages := 0
		if got := walk(t, s, limit, func(catalog.Page) { pages++ }); len(got) != n {
			t.Errorf("%d entities in pages of %d, want %d", len(got), limit, n)
		}
		if limit == 1000 && pages != 1 {
			t.Errorf("%d pages though one takes all", pages)
		}
	}
	if got, err := s.Count(t.Context(), service); err != nil || got != n {
		t.Errorf("count %d, %v; want %d", got, err, n)
	}
	for shard := range 16 {
		out, err := client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: &name, Select: types.SelectCount, KeyConditionExpression: pointer("pk = :pk"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":pk": &types.AttributeValueMemberS{Value: fmt.Sprintf("entity#%s#%x", service, shard)},
			},
		})
		if err != nil || out.Count < 2 || out.Count > 40 {
			t.Errorf("shard %x has %d of %d entities, %v", shard, out.Count, n, err)
		}
	}
}

func pointer(s string) *string { return &s }

// What is deleted and made while a list is read moves nothing that stays.
func TestListStaysGoodWhileOthersWrite(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	const n = 60
	fill(t, s, n, func(*catalog.Entity) {})
	now := startOfTest()
	made := 0
	got := walk(t, s, 5, func(page catalog.Page) {
		// The last of a page, which its cursor names, goes; another one comes.
		if len(page.Entities) > 0 {
			if err := s.DeleteEntity(t.Context(), page.Entities[len(page.Entities)-1], nil, catalog.Author{At: now}); err != nil {
				t.Error(err)
			}
		}
		made++
		createEntity(t, s, newEntity(fmt.Sprintf("new%d", made), now))
	})
	for i := range n {
		if !got[fmt.Sprintf("e%d", i)] {
			t.Errorf("e%d is left out", i)
		}
	}
}

func TestListRefusesForeignCursors(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	createEntity(t, s, newEntity("cart", startOfTest()))
	createEntity(t, s, newEntity("shop", startOfTest()))
	page, err := s.List(t.Context(), service, "", 1)
	if err != nil || page.Next == "" {
		t.Fatalf("page %v, %v", page, err)
	}
	plain, err := base64.RawURLEncoding.DecodeString(page.Next)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(edit func(b []byte) []byte) string {
		return base64.RawURLEncoding.EncodeToString(edit(bytes.Clone(plain)))
	}
	for _, c := range []struct{ name, blueprint, from string }{
		{"another blueprint's", "bp_other", page.Next},
		{"no base64", service, "%%%"},
		{"empty text", service, changed(func(b []byte) []byte { return b[:8] })},
		{"short", service, "AAAA"},
		{"no shard", service, changed(func(b []byte) []byte { b[8] = 'g'; return b })},
		{"no UTF-8", service, changed(func(b []byte) []byte { return append(b, 0xff) })},
		{"longer than a key", service, changed(func(b []byte) []byte { return append(b, make([]byte, 1025)...) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.List(t.Context(), c.blueprint, c.from, 1)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Details) != 1 || f.Details[0].Path != "from" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// hex returns n random hexadecimal digits, of which compression leaves half.
func hex(n int) string {
	random := rand.NewChaCha8([32]byte{})
	b := make([]byte, n/2)
	_, _ = random.Read(b)
	return fmt.Sprintf("%x", b)
}

func TestPageEndsAtItsSize(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	const n, large = 20, 340 << 10
	content := json.RawMessage(`{"title":"` + hex(large) + `"}`)
	fill(t, s, n, func(e *catalog.Entity) { e.Content = content })
	pages := 0
	got := walk(t, s, 100, func(page catalog.Page) {
		pages++
		size := 0
		for _, e := range page.Entities {
			if !bytes.Equal(e.Content, content) {
				t.Errorf("%s does not come back as it was", e.Identifier)
			}
			size += len(e.Content)
		}
		if size > 5<<20 {
			t.Errorf("a page of %d bytes", size)
		}
	})
	if len(got) != n || pages != 2 {
		t.Errorf("%d entities in %d pages, want %d in 2", len(got), pages, n)
	}
}

func TestPageEndsByTime(t *testing.T) {
	t.Parallel()
	_, client, name := newCatalog(t)
	now := time.Now()
	plain := dynamocatalog.NewCatalog(client, name, time.Now)
	const n = 64
	fill(t, plain, n, func(*catalog.Entity) {})
	for _, c := range []struct {
		name string
		// tick is how far the clock goes each time it is read, deadline the caller's.
		tick, deadline time.Duration
		pages          int
	}{
		{"time of its own", 10 * time.Second, 0, 16},
		{"time enough", 9 * time.Second, 0, 1},
		{"caller's deadline", time.Second, 3 * time.Second, 16},
		{"caller is late already", 0, time.Second, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := now
			s := dynamocatalog.NewCatalog(client, name, func() time.Time {
				defer func() { clock = clock.Add(c.tick) }()
				return clock
			})
			got := map[string]bool{}
			pages := 0
			for from := ""; ; {
				pages++
				// What counts is the store's clock; the context itself lives on.
				page, err := s.List(deadlined{t.Context(), clock.Add(c.deadline), c.deadline != 0}, service, from, 1000)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entities {
					got[e.Identifier] = true
				}
				if from = page.Next; from == "" {
					break
				}
			}
			if len(got) != n || pages != c.pages {
				t.Errorf("%d entities in %d pages, want %d in %d", len(got), pages, n, c.pages)
			}
		})
	}
}

// deadlined is a context with a deadline that nobody keeps.
type deadlined struct {
	context.Context
	at  time.Time
	has bool
}

func (d deadlined) Deadline() (time.Time, bool) { return d.at, d.has }

// doer is an HTTP client of the SDK.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestThrottledCatalogIsUnavailable(t *testing.T) {
	t.Parallel()
	client := dynamodb.NewFromConfig(emulator.Config("http://127.0.0.1:1"), func(o *dynamodb.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 400, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(strings.NewReader(`{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"arn:aws:dynamodb"}`)),
			}, nil
		})
	})
	s := dynamocatalog.NewCatalog(client, "catalog", time.Now)
	e, b := newEntity("cart", time.Now()), newBlueprint("service", time.Now())
	entries := dynamocatalog.NewAudit(client, "catalog", 0, time.Now)
	indexed := audit.Filter{Limit: 1, RunID: "r_0123456789abcdef"}
	edges := []catalog.Edge{edge(e.Key, "needs", "db")}
	for name, call := range map[string]func(context.Context) error{
		"Stamp":            func(ctx context.Context) error { _, err := s.Stamp(ctx); return err },
		"Blueprints":       func(ctx context.Context) error { _, err := s.Blueprints(ctx); return err },
		"Blueprint":        func(ctx context.Context) error { _, err := s.Blueprint(ctx, "service"); return err },
		"CreateBlueprint":  func(ctx context.Context) error { return s.CreateBlueprint(ctx, b) },
		"ReplaceBlueprint": func(ctx context.Context) error { return s.ReplaceBlueprint(ctx, "service", b) },
		"DeleteBlueprint":  func(ctx context.Context) error { return s.DeleteBlueprint(ctx, b, catalog.Author{}) },
		"Entity":           func(ctx context.Context) error { _, err := s.Entity(ctx, e.Key); return err },
		"Entities":         func(ctx context.Context) error { _, err := s.Entities(ctx, []catalog.Key{e.Key}); return err },
		"CreateEntity":     func(ctx context.Context) error { return s.CreateEntity(ctx, e, nil) },
		"edges":            func(ctx context.Context) error { return s.CreateEntity(ctx, e, edges) },
		"ReplaceEntity":    func(ctx context.Context) error { return s.ReplaceEntity(ctx, e, nil, nil) },
		"DeleteEntity":     func(ctx context.Context) error { return s.DeleteEntity(ctx, e, nil, catalog.Author{}) },
		"List":             func(ctx context.Context) error { _, err := s.List(ctx, service, "", 1); return err },
		"Record":           func(ctx context.Context) error { return entries.Record(ctx, newChange(time.Now(), "cart")) },
		"audit List":       func(ctx context.Context) error { _, err := entries.List(ctx, audit.Filter{Limit: 1}); return err },
		"audit by index":   func(ctx context.Context) error { _, err := entries.List(ctx, indexed); return err },
		"Count":            func(ctx context.Context) error { _, err := s.Count(ctx, service); return err },
		"Sources":          func(ctx context.Context) error { _, _, err := s.Sources(ctx, e.Key, "", 1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f *fault.Error
			if err := call(t.Context()); !errors.As(err, &f) || f.Kind != fault.Unavailable || strings.Contains(f.Message, "arn") {
				t.Errorf("got %v", err)
			}
		})
	}
}
