package table

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/queue"
)

// Migrations are in one partition of the catalog's table, and those that are running in one of its index
// timer: there are never many.
const (
	MigrationPartition = "migration"
	// TimerIndex is the index by time; TimerHash and TimerRange are its keys.
	TimerIndex, TimerHash, TimerRange = "timer", "timerShard", "timerAt"
)

// TimerAt is a time as a range key: 13 digits of milliseconds, which sort as the times do.
func TimerAt(t time.Time) string { return fmt.Sprintf("%013d", t.UnixMilli()) }

// Timer is a thing whose time has come, and the time as it is in the index.
type Timer struct {
	Name
	At string
}

// DueTimers returns up to limit things in a partition of the index by time whose time has come, the
// earliest first. The index may lag behind.
func (t Table) DueTimers(ctx context.Context, shard string, now time.Time, limit int) ([]Timer, error) {
	var due []Timer
	err := t.Query(ctx, &dynamodb.QueryInput{
		IndexName:              aws.String(TimerIndex),
		KeyConditionExpression: aws.String(TimerHash + " = :shard AND " + TimerRange + " <= :now"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":shard": Text(shard), ":now": Text(TimerAt(now)),
		},
		Limit: aws.Int32(int32(limit)),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			due = append(due, Timer{Name{Item(i).Text("pk"), Item(i).Text("sk")}, Item(i).Text(TimerRange)})
		}
		return len(due) < limit
	})
	return due, err
}

// DueMigrations returns up to limit migrations that are due, the oldest first. The index may lag behind:
// each is looked at itself.
func (t Table) DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error) {
	due, err := t.DueTimers(ctx, MigrationPartition, now, limit)
	if err != nil {
		return nil, err
	}
	var all []queue.Late
	for _, name := range due {
		i, err := t.Get(ctx, name.PK, name.SK)
		if err != nil {
			return nil, err
		}
		at, err := i.TimerAt()
		if err != nil {
			return nil, err
		}
		if !at.IsZero() && !at.After(now) {
			all = append(all, queue.Late{PK: name.SK, Generation: int(i.Int("slice")), Sends: int(i.Int("sends")), Due: at})
		}
	}
	slices.SortFunc(all, func(a, b queue.Late) int { return a.Due.Compare(b.Due) })
	return all, nil
}

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

// RestMigration puts a migration off, unless somebody moved it meanwhile.
func (t Table) RestMigration(ctx context.Context, m queue.Late, until time.Time) error {
	_, _, err := t.Update(ctx, &types.Update{
		Key:                 Key(MigrationPartition, m.PK),
		UpdateExpression:    aws.String("SET " + TimerRange + " = :until, mark = :mark ADD sends :one"),
		ConditionExpression: aws.String(TimerRange + " = :due"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":until": Text(TimerAt(until)), ":due": Text(TimerAt(m.Due)), ":one": Number(1), ":mark": Bytes(NewMark()),
		},
	})
	return err
}
