package dynamostore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// candidates are the ids of runs that a filter may mean, newest first, from one query or several.
type candidates struct {
	store   *Runs
	streams []*stream
	// seen is the last id given out.
	seen string
}

// stream is one query whose items come newest first.
type stream struct {
	input *dynamodb.QueryInput
	ids   []string
	ended bool
}

// candidates chooses the index that has least to read.
func (s *Runs) candidates(ctx context.Context, f run.Filter) (*candidates, error) {
	c := &candidates{store: s}
	add := func(index, hash, value string) {
		input := indexQuery(index, hash, value)
		if f.From != "" {
			*input.KeyConditionExpression += " AND pk < :from"
			input.ExpressionAttributeValues[":from"] = table.Text(from(f))
		}
		if index != "external" { // which holds keys only
			filter(input, f)
		}
		input.ScanIndexForward = aws.Bool(false)
		input.Limit = aws.Int32(int32(f.Limit + 1))
		c.streams = append(c.streams, &stream{input: input})
	}
	switch {
	case f.ExternalRunID != "":
		add("external", "externalRunId", table.KeyPart(f.ExternalRunID))
	case f.Active != nil && *f.Active:
		return c, c.active(ctx, f)
	case f.Entity != "":
		add("entity", "entityKey", table.KeyPart(f.Entity))
	case strings.HasPrefix(f.UserID, userPrefix):
		add("user", "userKey", table.KeyPart(f.UserID))
	case f.Action != "":
		add("action", "actionKey", table.KeyPart(f.Action))
	default:
		for n := range shards {
			add("all", "allShard", strconv.Itoa(n))
		}
	}
	return c, nil
}

// active reads all runs that have not ended: the index has them by the time they are due, and notices
// beside them.
func (c *candidates) active(ctx context.Context, f run.Filter) error {
	found := make([][]string, shards)
	err := table.Parallel(shards, func(n int) error {
		input := indexQuery("due", "dueShard", strconv.Itoa(n))
		filter(input, f)
		if f.From != "" {
			both := "pk < :from"
			if input.FilterExpression != nil {
				both += " AND " + *input.FilterExpression
			}
			input.FilterExpression = &both
			input.ExpressionAttributeValues[":from"] = table.Text(from(f))
		}
		return c.store.table.Query(ctx, input, func(page []map[string]types.AttributeValue) bool {
			for _, i := range page {
				if id := table.Item(i).Text("pk"); !run.IsNotice(id) {
					found[n] = append(found[n], id)
				}
			}
			return true
		})
	})
	ids := slices.Concat(found...)
	slices.Sort(ids)
	slices.Reverse(ids)
	c.streams = []*stream{{ids: ids, ended: true}}
	return err
}

// from is the bound of the filter's page; no run id is longer.
func from(f run.Filter) string {
	const runID = 18
	return strings.ToValidUTF8(f.From[:min(len(f.From), runID+1)], "")
}

// indexQuery asks an index for the ids under one key.
func indexQuery(index, hash, value string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		IndexName:                 &index,
		KeyConditionExpression:    aws.String(hash + " = :hash"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":hash": table.Text(value)},
		ProjectionExpression:      aws.String("pk"),
	}
}

// filter lets DynamoDB drop what the index alone can tell. All indexes but external have the same
// attributes.
func filter(input *dynamodb.QueryInput, f run.Filter) {
	var conditions []string
	names := map[string]string{}
	equal := func(attribute, value string) {
		if value != "" {
			conditions = append(conditions, "#"+attribute+" = :"+attribute)
			names["#"+attribute] = attribute
			input.ExpressionAttributeValues[":"+attribute] = table.Text(value)
		}
	}
	equal("action", f.Action)
	equal("blueprint", f.Blueprint)
	equal("entity", f.Entity)
	equal("user", f.UserID)
	if len(f.Sources) > 0 {
		var values []string
		for n, source := range f.Sources {
			value := fmt.Sprintf(":source%d", n)
			values = append(values, value)
			input.ExpressionAttributeValues[value] = table.Text(source)
		}
		names["#source"] = "source"
		conditions = append(conditions, "#source IN ("+strings.Join(values, ", ")+")")
	}
	if len(conditions) > 0 {
		input.FilterExpression = aws.String(strings.Join(conditions, " AND "))
		input.ExpressionAttributeNames = names
	}
}

// take returns the next n ids, fewer only at the end.
func (c *candidates) take(ctx context.Context, n int) ([]string, error) {
	var ids []string
	for len(ids) < n {
		if err := c.refill(ctx); err != nil {
			return nil, err
		}
		var newest *stream
		for _, s := range c.streams {
			if len(s.ids) > 0 && (newest == nil || s.ids[0] > newest.ids[0]) {
				newest = s
			}
		}
		if newest == nil {
			break
		}
		id := newest.ids[0]
		newest.ids = newest.ids[1:]
		// A run that moved while an index was read may be there twice.
		if id != c.seen {
			c.seen = id
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// refill reads on, at once, in every stream that has nothing left to give.
func (c *candidates) refill(ctx context.Context) error {
	for {
		var empty []*stream
		for _, s := range c.streams {
			if len(s.ids) == 0 && !s.ended {
				empty = append(empty, s)
			}
		}
		if len(empty) == 0 {
			return nil
		}
		if err := table.Parallel(len(empty), func(n int) error { return c.read(ctx, empty[n]) }); err != nil {
			return err
		}
	}
}

// maxEvaluated is about how many entries of an index make a page of 1 MB, DynamoDB's limit.
const maxEvaluated = 10_000

// read gets a stream's next page. Each is twice as large as the one before: a filter that dropped
// most of a page will drop most of the next.
func (c *candidates) read(ctx context.Context, s *stream) error {
	s.input.TableName = &c.store.table.Name
	out, err := c.store.table.Client.Query(ctx, s.input)
	if err != nil {
		return table.Failed(err, "query "+*s.input.IndexName)
	}
	for _, i := range out.Items {
		s.ids = append(s.ids, table.Item(i).Text("pk"))
	}
	s.ended = out.LastEvaluatedKey == nil
	s.input.ExclusiveStartKey = out.LastEvaluatedKey
	s.input.Limit = aws.Int32(min(*s.input.Limit*2, maxEvaluated))
	return nil
}
