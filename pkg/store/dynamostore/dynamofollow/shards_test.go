package dynamofollow_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/store/dynamostore/dynamofollow"
	"longshore/pkg/store/opentest"
)

// shards is a stream of the catalog with the shards that a test gives it; the other stream has none. The
// emulator closes a shard after hours only.
type shards struct {
	mu sync.Mutex
	// parents are those of the shards, in the order of names; titles what the shards hold, of one entity.
	names   []string
	parents map[string]string
	titles  map[string][]string
	closed  map[string]bool
	catalog string
	// stale is how many requests are refused because an iterator is too old.
	stale int
}

func (s *shards) DescribeStream(_ context.Context, in *dynamodbstreams.DescribeStreamInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &types.StreamDescription{}
	if strings.Contains(*in.StreamArn, s.catalog) {
		// A page has one shard, the youngest first.
		n := len(s.names) - 1
		if in.ExclusiveStartShardId != nil {
			for s.names[n] != *in.ExclusiveStartShardId {
				n--
			}
			n--
		}
		shard := types.Shard{ShardId: &s.names[n]}
		if parent := s.parents[s.names[n]]; parent != "" {
			shard.ParentShardId = &parent
		}
		d.Shards = []types.Shard{shard}
		if n > 0 {
			d.LastEvaluatedShardId = shard.ShardId
		}
	}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: d}, nil
}

func (s *shards) GetShardIterator(_ context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	at := 0
	if in.SequenceNumber != nil {
		at, _ = strconv.Atoi(*in.SequenceNumber)
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: aws.String(fmt.Sprintf("%s %d", *in.ShardId, at))}, nil
}

// GetRecords returns one record at a time; numbers count from 1 in each shard.
func (s *shards) GetRecords(_ context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale > 0 {
		s.stale--
		return nil, &types.ExpiredIteratorException{}
	}
	var name string
	var at int
	if _, err := fmt.Sscanf(*in.ShardIterator, "%s %d", &name, &at); err != nil {
		return nil, err
	}
	out := &dynamodbstreams.GetRecordsOutput{}
	if at < len(s.titles[name]) {
		title := s.titles[name][at]
		text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		out.Records = []types.Record{{EventName: types.OperationTypeInsert, Dynamodb: &types.StreamRecord{
			SequenceNumber: aws.String(strconv.Itoa(at + 1)), ApproximateCreationDateTime: aws.Time(time.Now()),
			NewImage: map[string]types.AttributeValue{
				"pk": text("entity#bp_1#0"), "sk": text("cart"), "identifier": text("cart"), "id": text("ent_1"), "content": text(title),
			},
		}}}
		at++
	}
	if at < len(s.titles[name]) || !s.closed[name] {
		out.NextShardIterator = aws.String(fmt.Sprintf("%s %d", name, at))
	}
	return out, nil
}

// Shards that come of others are read after them, and what was read is not read again by the next process.
func TestShardsAreReadAfterThoseThatTheyComeFrom(t *testing.T) {
	t.Parallel()
	client, runs, catalog := opentest.DynamoDB(t)
	s := &shards{
		names: []string{"a", "b", "c"}, parents: map[string]string{"a": "long gone", "b": "a", "c": "b"},
		titles:  map[string][]string{"a": {"1", "2"}, "b": {"3"}, "c": {"4"}},
		closed:  map[string]bool{"a": true, "b": true},
		catalog: catalog, stale: 1,
	}
	follow := func(last string) (told []string) {
		t.Helper()
		f, err := dynamofollow.Open(t.Context(), dynamofollow.Config{
			Streams: s, Tables: client, Runs: runs, Catalog: catalog, Log: slog.New(slog.DiscardHandler), Poll: 10 * time.Millisecond,
			Decoder: &dynamofeed.Decoder{Catalog: dynamocatalog.NewCatalog(client, catalog, time.Now)},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		f.Follow(ctx, feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
			told = append(told, string(c.Entity.After.Content))
			if told[len(told)-1] == last {
				cancel()
			}
			return nil
		}))
		return told
	}
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, follow("4")); diff != "" {
		t.Errorf("the first process (-want +got):\n%s", diff)
	}
	s.names, s.parents["d"], s.titles["d"] = append(s.names, "d"), "c", []string{"6"}
	s.titles["c"], s.closed["c"] = append(s.titles["c"], "5"), true
	if diff := cmp.Diff([]string{"5", "6"}, follow("6")); diff != "" {
		t.Errorf("the next process (-want +got):\n%s", diff)
	}
	// The oldest ones are dropped by and by.
	s.names, s.titles["d"] = s.names[2:], append(s.titles["d"], "7")
	if diff := cmp.Diff([]string{"7"}, follow("7")); diff != "" {
		t.Errorf("the last process (-want +got):\n%s", diff)
	}
}
