package table

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/event"
	"longshore/pkg/timer"
)

// TimerIndex is the index by time of the catalog's table; TimerHash and TimerRange are its keys.
const TimerIndex, TimerHash, TimerRange = "timer", "timerShard", "timerAt"

// TimersAttribute has an entity's timers as timer.Encode writes them, packed. TimerRange is the earliest.
const TimersAttribute = "timers"

// timerShards is over how many partitions of the index by time entities with a timer are spread: a
// partition of it takes 1,000 writes a second. Migrations are in one of their own there, whose name is no
// number.
const timerShards = 4

// TimerShard returns the partition of the index by time for the entities of a partition of entities.
func TimerShard(n int) string { return strconv.Itoa(n % timerShards) }

// TimerAt is a time as a range key: 13 digits of milliseconds, which sort as the times do.
func TimerAt(t time.Time) string { return fmt.Sprintf("%013d", t.UnixMilli()) }

// TimerAt returns when an item is due, zero for never.
func (i Item) TimerAt() (time.Time, error) {
	text := i.Text(TimerRange)
	if text == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s of %s: %w", TimerRange, i.Text("sk"), err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// dueItem is a thing whose time has come, and the time as it is in the index.
type dueItem struct {
	Name
	At string
}

// due returns up to limit things in a partition of the index by time whose time has come, the earliest
// first. The index may lag behind.
func (t Table) due(ctx context.Context, shard string, now time.Time, limit int) ([]dueItem, error) {
	var due []dueItem
	err := t.Query(ctx, &dynamodb.QueryInput{
		IndexName:              aws.String(TimerIndex),
		KeyConditionExpression: aws.String(TimerHash + " = :shard AND " + TimerRange + " <= :now"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":shard": Text(shard), ":now": Text(TimerAt(now)),
		},
		Limit: aws.Int32(int32(limit)),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			due = append(due, dueItem{Name{Item(i).Text("pk"), Item(i).Text("sk")}, Item(i).Text(TimerRange)})
		}
		return len(due) < limit
	})
	return due, err
}

// LateTimers returns up to limit entities whose earliest timer has ended, the earliest first. The index may
// lag behind: each is to be looked at itself.
func (t Table) LateTimers(ctx context.Context, now time.Time, limit int) ([]timer.Late, error) {
	shards := make([][]dueItem, timerShards)
	err := Parallel(timerShards, func(n int) (err error) {
		shards[n], err = t.due(ctx, TimerShard(n), now, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(shards...)
	slices.SortStableFunc(all, func(a, b dueItem) int { return cmp.Compare(a.At, b.At) })
	late := make([]timer.Late, 0, min(len(all), limit))
	for _, d := range all[:min(len(all), limit)] {
		ms, err := strconv.ParseInt(d.At, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", TimerRange, d.SK, err)
		}
		late = append(late, timer.Late{Partition: d.PK, Name: d.SK, At: time.UnixMilli(ms).UTC()})
	}
	return late, nil
}

// Timers returns the timers of an entity.
func (t Table) Timers(i Item) ([]timer.Timer, error) {
	at, err := i.TimerAt()
	if err != nil {
		return nil, err
	}
	text, err := t.Codec.Unpack(i[TimersAttribute])
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", TimersAttribute, i.Text("sk"), err)
	}
	return timer.Stored(text, at, func() ([]byte, error) {
		content, err := t.Codec.Unpack(i["content"])
		return []byte(content), err
	})
}

// FireTimers puts an event for every timer of an entity that has ended, unless it is there, and then takes
// those timers out of the entity, unless somebody wrote it meanwhile: then the next sweep looks at it again.
// It returns how many events are new. What it writes of the entity raises no rev, so that it is no change.
func (t Table) FireTimers(ctx context.Context, late timer.Late, now time.Time) (fired int, err error) {
	i, err := t.Get(ctx, late.Partition, late.Name)
	if err != nil || i == nil || i["deleted"] != nil {
		return 0, err
	}
	was, err := i.TimerAt()
	if err != nil || was.IsZero() || was.After(now) {
		return 0, err
	}
	timers, err := t.Timers(i)
	if err != nil {
		return 0, err
	}
	ended, ahead := timer.Split(timers, now)
	for _, e := range ended {
		_, won, err := t.Put(ctx, TimerEvent{
			Partition: late.Partition, Identifier: i.Text("identifier"), EntityID: i.Text("id"), Property: e.Property, At: e.At, Fired: now,
		}.item(), "attribute_not_exists(pk)", nil)
		if err != nil {
			return fired, err
		}
		if won {
			fired++
		}
	}
	u := &types.Update{
		Key:                 Key(late.Partition, late.Name),
		UpdateExpression:    aws.String("SET mark = :mark REMOVE " + TimerHash + ", " + TimerRange + ", " + TimersAttribute),
		ConditionExpression: aws.String("id = :id AND rev = :rev AND " + TimerRange + " = :was AND attribute_not_exists(deleted)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": Text(i.Text("id")), ":rev": Number(i.Int("rev")), ":was": Text(i.Text(TimerRange)), ":mark": Bytes(NewMark()),
		},
	}
	if len(ahead) > 0 {
		u.UpdateExpression = aws.String("SET mark = :mark, " + TimerRange + " = :next, " + TimersAttribute + " = :ahead")
		u.ExpressionAttributeValues[":next"] = Text(TimerAt(ahead[0].At))
		u.ExpressionAttributeValues[":ahead"] = t.Codec.Pack(timer.Encode(ahead))
	}
	_, _, err = t.Update(ctx, u)
	return fired, err
}

const (
	// TimerEventPrefix begins the partition of a timer's event; the event's id follows.
	TimerEventPrefix = "event#"
	timerEventSort   = "event"
	// timerEventLifetime is how long an event is kept, so that it is put once.
	timerEventLifetime = 48 * time.Hour
)

// TimerEvent is the item that says that a timer property of an entity has ended. The table's stream carries
// it, once, to what it sets off. Its attributes, beside the keys event#<id> and event, and ttl: entities
// (the entity's partition), identifier and id (of the entity), property, at and firedAt
// (milliseconds since 1970).
type TimerEvent struct {
	// Partition is the entity's.
	Partition            string
	Identifier, EntityID string
	Property             string
	// At is the property's value, Fired when the clock saw that it had passed.
	At, Fired time.Time
}

func (e TimerEvent) item() Item {
	i := NewItem(TimerEventPrefix+event.TimerID(e.EntityID, e.Property, e.At), timerEventSort)
	i.SetText("entities", e.Partition)
	i.SetText("identifier", e.Identifier)
	i.SetText("id", e.EntityID)
	i.SetText("property", e.Property)
	i.SetTime("at", e.At)
	i.SetTime("firedAt", e.Fired)
	i.SetExpiry(e.Fired.Add(timerEventLifetime))
	i.SetMark(NewMark())
	return i
}
