package dynamostore_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/sweep"
)

// crowd answers queries as an index does with many due runs in each of its partitions.
type crowd struct {
	dynamostore.Client
	// due is how many are in each partition.
	due   int
	since time.Time

	mu   sync.Mutex
	left map[string]int
	// most is the most memory that was in use when a partition had been read to the end.
	most uint64
}

func (c *crowd) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	shard := in.ExpressionAttributeValues[":shard"].(*types.AttributeValueMemberS).Value
	c.mu.Lock()
	left, known := c.left[shard]
	if !known {
		left = c.due
	}
	n := min(left, int(*in.Limit))
	c.left[shard] = left - n
	c.mu.Unlock()
	out := &dynamodb.QueryOutput{}
	for range n {
		i := map[string]types.AttributeValue{}
		for name, value := range map[string]string{
			"pk": run.NewID(c.since), "sk": "head", "dueShard": shard, "dueAt": fmt.Sprintf("%013d", c.since.UnixMilli()),
			"action": "scaffold_service", "blueprint": "service", "entity": "checkout", "user": "usr_0123456789abcdef", "source": run.SourceUI,
		} {
			i[name] = &types.AttributeValueMemberS{Value: strings.Clone(value)}
		}
		if in.ProjectionExpression != nil {
			projected := strings.Split(*in.ProjectionExpression, ", ")
			maps.DeleteFunc(i, func(name string, _ types.AttributeValue) bool { return !slices.Contains(projected, name) })
		}
		out.Items = append(out.Items, i)
	}
	if left > n {
		out.LastEvaluatedKey = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: shard}}
		return out, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = max(c.most, inUse())
	return out, nil
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// However many runs are due, a sweep finds the oldest within the memory of a small function: else nothing
// is sent any more once an outage has lasted for long. It has no neighbours, whose memory would count.
func TestManyDueFitIntoMemory(t *testing.T) {
	const most = 64 << 20
	c := &crowd{due: sweep.DefaultLimit, since: time.Now().Add(-time.Hour), left: map[string]int{}}
	s := dynamostore.NewRuns(c, "runs", retention, time.Now)
	before := inUse()
	ids, err := s.Due(t.Context(), time.Now(), sweep.DefaultLimit)
	if err != nil || len(ids) != sweep.DefaultLimit {
		t.Fatalf("%d runs, %v; want %d", len(ids), err, sweep.DefaultLimit)
	}
	if used := int64(c.most) - int64(before); used > most {
		t.Errorf("%d MiB in use, want %d at most", used>>20, most>>20)
	}
}
