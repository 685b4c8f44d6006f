package dynamocatalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// throttled is an HTTP client whose requests are throttled once it has let some through.
type throttled struct {
	left atomic.Int64
	// refused counts the others.
	refused atomic.Int64
}

func (c *throttled) Do(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) >= 0 {
		return http.DefaultClient.Do(r)
	}
	c.refused.Add(1)
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"no"}`
	return &http.Response{
		StatusCode: http.StatusBadRequest, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}, nil
}

// change is a change of a catalog.
type change func(context.Context, *dynamocatalog.Catalog) error

// However many requests of a change get through before the table is throttled, all of the change is
// there afterwards or nothing; edges alone are hints, which count as nothing.
func TestThrottledChanges(t *testing.T) {
	t.Parallel()
	healthy, _, table := newCatalog(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	by := catalog.Author{ID: "client_1", At: now}
	blueprint := func(t *testing.T, identifier string) *catalog.Blueprint {
		t.Helper()
		b := newBlueprint(identifier, now)
		if err := healthy.CreateBlueprint(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		b.Rev = 1
		return b
	}
	stored := func(t *testing.T, identifier string) *catalog.Entity {
		t.Helper()
		e := newEntity(identifier, now)
		if err := healthy.CreateEntity(t.Context(), e, []catalog.Edge{edge(e.Key, "old", "x")}); err != nil {
			t.Fatal(err)
		}
		e.Rev = 1
		return e
	}
	tests := map[string]func(t *testing.T, identifier string) change{
		"create a blueprint": func(_ *testing.T, identifier string) change {
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.CreateBlueprint(ctx, newBlueprint(identifier, now))
			}
		},
		"replace a blueprint": func(t *testing.T, identifier string) change {
			b := blueprint(t, identifier)
			b.Definition = json.RawMessage(`{"new":1}`)
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.ReplaceBlueprint(ctx, identifier, b)
			}
		},
		"rename a blueprint": func(t *testing.T, identifier string) change {
			b := blueprint(t, identifier)
			b.Identifier = identifier + "-renamed"
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.ReplaceBlueprint(ctx, identifier, b)
			}
		},
		"delete a blueprint": func(t *testing.T, identifier string) change {
			b := blueprint(t, identifier)
			return func(ctx context.Context, s *dynamocatalog.Catalog) error { return s.DeleteBlueprint(ctx, b, by) }
		},
		"create an entity": func(_ *testing.T, identifier string) change {
			e := newEntity(identifier, now)
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.CreateEntity(ctx, e, []catalog.Edge{edge(e.Key, "a", "x"), edge(e.Key, "b", "y")})
			}
		},
		"replace an entity": func(t *testing.T, identifier string) change {
			e := stored(t, identifier)
			e.Content = json.RawMessage(`{"title":"New"}`)
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.ReplaceEntity(ctx, e, []catalog.Edge{edge(e.Key, "new", "x")}, []catalog.Edge{edge(e.Key, "old", "x")})
			}
		},
		"delete an entity": func(t *testing.T, identifier string) change {
			e := stored(t, identifier)
			return func(ctx context.Context, s *dynamocatalog.Catalog) error {
				return s.DeleteEntity(ctx, e, []catalog.Edge{edge(e.Key, "old", "x")}, by)
			}
		},
	}
	// seen is what there is under an identifier, in words.
	seen := func(t *testing.T, identifier string) string {
		t.Helper()
		var text string
		for _, name := range []string{identifier, identifier + "-renamed"} {
			b, err := healthy.Blueprint(t.Context(), name)
			switch {
			case err == nil:
				text += fmt.Sprintf("blueprint %s, rev %d: %s\n", name, b.Rev, b.Definition)
			case fault.KindOf(err) != fault.NotFound:
				t.Fatal(err)
			}
		}
		e, err := healthy.Entity(t.Context(), catalog.Key{Blueprint: service, Identifier: identifier})
		switch {
		case err == nil:
			text += fmt.Sprintf("entity, rev %d: %s\n", e.Rev, e.Content)
		case fault.KindOf(err) != fault.NotFound:
			t.Fatal(err)
		}
		return text
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := 0
			for through := int64(0); ; through++ {
				identifier := fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), through)
				do := prepare(t, identifier)
				before := seen(t, identifier)
				transport := &throttled{}
				transport.left.Store(through)
				client := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)), func(o *dynamodb.Options) {
					o.HTTPClient, o.RetryMaxAttempts = transport, 1
				})
				err := do(t.Context(), dynamocatalog.NewCatalog(client, table, time.Now))
				after := seen(t, identifier)
				if err != nil {
					failed++
					if fault.KindOf(err) != fault.Unavailable {
						t.Errorf("after %d requests: got %v, want it to be unavailable", through, err)
					}
					if diff := cmp.Diff(before, after); diff != "" {
						t.Errorf("after %d requests, of a change that failed (-before +after):\n%s", through, diff)
					}
					continue
				}
				if before == after {
					t.Errorf("after %d requests: nothing was changed and no error returned", through)
				}
				if transport.refused.Load() == 0 {
					break
				}
			}
			if failed == 0 {
				t.Error("no request was throttled")
			}
		})
	}
}
