package dynamocatalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

// CreateMigration implements catalog.Store.
func (s *Catalog) CreateMigration(ctx context.Context, m *catalog.Migration) error {
	i, err := s.migrationItem(m)
	if err != nil {
		return err
	}
	err = s.change(ctx, "create a migration", nil, s.put(i, "attribute_not_exists(pk)", nil))
	if err == nil {
		m.Rev++
	}
	return err
}

// UpdateMigration implements catalog.Store.
func (s *Catalog) UpdateMigration(ctx context.Context, m *catalog.Migration) error {
	i, err := s.migrationItem(m)
	if err != nil {
		return err
	}
	was := map[string]types.AttributeValue{":rev": table.Number(m.Rev)}
	lost := false
	if m.Due.IsZero() {
		err = s.change(ctx, "end a migration", nil, s.put(i, "rev = :rev", was))
		if _, refused := table.Refused(err, 0); refused {
			lost, err = true, nil
		}
	} else {
		var won bool
		_, won, err = s.table.Put(ctx, i, "rev = :rev", was)
		lost = err == nil && !won
	}
	switch {
	case err != nil:
		return err
	case lost:
		return fault.New(fault.Conflict, "conflict", "the migration %s was changed meanwhile", m.ID)
	}
	m.Rev++
	return nil
}

// migrationItem returns a migration with its next rev as it is stored. One that has ended is in no index
// and expires.
func (s *Catalog) migrationItem(m *catalog.Migration) (table.Item, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode migration: %w", err)
	}
	i := table.NewItem(table.MigrationPartition, m.ID)
	i.SetInt("rev", m.Rev+1)
	i.SetInt("slice", int64(m.Slice))
	i["body"] = s.table.Codec.Pack(string(text))
	i.SetMark(table.NewMark())
	if m.Due.IsZero() {
		i.SetExpiry(m.UpdatedAt.Add(catalog.MigrationRetention))
	} else {
		i.SetText(table.TimerHash, table.MigrationPartition)
		i.SetText(table.TimerRange, table.TimerAt(m.Due))
	}
	return i, nil
}

func (s *Catalog) readMigration(i table.Item) (*catalog.Migration, error) {
	id := i.Text("sk")
	text, err := s.table.Codec.Unpack(i["body"])
	if err != nil {
		return nil, fmt.Errorf("read migration %s: %w", id, err)
	}
	m := new(catalog.Migration)
	if err := json.Unmarshal([]byte(text), m); err != nil {
		return nil, fmt.Errorf("decode migration %s: %w", id, err)
	}
	m.ID, m.Rev = id, i.Int("rev")
	m.Due, err = i.TimerAt()
	return m, err
}

// Migration implements catalog.Store.
func (s *Catalog) Migration(ctx context.Context, id string) (*catalog.Migration, error) {
	if id == "" || len(id) > maxKey {
		return nil, fault.New(fault.NotFound, "", "there is no such migration")
	}
	i, err := s.table.Get(ctx, table.MigrationPartition, id)
	if err != nil {
		return nil, err
	}
	if i == nil || i.Expired(s.now()) {
		return nil, fault.New(fault.NotFound, "", "there is no such migration")
	}
	return s.readMigration(i)
}

// Migrations implements catalog.Store.
func (s *Catalog) Migrations(ctx context.Context) ([]*catalog.Migration, error) {
	input := living(table.MigrationPartition)
	input.ConsistentRead = aws.Bool(true)
	input.FilterExpression = aws.String("attribute_exists(" + table.TimerHash + ")")
	var all []*catalog.Migration
	var failed error
	err := s.table.Query(ctx, input, func(page []map[string]types.AttributeValue) bool {
		for _, i := range page {
			m, err := s.readMigration(i)
			if err != nil {
				failed = err
				return false
			}
			all = append(all, m)
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return all, err
}
