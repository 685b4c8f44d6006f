package local_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/local"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	triggers "longshore/pkg/trigger"
)

// errDead is what a process that has died gets from everything that it calls: no error that our code
// tries again.
var errDead = fmt.Errorf("the process is dead: %w", context.Canceled)

// fuse lets a process die at one of its calls of store, queue or target, which it counts: that call and
// all later ones fail and do nothing or, with after, that one is made and its result lost.
type fuse struct {
	at    int
	after bool

	mu    sync.Mutex
	calls int
}

// do makes a call of a process that may be dead; a nil fuse never blows.
func (f *fuse) do(call func() error) error {
	if f == nil {
		return call()
	}
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	if n > f.at || n == f.at && !f.after {
		return errDead
	}
	if err := call(); err != nil {
		return err
	}
	if n == f.at {
		return errDead
	}
	return nil
}

// blown says that the process is dead.
func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls >= f.at
}

// fused is do for calls with a result.
func fused[T any](f *fuse, call func() (T, error)) (result T, err error) {
	err = f.do(func() (err error) {
		result, err = call()
		return err
	})
	if errors.Is(err, errDead) {
		var none T
		return none, err
	}
	return result, err
}

// parts are what a process works with.
type parts struct {
	runs     run.Store
	queue    queue.Queue
	accepter triggers.Accepter
	settler  dispatch.Settler
	actions  action.Store
	catalog  catalog.Store
}

// apart makes accepter and settler of a store and a queue that share no transaction.
func (p *parts) apart() *parts {
	log := slog.New(slog.DiscardHandler)
	p.accepter = &triggers.StoreAndSend{Store: p.runs, Sender: p.queue, Log: log}
	p.settler = &dispatch.StoreAndSend{Runs: p.runs, Send: p.queue, Log: log}
	return p
}

// mortalRuns is a store whose process may die.
type mortalRuns struct {
	run.Store
	fuse *fuse
}

func (m mortalRuns) Create(ctx context.Context, r *run.Run, b *run.Body) error {
	return m.fuse.do(func() error { return m.Store.Create(ctx, r, b) })
}

func (m mortalRuns) Get(ctx context.Context, id string) (*run.Run, error) {
	return fused(m.fuse, func() (*run.Run, error) { return m.Store.Get(ctx, id) })
}

func (m mortalRuns) Read(ctx context.Context, id string) (*run.Record, error) {
	return fused(m.fuse, func() (*run.Record, error) { return m.Store.Read(ctx, id) })
}

func (m mortalRuns) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	return fused(m.fuse, func() (*run.Run, error) { return m.Store.Update(ctx, id, move) })
}

func (m mortalRuns) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return fused(m.fuse, func() ([]string, error) { return m.Store.Due(ctx, now, limit) })
}

func (m mortalRuns) Pending(ctx context.Context, now time.Time, f run.PendingFilter) ([]string, error) {
	return fused(m.fuse, func() ([]string, error) { return m.Store.Pending(ctx, now, f) })
}

func (m mortalRuns) AppendLog(ctx context.Context, l *run.Log) error {
	return m.fuse.do(func() error { return m.Store.AppendLog(ctx, l) })
}

func (m mortalRuns) Reserved(ctx context.Context, key string, now time.Time) (held run.Reservation, found bool, err error) {
	held, err = fused(m.fuse, func() (run.Reservation, error) {
		held, found, err = m.Store.Reserved(ctx, key, now)
		return held, err
	})
	return held, found && err == nil, err
}

func (m mortalRuns) Reserve(ctx context.Context, want run.Reservation, now time.Time) (held run.Reservation, won bool, err error) {
	held, err = fused(m.fuse, func() (run.Reservation, error) {
		held, won, err = m.Store.Reserve(ctx, want, now)
		return held, err
	})
	return held, won && err == nil, err
}

// mortalQueue is a queue whose process may die.
type mortalQueue struct {
	queue.Queue
	fuse *fuse
}

func (m mortalQueue) Send(ctx context.Context, backend string, message queue.Message, delay time.Duration, group string) error {
	return m.fuse.do(func() error { return m.Queue.Send(ctx, backend, message, delay, group) })
}

func (m mortalQueue) Ack(ctx context.Context, backend string, receipts ...string) error {
	return m.fuse.do(func() error { return m.Queue.Ack(ctx, backend, receipts...) })
}

// mortalCommits are commits whose process may die: each is one call.
type mortalCommits struct {
	commits *local.Commits
	fuse    *fuse
}

func (m mortalCommits) Accept(ctx context.Context, r *run.Run, b *run.Body, message *queue.Message, line *run.Log) error {
	return m.fuse.do(func() error { return m.commits.Accept(ctx, r, b, message, line) })
}

func (m mortalCommits) Settle(ctx context.Context, received queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	return fused(m.fuse, func() (*run.Run, error) { return m.commits.Settle(ctx, received, id, move, next) })
}

// opening returns a function that makes the parts of one process more, on the same data.
type opening func(t *testing.T, now func() time.Time) func(*fuse) *parts

// sqliteParts keeps everything in one file; commits says that runs are accepted and settled in one commit, as
// the local process does, and not in the steps of the functions.
func sqliteParts(commits bool) opening {
	return func(t *testing.T, now func() time.Time) func(*fuse) *parts {
		db := opentest.SQLite(t)
		runs, entities, actions, messages := openSQLiteParts(t, db, now)
		return func(f *fuse) *parts {
			p := &parts{runs: mortalRuns{runs, f}, queue: mortalQueue{messages, f}, actions: actions, catalog: entities}
			if !commits {
				return p.apart()
			}
			c := mortalCommits{&local.Commits{DB: db, Runs: runs, Queue: messages}, f}
			p.accepter, p.settler = c, c
			return p
		}
	}
}

func openSQLiteParts(t *testing.T, db *sqlite.DB, now func() time.Time) (*sqlitestore.Runs, *sqlitestore.Catalog, *sqlitestore.Actions, *sqlitequeue.Queue) {
	t.Helper()
	runs, err := sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{Now: now, IndexLag: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	entities, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	actions, err := sqlitestore.NewActions(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := sqlitequeue.New(t.Context(), db, sqlitequeue.Options{Now: now, Chaos: true})
	if err != nil {
		t.Fatal(err)
	}
	return runs, entities, actions, messages
}

// mortalHTTP is the HTTP client of a process that may die at any request to DynamoDB or SQS.
type mortalHTTP struct{ fuse *fuse }

func (m mortalHTTP) Do(r *http.Request) (*http.Response, error) {
	answer, err := fused(m.fuse, func() (*http.Response, error) { return http.DefaultClient.Do(r) })
	if answer == nil && err == nil {
		err = errDead
	}
	return answer, err
}

// awsParts keeps everything in DynamoDB and SQS. Each request to them is a call.
func awsParts(t *testing.T, now func() time.Time) func(*fuse) *parts {
	return awsPartsFor(queue.Visibility)(t, now)
}

// awsPartsFor is awsParts with another visibility of messages, which passes by the queue's own clock.
func awsPartsFor(visibility time.Duration) opening {
	return func(t *testing.T, now func() time.Time) func(*fuse) *parts { return openAWSParts(t, now, visibility) }
}

func openAWSParts(t *testing.T, now func() time.Time, visibility time.Duration) func(*fuse) *parts {
	database, messages := emulator.Config(emulator.DynamoDB(t)), emulator.Config(emulator.SQS(t))
	_, runs, entities := opentest.DynamoDB(t)
	urls, err := sqsqueue.CreateQueues(t.Context(), sqs.NewFromConfig(messages), map[string]string{
		invocation.BackendWebhook: runs[:8] + rand.Text() + "-webhook", queue.DeadLetter: runs[:8] + rand.Text() + "-deadletter",
	}, visibility)
	if err != nil {
		t.Fatal(err)
	}
	return func(f *fuse) *parts {
		table := dynamodb.NewFromConfig(database, func(o *dynamodb.Options) {
			o.HTTPClient, o.Retryer = mortalHTTP{f}, aws.NopRetryer{}
		})
		sends := sqs.NewFromConfig(messages, func(o *sqs.Options) { o.HTTPClient, o.Retryer = mortalHTTP{f}, aws.NopRetryer{} })
		p := &parts{
			runs: &run.Audited{
				Store: dynamostore.NewRuns(table, runs, 365*24*time.Hour, now),
				Audit: dynamocatalog.NewAudit(table, entities, 0, now), Log: slog.New(slog.DiscardHandler),
			},
			queue: sqsqueue.New(sends, urls), actions: dynamocatalog.NewActions(table, entities),
			catalog: dynamocatalog.NewCatalog(table, entities, now),
		}
		return p.apart()
	}
}
