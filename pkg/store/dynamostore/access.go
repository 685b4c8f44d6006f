package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// access is how items of one table are read and written.
type access struct {
	client Client
	table  string
	codec  codec
}

func newAccess(client Client, table string) access {
	return access{client: client, table: table, codec: newCodec()}
}

// get reads an item, consistently; nil when there is none.
func (a access) get(ctx context.Context, pk, sk string) (item, error) {
	out, err := a.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &a.table, Key: key(pk, sk), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, failed(err, fmt.Sprintf("get %s of %s", sk, pk))
	}
	return out.Item, nil
}

// put writes an item if the one in its place meets the condition; empty is none. When that one does
// not, won is false and old is it, nil if there is none. A condition that is not met because the
// item itself is already there, whose answer was lost, is won.
func (a access) put(ctx context.Context, i item, condition string, values map[string]types.AttributeValue) (old item, won bool, err error) {
	input := &dynamodb.PutItemInput{TableName: &a.table, Item: i}
	if condition != "" {
		input.ConditionExpression = &condition
		input.ExpressionAttributeValues = values
		input.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	_, err = a.client.PutItem(ctx, input)
	if old, ok := refused(err, 0); ok {
		return old, old.sameMark(i), nil
	}
	if err != nil {
		return nil, false, failed(err, fmt.Sprintf("put %s of %s", i.text("sk"), i.text("pk")))
	}
	return nil, true, nil
}

// query reads all items of a query, page by page, until more returns false.
func (a access) query(ctx context.Context, input *dynamodb.QueryInput, more func(page []map[string]types.AttributeValue) bool) error {
	input.TableName = &a.table
	for {
		out, err := a.client.Query(ctx, input)
		if err != nil {
			return failed(err, "query "+aws.ToString(input.IndexName))
		}
		if !more(out.Items) || out.LastEvaluatedKey == nil {
			return nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// batchKeys is how many keys one BatchGetItem takes.
const batchKeys = 100

// name is the keys of an item.
type name struct{ pk, sk string }

// batch reads up to batchKeys items, consistently. Missing ones are not in the result.
func (a access) batch(ctx context.Context, names []name) (map[name]item, error) {
	keys := make([]map[string]types.AttributeValue, len(names))
	for x, n := range names {
		keys[x] = key(n.pk, n.sk)
	}
	items := make(map[name]item, len(names))
	// A table that is throttled answers a part of the keys, or none.
	for try := 0; len(keys) > 0; try++ {
		if try > 0 {
			if err := rest(ctx, try); err != nil {
				return nil, failed(err, "wait for unread items")
			}
		}
		out, err := a.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			a.table: {Keys: keys, ConsistentRead: aws.Bool(true)},
		}})
		if err != nil {
			return nil, failed(err, "get a batch of items")
		}
		for _, found := range out.Responses[a.table] {
			i := item(found)
			items[name{i.text("pk"), i.text("sk")}] = i
		}
		keys = out.UnprocessedKeys[a.table].Keys
		if len(keys) > 0 && try >= maxTries {
			return nil, busy(errors.New("get a batch of items: some stay unread"))
		}
	}
	return items, nil
}

// partKey returns the sort key of the nth item of a text.
func partKey(sk string, n int) string {
	if n == 0 {
		return sk
	}
	return fmt.Sprintf("%s#%d", sk, n)
}

// putText writes a text under a sort key, in several items if it takes them. The condition is on the
// first of them; when it is not met, won is false and nothing was written.
func (a access) putText(ctx context.Context, pk, sk, plain string, mark []byte, expires time.Time, condition string) (won bool, err error) {
	parts := split(a.codec.pack(plain))
	for n, part := range parts {
		i := newItem(pk, partKey(sk, n))
		i["text"] = part
		i.setMark(mark)
		i.setExpiry(expires)
		if n == 0 && len(parts) > 1 {
			i.setInt("parts", int64(len(parts)))
		}
		if n > 0 {
			condition = ""
		}
		if _, won, err := a.put(ctx, i, condition, nil); err != nil || !won {
			return false, err
		}
	}
	return true, nil
}

// getText reads what putText wrote, given its first item; found is false when another is missing.
func (a access) getText(ctx context.Context, first item) (plain string, found bool, err error) {
	pk, sk := first.text("pk"), first.text("sk")
	parts := make([]types.AttributeValue, max(first.int("parts"), 1))
	parts[0] = first["text"]
	err = parallel(len(parts)-1, func(n int) error {
		part, err := a.get(ctx, pk, partKey(sk, n+1))
		parts[n+1] = part["text"]
		return err
	})
	if err != nil {
		return "", false, err
	}
	whole := join(parts)
	if whole == nil {
		return "", false, nil
	}
	plain, err = a.codec.unpack(whole)
	if err != nil {
		return "", false, fmt.Errorf("read %s of %s: %w", sk, pk, err)
	}
	return plain, true, nil
}

// parallel calls do for 0 to n-1 at once and returns the first error in that order.
func parallel(n int, do func(n int) error) error {
	faults := make([]error, n)
	var all sync.WaitGroup
	for x := range n {
		all.Go(func() { faults[x] = do(x) })
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}
