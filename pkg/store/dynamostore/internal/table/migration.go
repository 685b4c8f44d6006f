package table

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/queue"
)

// MigrationPartition has all migrations, and those that are running in the index by time: there are never
// many.
const MigrationPartition = "migration"

// DueMigrations returns up to limit migrations that are due, the oldest first. The index may lag behind:
// each is looked at itself.
func (t Table) DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error) {
	due, err := t.due(ctx, MigrationPartition, now, limit)
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
