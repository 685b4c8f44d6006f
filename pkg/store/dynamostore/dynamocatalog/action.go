// Package dynamocatalog keeps definitions, blueprints, entities, settings and the audit log in the catalog
// table of DynamoDB.
//
// It promises what action.Store, catalog.Store, organization.Store and audit.Store promise, and of DynamoDB in particular:
//   - what is deleted stays for an hour and names who deleted it, for the change feed; it counts as
//     absent. Edges alone are removed;
//   - a condition that is refused because the SDK repeated a write whose answer was lost counts as
//     won.
//
// It stands apart from the store of runs because functions that read no definition are not to link
// what compiles them.
package dynamocatalog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Actions keeps definitions in the catalog table.
type Actions struct {
	definitions
}

var _ action.Store = (*Actions)(nil)

// NewActions returns the store of definitions in a table.
func NewActions(client table.Client, name string) *Actions {
	return &Actions{definitions{table: table.New(client, name), partition: "action", noun: "an action"}}
}

// List implements action.Store.
func (s *Actions) List(ctx context.Context) ([]*action.Record, error) {
	return list(ctx, s.definitions, s.read)
}

// Get implements action.Store.
func (s *Actions) Get(ctx context.Context, identifier string) (*action.Record, error) {
	i, err := s.get(ctx, identifier)
	if err != nil {
		return nil, err
	}
	return s.read(i)
}

// Create implements action.Store.
func (s *Actions) Create(ctx context.Context, r *action.Record, entries ...*audit.Entry) error {
	return s.create(ctx, s.item(r, 1), entries)
}

// Replace implements action.Store.
func (s *Actions) Replace(ctx context.Context, identifier string, r *action.Record, entries ...*audit.Entry) error {
	return s.replace(ctx, identifier, s.item(r, r.Rev+1), entries)
}

// Delete implements action.Store. The item stays for an hour and names who deleted it.
func (s *Actions) Delete(ctx context.Context, identifier, by string, at time.Time, entries ...*audit.Entry) error {
	return s.remove(ctx, identifier, catalog.Author{ID: by, At: at}, isThere, nil, entries)
}

// item returns a definition with its next rev as it is stored.
func (s *Actions) item(r *action.Record, rev int64) table.Item {
	i := record{
		identifier: r.Identifier, id: r.ID, rev: rev,
		createdAt: r.CreatedAt, updatedAt: r.UpdatedAt, createdBy: r.CreatedBy, updatedBy: r.UpdatedBy,
	}.item(s.partition)
	i["definition"] = s.table.Codec.Pack(string(r.Definition))
	if r.Permissions != nil {
		i["permissions"] = s.table.Codec.Pack(string(r.Permissions))
	}
	return i
}

func (s *Actions) read(i table.Item) (*action.Record, error) {
	c := recordOf(i)
	definition, err := s.table.Codec.Unpack(i["definition"])
	if err != nil {
		return nil, fmt.Errorf("read action %q: %w", c.identifier, err)
	}
	var permissions json.RawMessage
	if packed := i["permissions"]; packed != nil {
		text, err := s.table.Codec.Unpack(packed)
		if err != nil {
			return nil, fmt.Errorf("read permissions of action %q: %w", c.identifier, err)
		}
		permissions = json.RawMessage(text)
	}
	return &action.Record{
		Identifier: c.identifier, ID: c.id, Rev: c.rev, Definition: json.RawMessage(definition), Permissions: permissions,
		CreatedAt: c.createdAt, UpdatedAt: c.updatedAt, CreatedBy: c.createdBy, UpdatedBy: c.updatedBy,
	}, nil
}
