package dynamocatalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/storetest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	storetest.Audit(t, func(t *testing.T) storetest.AuditStores {
		entities, client, name := newCatalog(t)
		entries := dynamocatalog.NewAudit(client, name, 0, time.Now)
		runs := name + "-runs"
		if err := dynamostore.CreateTables(t.Context(), client, runs, name); err != nil {
			t.Fatal(err)
		}
		return storetest.AuditStores{
			Store: entries, Actions: dynamocatalog.NewActions(client, name), Catalog: entities, Runs: &run.Audited{
				Store: dynamostore.NewRuns(client, runs, 365*24*time.Hour, time.Now), Audit: entries, Log: slog.New(slog.DiscardHandler),
			},
		}
	})
}

func newChange(at time.Time, identifier string) *audit.Entry {
	return audit.New(audit.Entry{
		Action: audit.Update, Resource: audit.Entity, Identifier: identifier, Blueprint: "service", Entity: identifier,
		By: audit.Author{ID: "client_1", Origin: "API", RunID: "r_0123456789abcdef", At: at.UTC().Truncate(time.Millisecond)},
	}, identifier+at.String(), 0)
}

// blind is a client whose indexes have nothing yet.
type blind struct{ *dynamodb.Client }

func (b blind) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if in.IndexName != nil {
		return &dynamodb.QueryOutput{}, nil
	}
	return b.Client.Query(ctx, in, o...)
}

func TestOwnChangeIsFoundBeforeTheIndexHasIt(t *testing.T) {
	t.Parallel()
	client, name := newTable(t)
	s := dynamocatalog.NewAudit(blind{client}, name, 0, time.Now)
	young, old := newChange(time.Now(), "cart"), newChange(time.Now().Add(-2*time.Minute), "cart")
	if err := s.Record(t.Context(), young, old); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]audit.Filter{
		"run": {RunID: young.By.RunID}, "entity": {Resources: []string{audit.Entity}, Blueprint: "service", Entity: "cart"},
	} {
		f.Limit, f.From = 10, time.Now().Add(-time.Hour)
		page, err := s.List(t.Context(), f)
		if err != nil || len(page.Entries) != 1 || page.Entries[0].ID != young.ID {
			t.Errorf("by %s: got %v, %v; want the young one, which no index has", name, page, err)
		}
	}
}

// refusing is a client that cannot write to the audit log.
type refusing struct{ *dynamodb.Client }

func (r refusing) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if pk := in.Item["pk"].(*types.AttributeValueMemberS).Value; strings.HasPrefix(pk, "audit#") {
		return nil, errors.New("unplugged")
	}
	return r.Client.PutItem(ctx, in, o...)
}

// Its author must not be told that a change failed which has happened.
func TestEntityIsWrittenThoughItsEntryIsLost(t *testing.T) {
	t.Parallel()
	client, name := newTable(t)
	var log bytes.Buffer
	s := dynamocatalog.NewCatalog(refusing{client}, name, time.Now)
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	e := newEntity("cart", startOfTest())
	if err := s.CreateEntity(t.Context(), e, nil, newChange(time.Now(), "cart")); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceEntity(t.Context(), stored, nil, nil, newChange(time.Now(), "cart")); err != nil {
		t.Error(err)
	}
	if stored, err = s.Entity(t.Context(), e.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteEntity(t.Context(), stored, nil, catalog.Author{ID: "client_1", At: startOfTest()}, newChange(time.Now(), "cart")); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "unplugged"); n != 3 {
		t.Errorf("the log names %d lost entries, want 3: %s", n, log.String())
	}
}

// A list that takes too long ends, and goes on where it ended.
func TestAuditPageEndsByTime(t *testing.T) {
	t.Parallel()
	client, name := newTable(t)
	start := time.Now().UTC().Truncate(time.Millisecond)
	writer := dynamocatalog.NewAudit(client, name, 0, time.Now)
	want := map[string]bool{}
	for n := range 30 {
		e := newChange(start.Add(-time.Duration(n)*8*time.Hour), fmt.Sprint(n))
		want[e.ID] = true
		if err := writer.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var leaps atomic.Int64
	s := dynamocatalog.NewAudit(client, name, 0, func() time.Time { return start.Add(time.Duration(leaps.Add(1)) * 4 * time.Second) })
	for limit, f := range map[string]audit.Filter{
		"every": {Limit: 1000}, "a filter": {Limit: 1000, Blueprint: "service"}, "an index": {Limit: 1000, RunID: "r_0123456789abcdef"},
	} {
		f.From = start.Add(-11 * 24 * time.Hour)
		got, pages, last := map[string]bool{}, 0, ""
		for more := true; more; more = f.Next != "" {
			page, err := s.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				if got[e.ID] || last != "" && e.ID >= last {
					t.Errorf("%s: %s comes after %s", limit, e.ID, last)
				}
				got[e.ID], last = true, e.ID
			}
			f.Next = page.Next
			pages++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", limit, diff)
		}
		if limit != "an index" && pages < 3 {
			t.Errorf("%s: %d pages, want several", limit, pages)
		}
	}
}
