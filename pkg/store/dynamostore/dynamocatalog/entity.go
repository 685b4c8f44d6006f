package dynamocatalog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/internal/table"
	"longshore/pkg/timer"
)

const anEntity noun = "an entity"

const (
	entityPrefix = "entity#"
	// entityShards is over how many partitions the entities of a blueprint are spread: one takes
	// 1,000 writes a second and gives 24 MB of reads.
	entityShards = 16
)

// partitionOf returns one partition of a blueprint's entities.
func partitionOf(blueprint string, shard int) string {
	return fmt.Sprintf("%s%s#%x", entityPrefix, blueprint, shard)
}

// entityPlace returns where an entity is. The shard is a part of the key and never changes.
func entityPlace(k catalog.Key) table.Name {
	return table.Name{PK: partitionOf(k.Blueprint, shardOf(k.Identifier)), SK: table.KeyPart(k.Identifier)}
}

func shardOf(identifier string) int {
	sum := sha256.Sum256([]byte(identifier))
	return int(sum[0]) % entityShards
}

// Entity implements catalog.Store.
func (s *Catalog) Entity(ctx context.Context, key catalog.Key) (*catalog.Entity, error) {
	i, err := find(ctx, s.table, anEntity, entityPlace(key), key.Identifier)
	if err != nil {
		return nil, err
	}
	return s.readEntity(i)
}

// Entities implements catalog.Store.
func (s *Catalog) Entities(ctx context.Context, keys []catalog.Key) ([]*catalog.Entity, error) {
	var places []table.Name
	known := map[table.Name]bool{}
	for _, k := range keys {
		// A batch takes no key twice, and empty is no key.
		if p := entityPlace(k); k.Identifier != "" && !known[p] {
			known[p] = true
			places = append(places, p)
		}
	}
	batches := slices.Collect(slices.Chunk(places, table.BatchKeys))
	found := make([][]*catalog.Entity, len(batches))
	err := table.Parallel(len(batches), func(n int) error {
		items, err := s.table.Batch(ctx, batches[n])
		if err != nil {
			return err
		}
		for _, i := range items {
			if gone(i) {
				continue
			}
			e, err := s.readEntity(i)
			if err != nil {
				return err
			}
			found[n] = append(found[n], e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// CreateEntity implements catalog.Store.
func (s *Catalog) CreateEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, entries ...*audit.Entry) error {
	if err := s.addEdges(ctx, edges, e.ID, 1); err != nil {
		return err
	}
	_, won, err := s.table.Put(ctx, s.entityItem(e, 1), isFree, nil)
	if err == nil && !won {
		return anEntity.taken(e.Identifier)
	}
	if err == nil {
		s.record(ctx, entries)
	}
	return err
}

// ReplaceEntity implements catalog.Store.
func (s *Catalog) ReplaceEntity(ctx context.Context, e *catalog.Entity, edges, stale []catalog.Edge, entries ...*audit.Entry) error {
	rev := e.Rev + 1
	if err := s.addEdges(ctx, edges, e.ID, rev); err != nil {
		return err
	}
	found, won, err := s.table.Put(ctx, s.entityItem(e, rev), isSame, same(e.ID, e.Rev))
	if err != nil {
		return err
	}
	if !won {
		return anEntity.refused(e.Identifier, found)
	}
	s.record(ctx, entries)
	s.removeEdges(ctx, stale, e.ID, rev)
	return nil
}

// DeleteEntity implements catalog.Store. The item stays for an hour and names who deleted it.
func (s *Catalog) DeleteEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, by catalog.Author, entries ...*audit.Entry) error {
	if e.Identifier == "" {
		return anEntity.missing(e.Identifier)
	}
	buried := bury(s.table, entityPlace(e.Key), by, isSame, same(e.ID, e.Rev))
	// What is deleted has no timer.
	buried.UpdateExpression = aws.String(*buried.UpdateExpression + " REMOVE " + table.TimerHash + ", " + table.TimerRange + ", " + table.TimersAttribute)
	found, won, err := s.table.Update(ctx, buried)
	if err != nil {
		return err
	}
	if !won {
		return anEntity.refused(e.Identifier, found)
	}
	s.record(ctx, entries)
	s.removeEdges(ctx, edges, e.ID, e.Rev+1)
	return nil
}

// record keeps the entries of an entity's change that has happened: it ends, even if the request that asked
// for it is gone. The change feed makes the entries anew, so that one that cannot be kept now is no loss.
func (s *Catalog) record(ctx context.Context, entries []*audit.Entry) {
	if entries = audit.Kept(entries); len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordFor)
	defer cancel()
	log := &Audit{table: s.table, retention: s.AuditRetention, now: s.now}
	if err := log.Record(ctx, entries...); err != nil && s.Log != nil {
		s.Log.LogAttrs(ctx, slog.LevelWarn, "audit entries of a change not written",
			slog.String("resource", entries[0].Resource), slog.String("action", entries[0].Action), slog.Any("error", err))
	}
}

// entityItem returns an entity with its next rev as it is stored.
func (s *Catalog) entityItem(e *catalog.Entity, rev int64) table.Item {
	i := record{
		identifier: e.Identifier, id: e.ID, rev: rev,
		createdAt: e.CreatedAt, updatedAt: e.UpdatedAt, createdBy: e.CreatedBy, updatedBy: e.UpdatedBy,
	}.item(entityPlace(e.Key).PK)
	i["content"] = s.table.Codec.Pack(string(e.Content))
	i["last"] = table.Author(e.Last)
	if due := e.Due(); !due.IsZero() {
		i.SetText(table.TimerHash, table.TimerShard(shardOf(e.Identifier)))
		i.SetText(table.TimerRange, table.TimerAt(due))
		i[table.TimersAttribute] = s.table.Codec.Pack(timer.Encode(e.Timers))
	}
	i.SetMark(table.NewMark())
	return i
}

func (s *Catalog) readEntity(i table.Item) (*catalog.Entity, error) {
	c := recordOf(i)
	content, err := s.table.Codec.Unpack(i["content"])
	if err != nil {
		return nil, fmt.Errorf("read entity %q of %s: %w", c.identifier, i.Text("pk"), err)
	}
	e := &catalog.Entity{
		Key: catalog.Key{Blueprint: blueprintOf(i.Text("pk")), Identifier: c.identifier},
		ID:  c.id, Rev: c.rev, Content: json.RawMessage(content),
		CreatedAt: c.createdAt, UpdatedAt: c.updatedAt, CreatedBy: c.createdBy, UpdatedBy: c.updatedBy,
	}
	e.Last = table.ReadAuthor(i["last"])
	e.Timers, err = s.table.Timers(i)
	return e, err
}

// blueprintOf returns the blueprint's id in the name of a partition of entities.
func blueprintOf(pk string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(pk, entityPrefix), "#")
	return id
}
