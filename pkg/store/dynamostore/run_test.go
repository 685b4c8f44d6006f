package dynamostore_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/storetest"
)

const retention = 365 * 24 * time.Hour

// tables are the two tables of one test.
type tables struct {
	client        *dynamodb.Client
	runs, catalog string
}

// newTables makes tables that no other test has.
func newTables(t testing.TB) tables {
	t.Helper()
	client, runs, catalog := opentest.DynamoDB(t)
	return tables{client, runs, catalog}
}

func (s tables) store(client dynamostore.Client) *dynamostore.Runs {
	return dynamostore.NewRuns(client, s.runs, retention, time.Now)
}

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	storetest.Runs(t, func(t *testing.T) storetest.RunStore {
		s := newTables(t)
		return storetest.RunStore{
			Store: s.store(s.client),
			OrphanBody: func(t *testing.T, id string, b *run.Body) {
				dying := s.store(noHeads{s.client})
				r := &run.Run{ID: id}
				r.Start(time.Now(), "")
				if err := dying.Create(t.Context(), r, b); !errors.Is(err, errNoHead) {
					t.Fatalf("create without a head: %v", err)
				}
			},
			DropBody: func(t *testing.T, id string) {
				_, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.runs, Key: key(id, "body")})
				if err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

var errNoHead = errors.New("no head is written here")

// noHeads is a client whose process dies before it writes a head.
type noHeads struct{ *dynamodb.Client }

func (c noHeads) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if in.Item["sk"].(*types.AttributeValueMemberS).Value == "head" {
		return nil, errNoHead
	}
	return c.Client.PutItem(ctx, in, o...)
}

// newRun returns a run that started at a time, and its body.
func newRun(at time.Time) (*run.Run, *run.Body) {
	r := &run.Run{
		ID: run.NewID(at), Action: run.Action{Identifier: "scaffold", ID: "action_0123456789abcdef"},
		Backend: invocation.BackendWebhook, Source: run.SourceAPI, UserID: "client_1", CreatedBy: "client_1",
	}
	r.Start(at.UTC().Truncate(time.Millisecond), "")
	return r, &run.Body{Properties: json.RawMessage(`{"name":"cart"}`)}
}

// item reads an item as it is stored; nil when there is none.
func (s tables) item(t *testing.T, table, pk, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: key(pk, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

// sizeOf returns an item's size as DynamoDB counts it (developer guide, "Item sizes and formats"):
// names and texts by their bytes, numbers by half their digits and one.
func sizeOf(t *testing.T, i map[string]types.AttributeValue) int {
	t.Helper()
	size := 0
	for name, v := range i {
		size += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			size += (len(v.Value)+1)/2 + 1
		case *types.AttributeValueMemberM:
			size += 3 + len(v.Value) + sizeOf(t, v.Value)
		default:
			t.Fatalf("attribute %s is a %T", name, v)
		}
	}
	return size
}

func TestHeadIsBelowAKiB(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	long := strings.Repeat("i", 60)
	now := time.Now().UTC().Truncate(time.Millisecond)
	r, b := newRun(now)
	r.Action = run.Action{Identifier: long, Title: "Scaffold a service", Icon: "Git", ID: "action_0123456789abcdef"}
	r.Blueprint, r.Entity, r.ExternalRunID = long, long, long
	r.UserID, r.UserEmail, r.CreatedBy, r.UpdatedBy = "usr_0123456789abcdef", "ada@example.com", "usr_0123456789abcdef", "client_0123456789ab"
	r.ImpersonatedBy = "client_0123456789ab"
	r.Delivery.Host = "https://hooks.checkout.example.com:443"
	b.Properties = json.RawMessage(`{"a":"` + strings.Repeat("x", 100<<10) + `"}`)
	if err := runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	var stored *run.Run
	for _, move := range []func(*run.Run) error{
		func(r *run.Run) error { _, err := r.Claim(now, 1, strings.Repeat("o", 32), time.Minute); return err },
		func(r *run.Run) error {
			return r.Settle(now, 1, strings.Repeat("o", 32), time.Hour, run.Outcome{
				StatusCode: 503, Error: "the target answered 503", Duration: 12 * time.Second, NextTry: now.Add(time.Minute),
			})
		},
		func(r *run.Run) error {
			// Reports come once the run is delivered.
			r.Delivery.Host = ""
			r.Summary, r.Link = strings.Repeat("s", 64<<10), json.RawMessage(`["https://example.com/`+strings.Repeat("l", 2000)+`"]`)
			return nil
		},
	} {
		var err error
		stored, err = runs.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) { return &run.Write{}, move(r) })
		if err != nil {
			t.Fatal(err)
		}
		if size := sizeOf(t, s.item(t, s.runs, r.ID, "head")); size >= 1<<10 {
			t.Errorf("a head of %d bytes, want less than 1,024", size)
		}
	}
	got, err := runs.Get(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, got); diff != "" {
		t.Errorf("run (-returned +stored):\n%s", diff)
	}
}

// The largest head there is: all decisions, all attempts, everything of its longest.
func TestHeadIsBelow16KiB(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	now := time.Now().UTC().Truncate(time.Millisecond)
	r, b := newRun(now)
	r.Action = run.Action{Identifier: strings.Repeat("é", 100), Title: strings.Repeat("t", 300), Icon: strings.Repeat("i", 300), ID: "action_0123456789abcdef"}
	r.Blueprint, r.Entity, r.ExternalRunID = strings.Repeat("é", 100), strings.Repeat("e", 1000), strings.Repeat("x", 500)
	r.StatusLabel, r.Delivery.Waiting = strings.Repeat("l", 300), strings.Repeat("w", 300)
	r.Delivery.Host = strings.Repeat("h", 300)
	r.UserID, r.UserEmail = "usr_0123456789abcdef", strings.Repeat("m", 320)
	for n := range run.MaxApprovers + 1 {
		r.Decisions = append(r.Decisions, run.Decision{
			UserID: fmt.Sprintf("usr_%016d", n), State: run.Approved, At: now, Description: strings.Repeat("d", run.MaxDecisionText),
		})
	}
	for n := range run.MaxAttempts {
		r.Attempts = append(r.Attempts, run.Attempt{
			Generation: 1, Number: n + 1, StartedAt: now, DurationMs: 25_000, StatusCode: 503, Error: strings.Repeat("e", run.MaxAttemptError), NextAttemptAt: &now,
		})
	}
	if err := runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	if size := sizeOf(t, s.item(t, s.runs, r.ID, "head")); size >= 16<<10 {
		t.Errorf("a head of %d bytes, want less than 16 KiB", size)
	}
}

// A payload of 1 MiB that no compression shrinks takes several items.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	noise := make([]byte, 768<<10)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(noise)
	r, b := newRun(time.Now())
	b.Properties = json.RawMessage(`{"text":"` + text + `"}`)
	b.Invocation = &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Payload: json.RawMessage(`{"body":"` + text + `"}`),
		Webhook: &invocation.Webhook{URL: "https://example.com", Method: "POST", Body: &text},
	}
	if err := runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	if s.item(t, s.runs, r.ID, "body#1") == nil {
		t.Error("the body is one item, the test needs a larger one")
	}
	read := func() run.Body {
		got, err := runs.Read(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.Body
	}
	if diff := cmp.Diff(*b, read()); diff != "" {
		t.Error("the body came back changed")
	}
	page, err := runs.List(t.Context(), run.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Runs) != 1 || !cmp.Equal(*b, page.Runs[0].Body) {
		t.Error("the body was listed changed")
	}
	if _, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.runs, Key: key(r.ID, "body#1")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run.Body{Properties: json.RawMessage("{}")}, read()); diff != "" {
		t.Error("a body without one of its items is not read as a missing one")
	}
}

// Of writers that race, each has its own texts: the winner's head never names a loser's.
func TestRacingTextsDoNotMix(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	r, b := newRun(time.Now())
	if err := runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 12 {
		all.Go(func() {
			mark := strings.Repeat(string(rune('a'+n)), 500)
			_, err := runs.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
				r.StatusLabel, r.Summary, r.Link = mark[:1], mark, json.RawMessage(`"`+mark+`"`)
				return &run.Write{Response: json.RawMessage(`"` + mark + `"`)}, nil
			})
			if err != nil {
				t.Error(err)
			}
			got, err := runs.Read(t.Context(), r.ID)
			if err != nil {
				t.Error(err)
				return
			}
			want := strings.Repeat(got.StatusLabel, 500)
			if got.Summary != want || string(got.Link) != `"`+want+`"` || string(got.Response) != `"`+want+`"` {
				t.Errorf("label %s stands beside summary %.1s, link %.2s, response %.2s", got.StatusLabel, got.Summary, got.Link, got.Response)
			}
		})
	}
	all.Wait()
}

func TestHostileIDs(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	for name, id := range map[string]string{
		"empty": "", "no id": "..", "slash": "r_/../../../../../", "3000 bytes": strings.Repeat("r", 3000),
		"not UTF-8": "r_\xff\xfe0123456789abcd", "separator": "r_0123#456789abcd", "another item": "idem#key",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := runs.Get(t.Context(), id)
			_, read := runs.Read(t.Context(), id)
			_, updated := runs.Update(t.Context(), id, func(*run.Run) (*run.Write, error) { return &run.Write{}, nil })
			logged := runs.AppendLog(t.Context(), run.NewLog(time.Now(), id, run.Own, "x"))
			for _, err := range []error{got, read, updated, logged} {
				if err == nil || fault.KindOf(err) != fault.NotFound {
					t.Errorf("got %v, want not found", err)
				}
			}
			if lines, err := runs.Logs(t.Context(), id, run.LogQuery{Limit: 10}); err != nil || len(lines) != 0 {
				t.Errorf("%d lines, %v", len(lines), err)
			}
			if attempts, err := runs.Attempts(t.Context(), id); err != nil || len(attempts) != 0 {
				t.Errorf("%d attempts, %v", len(attempts), err)
			}
			// Where an id is a bound it may be any text.
			valid := run.NewID(time.Now())
			if _, err := runs.Logs(t.Context(), valid, run.LogQuery{Limit: 10, After: id}); err != nil {
				t.Errorf("lines after it: %v", err)
			}
			active := true
			for _, f := range []run.Filter{{From: id}, {From: id, Active: &active}} {
				f.Limit = 10
				if _, err := runs.List(t.Context(), f); err != nil {
					t.Errorf("runs from it: %v", err)
				}
			}
		})
	}
}

// Everything of a run is gone once its time has passed, whether DynamoDB has deleted it or not.
func TestExpiredRunLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	now := time.Now()
	r, b := newRun(now)
	runs := s.store(s.client)
	if err := runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	_, err := runs.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
		return &run.Write{
			Logs:   []*run.Log{run.NewLog(now, r.ID, run.Own, "x")},
			Closed: []run.Attempt{{Generation: 1, Number: 1}}, ClosedGeneration: 1,
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at   time.Time
		want int
	}{
		"within":  {now.Add(retention - time.Minute), 1},
		"outside": {now.Add(retention + time.Minute), 0},
	} {
		t.Run(name, func(t *testing.T) {
			runs := dynamostore.NewRuns(s.client, s.runs, retention, func() time.Time { return c.at })
			lines, err := runs.Logs(t.Context(), r.ID, run.LogQuery{Limit: 10})
			if err != nil || len(lines) != c.want {
				t.Errorf("%d lines, %v; want %d", len(lines), err, c.want)
			}
			attempts, err := runs.Attempts(t.Context(), r.ID)
			if err != nil || len(attempts) != c.want {
				t.Errorf("%d attempts, %v; want %d", len(attempts), err, c.want)
			}
			due, err := runs.Due(t.Context(), c.at, 10)
			if err != nil || len(due) != c.want {
				t.Errorf("%d runs are due, %v; want %d", len(due), err, c.want)
			}
			page, err := runs.List(t.Context(), run.Filter{Limit: 10})
			if err != nil || len(page.Runs) != c.want {
				t.Errorf("%d runs are listed, %v; want %d", len(page.Runs), err, c.want)
			}
		})
	}
}
