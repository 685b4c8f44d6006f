package dynamostore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Pending implements run.Store. An entry of the index is a run that is not acknowledged; those that a
// claim holds are dropped by the filter.
func (s *Runs) Pending(ctx context.Context, now time.Time, f run.PendingFilter) ([]string, error) {
	if f.Limit <= 0 || f.Installation == "" {
		return nil, nil
	}
	input := indexQuery("pending", "pendingKey", table.KeyPart(f.Installation))
	values := input.ExpressionAttributeValues
	// The ids of runs that have expired sort before this one; DynamoDB may hold them for days.
	*input.KeyConditionExpression += " AND pk >= :oldest"
	values[":oldest"] = table.Text(run.NewID(s.now().Add(-s.retention))[:len("r_")+8])
	conditions := []string{"(attribute_not_exists(claimedUntil) OR claimedUntil <= :now)"}
	values[":now"] = table.Number(now.UnixMilli())
	names := map[string]string{}
	if f.Method != "" {
		conditions = append(conditions, "#method = :method")
		names["#method"] = "method"
		values[":method"] = table.Text(f.Method)
	}
	if len(f.Exclude) > 0 {
		excluded := make([]string, len(f.Exclude))
		for n, action := range f.Exclude {
			excluded[n] = fmt.Sprintf(":exclude%d", n)
			values[excluded[n]] = table.Text(action)
		}
		names["#action"] = "action"
		conditions = append(conditions, "NOT (#action IN ("+strings.Join(excluded, ", ")+"))")
	}
	input.FilterExpression = aws.String(strings.Join(conditions, " AND "))
	input.Limit = aws.Int32(int32(min(max(f.Limit, 100), 1000)))
	if len(names) > 0 {
		input.ExpressionAttributeNames = names
	}
	var ids []string
	err := s.table.Query(ctx, input, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			ids = append(ids, table.Item(i).Text("pk"))
		}
		return len(ids) < f.Limit
	})
	return ids[:min(len(ids), f.Limit)], err
}
