package dynamocatalog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Catalog keeps blueprints and entities in the catalog table.
type Catalog struct {
	// definitions are the blueprints.
	definitions
	now func() time.Time
	// Log takes the entries of the audit log that could not be kept; nil for none.
	Log *slog.Logger
}

var _ catalog.Store = (*Catalog)(nil)

// NewCatalog returns the store of blueprints and entities in a table.
func NewCatalog(client table.Client, name string, now func() time.Time) *Catalog {
	return &Catalog{definitions: definitions{table: table.New(client, name), partition: "blueprint", noun: "a blueprint"}, now: now}
}

// Blueprints implements catalog.Store.
func (s *Catalog) Blueprints(ctx context.Context) ([]*catalog.Blueprint, error) {
	return list(ctx, s.definitions, s.readBlueprint)
}

// Blueprint implements catalog.Store.
func (s *Catalog) Blueprint(ctx context.Context, identifier string) (*catalog.Blueprint, error) {
	i, err := s.get(ctx, identifier)
	if err != nil {
		return nil, err
	}
	return s.readBlueprint(i)
}

// DeletedBlueprint implements catalog.Store.
func (s *Catalog) DeletedBlueprint(ctx context.Context, id string) (*catalog.Blueprint, error) {
	var last table.Item
	err := s.table.Query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		FilterExpression:          aws.String("attribute_exists(deleted) AND id = :id"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(s.partition), ":id": table.Text(id)},
		ConsistentRead:            aws.Bool(true),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			if i := table.Item(i); last == nil || i.Int("rev") > last.Int("rev") {
				last = i
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, fault.New(fault.NotFound, "", "there is no such deleted blueprint")
	}
	return s.readBlueprint(last)
}

// CreateBlueprint implements catalog.Store.
func (s *Catalog) CreateBlueprint(ctx context.Context, b *catalog.Blueprint, entries ...*audit.Entry) error {
	return s.create(ctx, s.blueprintItem(b, 1), entries)
}

// ReplaceBlueprint implements catalog.Store.
func (s *Catalog) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint, entries ...*audit.Entry) error {
	return s.replace(ctx, identifier, s.blueprintItem(b, b.Rev+1), entries)
}

// DeleteBlueprint implements catalog.Store.
func (s *Catalog) DeleteBlueprint(ctx context.Context, b *catalog.Blueprint, by catalog.Author, entries ...*audit.Entry) error {
	return s.remove(ctx, b.Identifier, by, isSame, same(b.ID, b.Rev), entries)
}

// blueprintItem returns a blueprint with its next rev as it is stored.
func (s *Catalog) blueprintItem(b *catalog.Blueprint, rev int64) table.Item {
	i := record{
		identifier: b.Identifier, id: b.ID, rev: rev,
		createdAt: b.CreatedAt, updatedAt: b.UpdatedAt, createdBy: b.CreatedBy, updatedBy: b.UpdatedBy,
	}.item(s.partition)
	i["definition"] = s.table.Codec.Pack(string(b.Definition))
	if b.Permissions != nil {
		i["permissions"] = s.table.Codec.Pack(string(b.Permissions))
	}
	setTrue(i, "page", b.Page)
	setTrue(i, "deleting", b.Deleting)
	return i
}

func (s *Catalog) readBlueprint(i table.Item) (*catalog.Blueprint, error) {
	c := recordOf(i)
	b := &catalog.Blueprint{
		Identifier: c.identifier, ID: c.id, Rev: c.rev,
		Page: isTrue(i, "page"), Deleting: isTrue(i, "deleting"),
		CreatedAt: c.createdAt, UpdatedAt: c.updatedAt, CreatedBy: c.createdBy, UpdatedBy: c.updatedBy,
	}
	for name, to := range map[string]*json.RawMessage{"definition": &b.Definition, "permissions": &b.Permissions} {
		if i[name] == nil {
			continue
		}
		text, err := s.table.Codec.Unpack(i[name])
		if err != nil {
			return nil, fmt.Errorf("read %s of blueprint %q: %w", name, c.identifier, err)
		}
		*to = json.RawMessage(text)
	}
	return b, nil
}

// setTrue keeps a flag; false is left out.
func setTrue(i table.Item, name string, flag bool) {
	if flag {
		i[name] = &types.AttributeValueMemberBOOL{Value: true}
	}
}

func isTrue(i table.Item, name string) bool {
	b, ok := i[name].(*types.AttributeValueMemberBOOL)
	return ok && b.Value
}
