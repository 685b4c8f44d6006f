package dynamocatalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	stampPartition = "stamp"
	// tombstoneLifetime is how long a deleted thing stays, for the change feed to tell who deleted it.
	tombstoneLifetime = time.Hour
)

// Conditions on what stands under an identifier. A deleted thing counts as none, whether or not its
// time has passed: nothing else has one.
const (
	isFree  = "attribute_not_exists(pk) OR attribute_exists(deleted)"
	isThere = "attribute_exists(pk) AND attribute_not_exists(deleted)"
	// isSame refuses also what was deleted and made again, which may have the same rev, never the
	// same id.
	isSame = isThere + " AND rev = :rev AND id = :id"
)

// gone reports whether there is no item, or one that only says who deleted it.
func gone(i table.Item) bool { return i == nil || i["deleted"] != nil }

// noun is what things of a kind are called in sentences, with its article.
type noun string

func (n noun) bare() string {
	_, word, _ := strings.Cut(string(n), " ")
	return word
}

func (n noun) missing(identifier string) error {
	return fault.New(fault.NotFound, "", "there is no %s %q", n.bare(), identifier)
}

func (n noun) taken(identifier string) error {
	return fault.New(fault.Conflict, "identifier_taken", "%s with the identifier %q exists already", string(n), identifier)
}

// refused says why a write did not find in its place what it was to change.
func (n noun) refused(identifier string, found table.Item) error {
	if gone(found) {
		return n.missing(identifier)
	}
	return fault.New(fault.Conflict, "conflict", "the %s %q was changed meanwhile", n.bare(), identifier)
}

// record is what every thing with an identifier carries.
type record struct {
	identifier, id       string
	createdAt, updatedAt time.Time
	createdBy, updatedBy string
	rev                  int64
}

// item returns the record as an item of a partition.
func (r record) item(pk string) table.Item {
	i := table.NewItem(pk, table.KeyPart(r.identifier))
	i.SetText("identifier", r.identifier)
	i.SetText("id", r.id)
	i.SetInt("rev", r.rev)
	i.SetTime("createdAt", r.createdAt)
	i.SetTime("updatedAt", r.updatedAt)
	i.SetText("createdBy", r.createdBy)
	i.SetText("updatedBy", r.updatedBy)
	return i
}

func recordOf(i table.Item) record {
	return record{
		identifier: i.Text("identifier"), id: i.Text("id"), rev: i.Int("rev"),
		createdAt: i.Time("createdAt"), updatedAt: i.Time("updatedAt"),
		createdBy: i.Text("createdBy"), updatedBy: i.Text("updatedBy"),
	}
}

// same returns the values of isSame.
func same(id string, rev int64) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{":rev": table.Number(rev), ":id": table.Text(id)}
}

// bury marks what stands in a place as deleted, if it meets the condition.
func bury(t table.Table, place table.Name, by catalog.Author, condition string, values map[string]types.AttributeValue) *types.Update {
	all := map[string]types.AttributeValue{
		":deleted": table.Author(by),
		":ttl":     table.Number(by.At.Add(tombstoneLifetime).Unix()),
		":one":     table.Number(1),
		":mark":    table.Bytes(table.NewMark()),
	}
	maps.Copy(all, values)
	return &types.Update{
		TableName: &t.Name, Key: table.Key(place.PK, place.SK),
		UpdateExpression:                    aws.String("SET deleted = :deleted, #ttl = :ttl, mark = :mark ADD rev :one"),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            map[string]string{"#ttl": table.TTLAttribute},
		ExpressionAttributeValues:           all,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// definitions keeps things of one kind in one partition, by identifier. Every change raises their
// stamp in its own transaction.
type definitions struct {
	table table.Table
	// partition is where they are, and the kind under which their stamp is.
	partition string
	noun      noun
	// AuditRetention is how long entries of the audit log are kept; 0 means audit.DefaultRetention.
	AuditRetention time.Duration
}

func (d definitions) place(identifier string) table.Name {
	return table.Name{PK: d.partition, SK: table.KeyPart(identifier)}
}

// Stamp returns a number that moves with every change.
func (d definitions) Stamp(ctx context.Context) (int64, error) {
	i, err := d.table.Get(ctx, stampPartition, d.partition)
	return i.Int("n"), err
}

// list reads all of them, by identifier.
func list[T any](ctx context.Context, d definitions, read func(table.Item) (T, error)) ([]T, error) {
	var items []table.Item
	input := living(d.partition)
	input.ConsistentRead = aws.Bool(true)
	err := d.table.Query(ctx, input, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			items = append(items, i)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b table.Item) int {
		return strings.Compare(a.Text("identifier"), b.Text("identifier"))
	})
	var all []T
	for _, i := range items {
		one, err := read(i)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// living asks for what is not deleted in a partition.
func living(pk string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		FilterExpression:          aws.String("attribute_not_exists(deleted)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(pk)},
	}
}

func (d definitions) get(ctx context.Context, identifier string) (table.Item, error) {
	return find(ctx, d.table, d.noun, d.place(identifier), identifier)
}

// find reads what stands in a place.
func find(ctx context.Context, t table.Table, n noun, place table.Name, identifier string) (table.Item, error) {
	if identifier == "" { // which is no key
		return nil, n.missing(identifier)
	}
	i, err := t.Get(ctx, place.PK, place.SK)
	if err != nil {
		return nil, err
	}
	if gone(i) {
		return nil, n.missing(identifier)
	}
	return i, nil
}

// create puts an item where there is none.
func (d definitions) create(ctx context.Context, i table.Item, entries []*audit.Entry) error {
	err := d.change(ctx, "create "+d.noun.bare(), entries, d.put(i, isFree, nil))
	if _, ok := table.Refused(err, 0); ok {
		return d.noun.taken(i.Text("identifier"))
	}
	return err
}

// replace puts an item in the place of the one called identifier, if that one is its predecessor. An
// item with another identifier leaves a deleted one behind.
func (d definitions) replace(ctx context.Context, identifier string, i table.Item, entries []*audit.Entry) error {
	var writes []types.TransactWriteItem
	was := same(i.Text("id"), i.Int("rev")-1)
	if i.Text("identifier") == identifier {
		writes = append(writes, d.put(i, isSame, was))
	} else {
		by := catalog.Author{ID: i.Text("updatedBy"), At: i.Time("updatedAt")}
		writes = append(writes, d.bury(identifier, by, isSame, was), d.put(i, isFree, nil))
	}
	err := d.change(ctx, "replace "+d.noun.bare(), entries, writes...)
	if found, ok := table.Refused(err, 0); ok {
		return d.noun.refused(identifier, found)
	}
	if _, ok := table.Refused(err, 1); ok {
		return d.noun.taken(i.Text("identifier"))
	}
	return err
}

// remove marks the item called identifier as deleted, if it meets the condition.
func (d definitions) remove(ctx context.Context, identifier string, by catalog.Author, condition string, values map[string]types.AttributeValue, entries []*audit.Entry) error {
	if identifier == "" {
		return d.noun.missing(identifier)
	}
	err := d.change(ctx, "delete "+d.noun.bare(), entries, d.bury(identifier, by, condition, values))
	if found, ok := table.Refused(err, 0); ok {
		return d.noun.refused(identifier, found)
	}
	return err
}

func (d definitions) put(i table.Item, condition string, values map[string]types.AttributeValue) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &d.table.Name, Item: i, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

func (d definitions) bury(identifier string, by catalog.Author, condition string, values map[string]types.AttributeValue) types.TransactWriteItem {
	return types.TransactWriteItem{Update: bury(d.table, d.place(identifier), by, condition, values)}
}

// change makes writes, keeps entries of the audit log and raises the stamp, all or nothing. The SDK gives a transaction a token, so
// that one whose answer was lost is not refused when it repeats it.
func (d definitions) change(ctx context.Context, doing string, entries []*audit.Entry, writes ...types.TransactWriteItem) error {
	for _, e := range audit.Kept(entries) {
		for _, i := range entryItems(d.table, e, d.AuditRetention) {
			writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &d.table.Name, Item: i}})
		}
	}
	writes = append(writes, types.TransactWriteItem{Update: &types.Update{
		TableName: &d.table.Name, Key: table.Key(stampPartition, d.partition),
		UpdateExpression:          aws.String("ADD n :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": table.Number(1)},
	}})
	for try := range table.MaxTries {
		_, err := d.table.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		if err == nil {
			return nil
		}
		if !table.Contended(err) {
			return table.Failed(err, doing)
		}
		if err := table.Rest(ctx, try); err != nil {
			return table.Failed(err, doing)
		}
	}
	return table.Busy(fmt.Errorf("%s: %w", doing, table.ErrOvertaken))
}
