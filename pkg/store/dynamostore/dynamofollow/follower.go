// Package dynamofollow follows the streams of both tables without Lambda, for the local process on DynamoDB.
// On AWS the streams start a function instead, which links nothing of this.
//
// It promises what package feed says of feeds. How far it has come is kept in an item of the catalog's
// table, so that another process goes on from there, on whatever machine; what happened more than a
// minute before the first process followed is not told.
package dynamofollow

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tables "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	// poll is how often a shard that has nothing new is asked; DynamoDB takes five requests a second for each.
	poll = 500 * time.Millisecond
	// look is how often new shards are looked for: a shard is closed after four hours, and another one begun.
	look = 5 * time.Second
	// keep is how often it is written down how far the streams were followed, if they were.
	keep = time.Second
	// pause is how long a stream rests after a request failed.
	pause = 2 * time.Second
	// precision is that of the times of records: they are rounded down.
	precision = time.Minute
	// keepFor is how long the last note may take.
	keepFor = 5 * time.Second
)

// Streams is what a Follower needs of the streams' client.
type Streams interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// Tables is what a Follower needs of DynamoDB's client.
type Tables interface {
	table.Client
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// Config is what a Follower works with.
type Config struct {
	Streams Streams
	Tables  Tables
	// Runs and Catalog are the names of the tables.
	Runs, Catalog string
	Decoder       *dynamofeed.Decoder
	Log           *slog.Logger
	// Poll is how often a shard that has nothing new is asked; 0 means twice a second.
	Poll time.Duration
}

// Follower follows both streams.
type Follower struct {
	c       Config
	streams []*stream
}

// Open finds the streams and how far they were followed. From its return on, every change is told: a first
// process calls it before it lets anybody make changes.
func Open(ctx context.Context, c Config) (*Follower, error) {
	if c.Poll == 0 {
		c.Poll = poll
	}
	f := &Follower{c: c}
	for _, name := range []string{c.Runs, c.Catalog} {
		out, err := c.Tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		if err != nil {
			return nil, fmt.Errorf("find the stream of table %s: %w", name, err)
		}
		// The name of a stream stays for a while after it was switched off.
		if d := out.Table; d == nil || aws.ToString(d.LatestStreamArn) == "" || d.StreamSpecification == nil ||
			!aws.ToBool(d.StreamSpecification.StreamEnabled) || d.StreamSpecification.StreamViewType != tables.StreamViewTypeNewAndOldImages {
			return nil, fmt.Errorf("table %s has no stream with new and old images", name)
		}
		s := &stream{c: c, arn: *out.Table.LatestStreamArn, notes: table.New(c.Tables, c.Catalog), read: map[string]bool{}}
		if err := s.load(ctx, time.Now()); err != nil {
			return nil, fmt.Errorf("read how far the stream of table %s was followed: %w", name, err)
		}
		f.streams = append(f.streams, s)
	}
	return f, nil
}

// Follow hands every change to a handler until the context ends, and finishes what is in hand.
func (f *Follower) Follow(ctx context.Context, h feed.Handler) {
	lanes := feed.NewLanes(h, f.c.Log)
	var all sync.WaitGroup
	for _, s := range f.streams {
		all.Go(func() { s.follow(ctx, lanes) })
	}
	all.Wait()
	lanes.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer cancel()
	for _, s := range f.streams {
		if err := s.save(ctx); err != nil {
			f.c.Log.Warn("write down how far a stream was followed: some changes will be told again", slog.Any("error", err))
		}
	}
}

// stream is the stream of one table.
type stream struct {
	c     Config
	arn   string
	notes table.Table

	mu sync.Mutex
	// since is when the first process began to follow: older records are not told.
	since time.Time
	// places is how far each shard was followed; moved says that there is something to write down.
	places map[string]*place
	moved  bool
	// read are the shards that were read to their end; all that they held has been put.
	read map[string]bool
}

// follow reads the shards, each after those that it comes from.
func (s *stream) follow(ctx context.Context, lanes *feed.Lanes) {
	var shards sync.WaitGroup
	defer shards.Wait()
	ended := make(chan struct{}, 1)
	shards.Go(func() { s.keep(ctx) })
	started := map[string]bool{}
	for ctx.Err() == nil {
		found, err := s.shards(ctx)
		if err != nil {
			s.failed(ctx, "look for shards", err)
			continue
		}
		for _, shard := range s.ready(found) {
			id := aws.ToString(shard.ShardId)
			if started[id] {
				continue
			}
			started[id] = true
			shards.Go(func() {
				s.shard(ctx, id, lanes)
				select {
				case ended <- struct{}{}:
				default:
				}
			})
		}
		select {
		case <-ended:
		case <-time.After(look):
		case <-ctx.Done():
		}
	}
}

// shards lists the shards of the stream, and forgets those that are no more.
func (s *stream) shards(ctx context.Context) (all []types.Shard, err error) {
	input := &dynamodbstreams.DescribeStreamInput{StreamArn: &s.arn}
	for {
		out, err := s.c.Streams.DescribeStream(ctx, input)
		if err != nil {
			return nil, err
		}
		all = append(all, out.StreamDescription.Shards...)
		if input.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; input.ExclusiveStartShardId == nil {
			break
		}
	}
	there := map[string]bool{}
	for _, shard := range all {
		there[aws.ToString(shard.ShardId)] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.places {
		if !there[id] && p.settled() {
			delete(s.places, id)
		}
	}
	return all, nil
}

// ready returns the shards that may be read: not read yet, and what they come from is read or gone.
func (s *stream) ready(all []types.Shard) (some []types.Shard) {
	there := map[string]bool{}
	for _, shard := range all {
		there[aws.ToString(shard.ShardId)] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range all {
		parent := aws.ToString(shard.ParentShardId)
		if !s.read[aws.ToString(shard.ShardId)] && (parent == "" || !there[parent] || s.read[parent]) {
			some = append(some, shard)
		}
	}
	return some
}

// shard reads a shard to its end.
func (s *stream) shard(ctx context.Context, id string, lanes *feed.Lanes) {
	p, fresh := s.placeOf(id)
	// last is what was put last; the place may lie behind it.
	last := p.reached()
	var next *string
	for ctx.Err() == nil {
		if next == nil {
			var err error
			if next, err = s.iterator(ctx, id, last); err != nil {
				s.failed(ctx, "read a shard", err)
				continue
			}
		}
		out, err := s.c.Streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: next})
		if err != nil {
			// There is another one for the same place.
			next = nil
			switch {
			case !isStale(err):
				s.failed(ctx, "read a shard", err)
			case isTrimmed(err) && last != "":
				last = s.lost(id)
			default:
				feed.Rest(ctx, s.c.Poll)
			}
			continue
		}
		for _, record := range out.Records {
			if !s.put(ctx, p, fresh, record, lanes) {
				return
			}
			last = aws.ToString(record.Dynamodb.SequenceNumber)
		}
		if next = out.NextShardIterator; next == nil {
			s.mu.Lock()
			s.read[id] = true
			s.mu.Unlock()
			p.end()
			s.touch()
			return
		}
		if len(out.Records) == 0 {
			feed.Rest(ctx, s.c.Poll)
		}
	}
}

// iterator returns where to go on behind a sequence number, empty for the beginning.
func (s *stream) iterator(ctx context.Context, id, last string) (*string, error) {
	input := &dynamodbstreams.GetShardIteratorInput{StreamArn: &s.arn, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if last != "" {
		input.ShardIteratorType, input.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &last
	}
	out, err := s.c.Streams.GetShardIterator(ctx, input)
	if err != nil && last != "" && isTrimmed(err) {
		return s.iterator(ctx, id, s.lost(id))
	}
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}

// lost logs that the stream does not reach back to where it was followed to, and returns the beginning.
func (s *stream) lost(id string) string {
	s.c.Log.Error("changes are older than a day and lost to the feed", slog.String("shard", id))
	return ""
}

// put hands over a record; false when the context has ended.
func (s *stream) put(ctx context.Context, p *place, fresh bool, record types.Record, lanes *feed.Lanes) bool {
	number := aws.ToString(record.Dynamodb.SequenceNumber)
	done := p.begin(number)
	r, err := decode(record)
	if err != nil {
		s.c.Log.Error("change set aside: it cannot be read", slog.String("sequence", number), slog.Any("error", err))
		done()
		return true
	}
	if isNote(r) {
		// What is written down about the place must not move it, or it would be written down for ever.
		done()
		return true
	}
	created := record.Dynamodb.ApproximateCreationDateTime
	old := fresh && created != nil && created.Before(s.since.Truncate(precision))
	if old || r.New == nil {
		done()
		s.touch()
		return true
	}
	return lanes.Put(ctx, feed.Task{
		Item: r.Item(),
		Read: func(ctx context.Context) (*feed.Change, error) { return s.c.Decoder.Change(ctx, r) },
		Done: func() { done(); s.touch() },
	})
}

// failed logs what went wrong and waits.
func (s *stream) failed(ctx context.Context, doing string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.c.Log.Error("follow the stream: "+doing, slog.Any("error", err))
	feed.Rest(ctx, pause)
}
