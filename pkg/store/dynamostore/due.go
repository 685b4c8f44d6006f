package dynamostore

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Due implements run.Store.
func (s *Runs) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, nil
	}
	// No more is kept of an entry than that: one shard may have as many as all.
	type entry struct{ id, at string }
	found := make([][]entry, shards)
	err := table.Parallel(shards, func(n int) error {
		return s.table.Query(ctx, &dynamodb.QueryInput{
			IndexName:              aws.String("due"),
			KeyConditionExpression: aws.String("dueShard = :shard AND dueAt <= :now"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":shard": table.Text(strconv.Itoa(n)), ":now": table.Text(dueAt(now)),
			},
			ProjectionExpression: aws.String("pk, dueAt"),
			Limit:                aws.Int32(int32(min(limit, 1000))),
		}, func(page []map[string]types.AttributeValue) bool {
			for _, i := range page {
				found[n] = append(found[n], entry{table.Item(i).Text("pk"), table.Item(i).Text("dueAt")})
			}
			return len(found[n]) < limit
		})
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	var ids []string
	seen := map[string]bool{}
	for _, e := range all {
		id := e.id
		// A run that moved while the pages were read may be on two of them.
		if seen[id] {
			continue
		}
		seen[id] = true
		gone, err := s.gone(ctx, id)
		if err != nil {
			return nil, err
		}
		if !gone {
			ids = append(ids, id)
		}
		if len(ids) == limit {
			break
		}
	}
	return ids, nil
}

// gone reports whether a run's time has passed. The index does not say; the head of a run that is
// old enough does.
func (s *Runs) gone(ctx context.Context, id string) (bool, error) {
	if expires, err := s.expires(id); err != nil || expires.After(s.now()) {
		return false, nil
	}
	_, err := s.head(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return true, nil
	}
	return false, err
}
