package dynamofeed_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/awsevent"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

// Whatever a stream holds is a change, none, or refused; what a record says of other items is not there.
func FuzzRecords(f *testing.F) {
	nothing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(`{}`))
	}))
	f.Cleanup(nothing.Close)
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &nothing.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	d := &dynamofeed.Decoder{
		Runs:    dynamostore.NewRuns(client, "runs", 365*24*time.Hour, time.Now),
		Actions: dynamocatalog.NewActions(client, "catalog"), Catalog: dynamocatalog.NewCatalog(client, "catalog", time.Now),
	}
	samples, err := filepath.Glob("../../../../events/automate-*.json")
	if err != nil || len(samples) == 0 {
		f.Fatalf("sample events: %v, %v", samples, err)
	}
	for _, name := range samples {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"1","NewImage":{"pk":{"S":"event#1"},"entities":{"S":"entity"},"at":{"N":"-1e400"}}}}]}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		handle := awsevent.Stream(func(ctx context.Context, records []awsevent.Record) int {
			for _, r := range records {
				record := dynamofeed.Record{Old: r.Old, New: r.New}
				c, err := d.Change(ctx, record)
				if c != nil && err != nil {
					t.Errorf("%s: both a change and %v", record.Item(), err)
				}
			}
			return len(records) - 1
		})
		answer, err := handle(t.Context(), event)
		if err == nil {
			if _, err := json.Marshal(answer); err != nil {
				t.Error(err)
			}
		}
	})
}
