package dispatch_test

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/dispatch/dispatchtest"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/sqlitestore"
)

func TestCrashesOnSQLite(t *testing.T) {
	t.Parallel()
	dispatchtest.Crashes(t, func(t *testing.T) (run.Store, queue.Queue) {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("close the database: %v", err)
			}
		})
		runs, err := sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{})
		if err != nil {
			t.Fatal(err)
		}
		messages, err := sqlitequeue.New(t.Context(), db, sqlitequeue.Options{Chaos: true})
		if err != nil {
			t.Fatal(err)
		}
		return runs, messages
	})
}

func TestCrashesOnAWS(t *testing.T) {
	t.Parallel()
	database := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)))
	messages := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	dispatchtest.Crashes(t, func(t *testing.T) (run.Store, queue.Queue) {
		prefix := rand.Text()
		runs := prefix + "-runs"
		if err := dynamostore.CreateTables(t.Context(), database, runs, prefix+"-catalog"); err != nil {
			t.Fatal(err)
		}
		urls, err := sqsqueue.CreateQueues(t.Context(), messages, map[string]string{
			invocation.BackendWebhook: prefix + "-webhook", queue.DeadLetter: prefix + "-deadletter",
		}, queue.Visibility)
		if err != nil {
			t.Fatal(err)
		}
		return dynamostore.NewRuns(database, runs, 365*24*time.Hour, time.Now), sqsqueue.New(messages, urls)
	})
}
