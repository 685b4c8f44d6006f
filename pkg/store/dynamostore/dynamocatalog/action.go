// Package dynamocatalog keeps definitions in the catalog table of DynamoDB.
//
// It promises what action.Store promises. It stands apart from the store of runs because functions
// that read no definition are not to link what compiles them.
package dynamocatalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Actions keeps definitions in the catalog table.
type Actions struct {
	table table.Table
}

var _ action.Store = (*Actions)(nil)

// NewActions returns the store of definitions in a table.
func NewActions(client table.Client, name string) *Actions {
	return &Actions{table: table.New(client, name)}
}

const (
	actionPartition = "action"
	stampPartition  = "stamp"
	// tombstoneLifetime is how long a deleted definition stays, for the change feed to tell who
	// deleted it.
	tombstoneLifetime = time.Hour
)

// Conditions on what stands under an identifier. A deleted definition counts as none.
const (
	isFree  = "attribute_not_exists(pk) OR attribute_exists(deleted)"
	isThere = "attribute_exists(pk) AND attribute_not_exists(deleted)"
)

// Stamp implements action.Store.
func (s *Actions) Stamp(ctx context.Context) (int64, error) {
	i, err := s.table.Get(ctx, stampPartition, actionPartition)
	return i.Int("n"), err
}

// List implements action.Store.
func (s *Actions) List(ctx context.Context) ([]*action.Record, error) {
	var records []*action.Record
	var broken error
	err := s.table.Query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		FilterExpression:          aws.String("attribute_not_exists(deleted)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(actionPartition)},
		ConsistentRead:            aws.Bool(true),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			var r *action.Record
			if r, broken = s.read(i); broken != nil {
				return false
			}
			records = append(records, r)
		}
		return true
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(records, func(a, b *action.Record) int { return strings.Compare(a.Identifier, b.Identifier) })
	return records, nil
}

// Get implements action.Store.
func (s *Actions) Get(ctx context.Context, identifier string) (*action.Record, error) {
	if identifier == "" {
		return nil, noAction(identifier)
	}
	i, err := s.table.Get(ctx, actionPartition, table.KeyPart(identifier))
	if err != nil {
		return nil, err
	}
	if i == nil || deleted(i) {
		return nil, noAction(identifier)
	}
	return s.read(i)
}

// Create implements action.Store.
func (s *Actions) Create(ctx context.Context, r *action.Record) error {
	first := *r
	first.Rev = 1
	err := s.change(ctx, "create action", s.put(&first, isFree, nil))
	if _, ok := table.Refused(err, 0); ok {
		return identifierTaken(r.Identifier)
	}
	return err
}

// Replace implements action.Store.
func (s *Actions) Replace(ctx context.Context, identifier string, r *action.Record) error {
	// A definition that was deleted and made again may have the same rev, never the same id.
	const unchanged = isThere + " AND rev = :rev AND id = :id"
	values := map[string]types.AttributeValue{":rev": table.Number(r.Rev), ":id": table.Text(r.ID)}
	next := *r
	next.Rev++
	var writes []types.TransactWriteItem
	if r.Identifier == identifier {
		writes = append(writes, s.put(&next, unchanged, values))
	} else {
		writes = append(writes, s.bury(identifier, r.UpdatedBy, r.UpdatedAt, unchanged, values), s.put(&next, isFree, nil))
	}
	err := s.change(ctx, "replace action", writes...)
	if old, ok := table.Refused(err, 0); ok {
		if old == nil || deleted(old) {
			return noAction(identifier)
		}
		return fault.New(fault.Conflict, "", "action %s was changed meanwhile", identifier)
	}
	if _, ok := table.Refused(err, 1); ok {
		return identifierTaken(r.Identifier)
	}
	return err
}

// Delete implements action.Store. The item stays for an hour and names who deleted it.
func (s *Actions) Delete(ctx context.Context, identifier, by string, at time.Time) error {
	if identifier == "" {
		return noAction(identifier)
	}
	err := s.change(ctx, "delete action", s.bury(identifier, by, at, isThere, nil))
	if _, ok := table.Refused(err, 0); ok {
		return noAction(identifier)
	}
	return err
}

func noAction(identifier string) error {
	return fault.New(fault.NotFound, "", "action %q was not found", identifier)
}

func identifierTaken(identifier string) error {
	return fault.New(fault.Conflict, "identifier_taken", "an action with the identifier %q exists already", identifier)
}

// put writes a definition if what stands under its identifier meets the condition.
func (s *Actions) put(r *action.Record, condition string, values map[string]types.AttributeValue) types.TransactWriteItem {
	i := table.NewItem(actionPartition, table.KeyPart(r.Identifier))
	i.SetText("identifier", r.Identifier)
	i.SetText("id", r.ID)
	i["definition"] = s.table.Codec.Pack(string(r.Definition))
	i.SetInt("rev", r.Rev)
	i.SetTime("createdAt", r.CreatedAt)
	i.SetTime("updatedAt", r.UpdatedAt)
	i.SetText("createdBy", r.CreatedBy)
	i.SetText("updatedBy", r.UpdatedBy)
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table.Name, Item: i, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// bury marks a definition as deleted.
func (s *Actions) bury(identifier, by string, at time.Time, condition string, values map[string]types.AttributeValue) types.TransactWriteItem {
	author := table.Item{}
	author.SetText("by", by)
	author.SetTime("at", at)
	all := map[string]types.AttributeValue{
		":deleted": &types.AttributeValueMemberM{Value: author},
		":ttl":     table.Number(at.Add(tombstoneLifetime).Unix()),
		":one":     table.Number(1),
	}
	for name, value := range values {
		all[name] = value
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &s.table.Name, Key: table.Key(actionPartition, table.KeyPart(identifier)),
		UpdateExpression:                    aws.String("SET deleted = :deleted, #ttl = :ttl ADD rev :one"),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            map[string]string{"#ttl": table.TTLAttribute},
		ExpressionAttributeValues:           all,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// change makes writes and raises the stamp, all or nothing. The SDK gives a transaction a token, so
// that one whose answer was lost is not refused when it repeats it.
func (s *Actions) change(ctx context.Context, doing string, writes ...types.TransactWriteItem) error {
	writes = append(writes, types.TransactWriteItem{Update: &types.Update{
		TableName: &s.table.Name, Key: table.Key(stampPartition, actionPartition),
		UpdateExpression:          aws.String("ADD n :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": table.Number(1)},
	}})
	for try := range table.MaxTries {
		_, err := s.table.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
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

// deleted reports whether a definition's item only says who deleted it.
func deleted(i table.Item) bool { return i["deleted"] != nil }

func (s *Actions) read(i table.Item) (*action.Record, error) {
	r := &action.Record{
		Identifier: i.Text("identifier"), ID: i.Text("id"), Rev: i.Int("rev"),
		CreatedAt: i.Time("createdAt"), UpdatedAt: i.Time("updatedAt"),
		CreatedBy: i.Text("createdBy"), UpdatedBy: i.Text("updatedBy"),
	}
	definition, err := s.table.Codec.Unpack(i["definition"])
	if err != nil {
		return nil, fmt.Errorf("read action %q: %w", r.Identifier, err)
	}
	r.Definition = json.RawMessage(definition)
	return r, nil
}
