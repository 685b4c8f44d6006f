package table

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

// Table is how items of one table are read and written.
type Table struct {
	Client Client
	Name   string
	Codec  codec
}

// New returns the table of a name.
func New(client Client, name string) Table {
	return Table{Client: client, Name: name, Codec: newCodec()}
}

// Get reads an item, consistently; nil when there is none.
func (t Table) Get(ctx context.Context, pk, sk string) (Item, error) {
	out, err := t.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.Name, Key: Key(pk, sk), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, Failed(err, fmt.Sprintf("get %s of %s", sk, pk))
	}
	return out.Item, nil
}

// Put writes an item if the one in its place meets the condition; empty is none. When that one does
// not, won is false and old is it, nil if there is none. A condition that is not met because the
// item itself is already there, whose answer was lost, is won.
func (t Table) Put(ctx context.Context, i Item, condition string, values map[string]types.AttributeValue) (old Item, won bool, err error) {
	input := &dynamodb.PutItemInput{TableName: &t.Name, Item: i}
	if condition != "" {
		input.ConditionExpression = &condition
		input.ExpressionAttributeValues = values
		input.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	_, err = t.Client.PutItem(ctx, input)
	if old, ok := Refused(err, 0); ok {
		return old, old.SameMark(i), nil
	}
	if err != nil {
		return nil, false, Failed(err, fmt.Sprintf("put %s of %s", i.Text("sk"), i.Text("pk")))
	}
	return nil, true, nil
}

// Update changes an item in its place if it meets the condition, as Put does; the change sets the
// attribute mark to the value :mark.
func (t Table) Update(ctx context.Context, u *types.Update) (old Item, won bool, err error) {
	_, err = t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.Name, Key: u.Key,
		UpdateExpression: u.UpdateExpression, ConditionExpression: u.ConditionExpression,
		ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if old, ok := Refused(err, 0); ok {
		return old, old.SameMark(Item{"mark": u.ExpressionAttributeValues[":mark"]}), nil
	}
	if err != nil {
		return nil, false, Failed(err, fmt.Sprintf("update %s of %s", Item(u.Key).Text("sk"), Item(u.Key).Text("pk")))
	}
	return nil, true, nil
}

// Delete removes an item if it meets the condition. One that is not there is none that fails.
func (t Table) Delete(ctx context.Context, pk, sk, condition string, values map[string]types.AttributeValue) error {
	_, err := t.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.Name, Key: Key(pk, sk), ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	if _, ok := Refused(err, 0); err == nil || ok {
		return nil
	}
	return Failed(err, fmt.Sprintf("delete %s of %s", sk, pk))
}

// Count counts the items of a query.
func (t Table) Count(ctx context.Context, input *dynamodb.QueryInput) (int, error) {
	input.TableName, input.Select = &t.Name, types.SelectCount
	n := 0
	for {
		out, err := t.Client.Query(ctx, input)
		if err != nil {
			return 0, Failed(err, "count "+aws.ToString(input.IndexName))
		}
		n += int(out.Count)
		if out.LastEvaluatedKey == nil {
			return n, nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Query reads all items of a query, page by page, until more returns false.
func (t Table) Query(ctx context.Context, input *dynamodb.QueryInput, more func(page []map[string]types.AttributeValue) bool) error {
	input.TableName = &t.Name
	for {
		out, err := t.Client.Query(ctx, input)
		if err != nil {
			return Failed(err, "query "+aws.ToString(input.IndexName))
		}
		if !more(out.Items) || out.LastEvaluatedKey == nil {
			return nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// BatchKeys is how many keys one BatchGetItem takes.
const BatchKeys = 100

// Name is the keys of an item.
type Name struct{ PK, SK string }

// Batch reads up to BatchKeys items, consistently. Missing ones are not in the result.
func (t Table) Batch(ctx context.Context, names []Name) (map[Name]Item, error) {
	return t.batch(ctx, names, types.KeysAndAttributes{ConsistentRead: aws.Bool(true)})
}

// There reports which of up to BatchKeys items are there; it may lag behind writes by a moment.
func (t Table) There(ctx context.Context, names []Name) (map[Name]bool, error) {
	items, err := t.batch(ctx, names, types.KeysAndAttributes{ProjectionExpression: aws.String("pk, sk")})
	there := make(map[Name]bool, len(items))
	for n := range items {
		there[n] = true
	}
	return there, err
}

// batch reads items as said in how, whose keys are not set.
func (t Table) batch(ctx context.Context, names []Name, how types.KeysAndAttributes) (map[Name]Item, error) {
	how.Keys = make([]map[string]types.AttributeValue, len(names))
	for x, n := range names {
		how.Keys[x] = Key(n.PK, n.SK)
	}
	items := make(map[Name]Item, len(names))
	// A table that is throttled answers a part of the keys, or none.
	for try := 0; len(how.Keys) > 0; try++ {
		if try > 0 {
			if err := Rest(ctx, try); err != nil {
				return nil, Failed(err, "wait for unread items")
			}
		}
		out, err := t.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{t.Name: how}})
		if err != nil {
			return nil, Failed(err, "get a batch of items")
		}
		for _, found := range out.Responses[t.Name] {
			i := Item(found)
			items[Name{i.Text("pk"), i.Text("sk")}] = i
		}
		how.Keys = out.UnprocessedKeys[t.Name].Keys
		if len(how.Keys) > 0 && try >= MaxTries {
			return nil, Busy(errors.New("get a batch of items: some stay unread"))
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

// PutText writes a text under a sort key, in several items if it takes them. The condition is on the
// first of them; when it is not met, won is false and nothing was written.
func (t Table) PutText(ctx context.Context, pk, sk, plain string, mark []byte, expires time.Time, condition string) (won bool, err error) {
	parts := Split(t.Codec.Pack(plain))
	for n, part := range parts {
		i := NewItem(pk, partKey(sk, n))
		i["text"] = part
		i.SetMark(mark)
		i.SetExpiry(expires)
		if n == 0 && len(parts) > 1 {
			i.SetInt("parts", int64(len(parts)))
		}
		if n > 0 {
			condition = ""
		}
		if _, won, err := t.Put(ctx, i, condition, nil); err != nil || !won {
			return false, err
		}
	}
	return true, nil
}

// GetText reads what PutText wrote, given its first item; found is false when another is missing.
func (t Table) GetText(ctx context.Context, first Item) (plain string, found bool, err error) {
	pk, sk := first.Text("pk"), first.Text("sk")
	parts := make([]types.AttributeValue, max(first.Int("parts"), 1))
	parts[0] = first["text"]
	err = Parallel(len(parts)-1, func(n int) error {
		part, err := t.Get(ctx, pk, partKey(sk, n+1))
		parts[n+1] = part["text"]
		return err
	})
	if err != nil {
		return "", false, err
	}
	whole := Join(parts)
	if whole == nil {
		return "", false, nil
	}
	plain, err = t.Codec.Unpack(whole)
	if err != nil {
		return "", false, fmt.Errorf("read %s of %s: %w", sk, pk, err)
	}
	return plain, true, nil
}

// Parallel calls do for 0 to n-1 at once and returns the first error in that order.
func Parallel(n int, do func(n int) error) error {
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
