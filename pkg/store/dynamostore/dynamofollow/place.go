package dynamofollow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	// notesPartition is where the catalog's table says how far each stream was followed. Its own records in
	// the stream are no changes, for the function behind the stream neither.
	notesPartition = "feed"
	// shardRead stands for the place behind the last record of a shard that is closed.
	shardRead = "end"
)

// place is how far a shard was followed: all records up to a sequence number are done with.
type place struct {
	mu sync.Mutex
	// number is that sequence number, empty for the beginning, and shardRead for the end.
	number string
	// begun are the records behind it, in their order.
	begun []*begun
	ended bool
}

type begun struct {
	number string
	done   bool
}

// begin takes up a record and returns what is to be called when it is done with.
func (p *place) begin(number string) (done func()) {
	b := &begun{number: number}
	p.mu.Lock()
	p.begun = append(p.begun, b)
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		b.done = true
		p.advance()
	}
}

// end says that no record comes any more.
func (p *place) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.advance()
}

func (p *place) advance() {
	for len(p.begun) > 0 && p.begun[0].done {
		p.number = p.begun[0].number
		p.begun = p.begun[1:]
	}
	if p.ended && len(p.begun) == 0 {
		p.number = shardRead
	}
}

func (p *place) reached() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number
}

// settled reports whether nothing of the shard is in hand.
func (p *place) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.begun) == 0
}

// placeOf returns the place of a shard; fresh says that the shard was never followed.
func (s *stream) placeOf(id string) (p *place, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, found := s.places[id]
	if !found {
		p = &place{}
		s.places[id] = p
	}
	return p, p.reached() == ""
}

func (s *stream) touch() {
	s.mu.Lock()
	s.moved = true
	s.mu.Unlock()
}

// load reads the note of a stream, or writes the first one.
func (s *stream) load(ctx context.Context, now time.Time) error {
	s.places = map[string]*place{}
	i, err := s.notes.Get(ctx, notesPartition, table.KeyPart(s.arn))
	if err != nil {
		return err
	}
	if i == nil {
		s.since = now
		first, won, err := s.notes.Put(ctx, s.note(map[string]string{}), "attribute_not_exists(pk)", nil)
		if err != nil || won {
			return err
		}
		i = first
	}
	s.since = i.Time("since")
	var numbers map[string]string
	if err := json.Unmarshal([]byte(i.Text("places")), &numbers); err != nil {
		return fmt.Errorf("decode places: %w", err)
	}
	for id, number := range numbers {
		s.places[id] = &place{number: number, ended: number == shardRead}
		s.read[id] = number == shardRead
	}
	return nil
}

func (s *stream) note(numbers map[string]string) table.Item {
	i := table.NewItem(notesPartition, table.KeyPart(s.arn))
	i.SetTime("since", s.since)
	text, err := json.Marshal(numbers)
	if err != nil {
		panic(fmt.Sprintf("encode texts: %v", err)) // They have JSON.
	}
	i.SetText("places", string(text))
	i.SetMark(table.NewMark())
	return i
}

// isNote reports whether a record is of a note.
func isNote(r dynamofeed.Record) bool { return table.Item(r.New).Text("pk") == notesPartition }

// save writes down how far the stream was followed, if it was.
func (s *stream) save(ctx context.Context) error {
	s.mu.Lock()
	moved, places := s.moved, maps.Clone(s.places)
	s.moved = false
	s.mu.Unlock()
	if !moved {
		return nil
	}
	numbers := map[string]string{}
	for id, p := range places {
		if number := p.reached(); number != "" {
			numbers[id] = number
		}
	}
	if _, _, err := s.notes.Put(ctx, s.note(numbers), "", nil); err != nil {
		s.touch()
		return err
	}
	return nil
}

// keep saves from time to time.
func (s *stream) keep(ctx context.Context) {
	for ctx.Err() == nil {
		feed.Rest(ctx, keep)
		if err := s.save(ctx); err != nil && ctx.Err() == nil {
			s.c.Log.Error("write down how far a stream was followed", slog.Any("error", err))
		}
	}
}

// decode reads a record of the stream.
func decode(record types.Record) (r dynamofeed.Record, err error) {
	if record.Dynamodb.OldImage != nil {
		if r.Old, err = attributevalue.FromDynamoDBStreamsMap(record.Dynamodb.OldImage); err != nil {
			return r, fmt.Errorf("read the old image: %w", err)
		}
	}
	if record.Dynamodb.NewImage != nil {
		if r.New, err = attributevalue.FromDynamoDBStreamsMap(record.Dynamodb.NewImage); err != nil {
			return r, fmt.Errorf("read the new image: %w", err)
		}
	}
	return r, nil
}

// isTrimmed reports whether records are older than the stream keeps them.
func isTrimmed(err error) bool {
	var trimmed *types.TrimmedDataAccessException
	return errors.As(err, &trimmed)
}

// isStale reports whether an iterator is of no use any more: it is older than a quarter of an hour, or the
// records that it pointed to were removed.
func isStale(err error) bool {
	var expired *types.ExpiredIteratorException
	return errors.As(err, &expired) || isTrimmed(err)
}
