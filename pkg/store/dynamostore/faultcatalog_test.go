package dynamostore_test

import (
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// catalogCalls are all methods of the catalog's store.
func catalogCalls(s *dynamocatalog.Catalog, now time.Time) map[string]func(context.Context) error {
	by := catalog.Author{ID: "client_1", At: now}
	blueprint := &catalog.Blueprint{Identifier: "service", ID: "bp_1", Definition: json.RawMessage(`{}`)}
	entity := &catalog.Entity{Key: catalog.Key{Blueprint: "bp_1", Identifier: "cart"}, ID: "ent_1", Content: json.RawMessage(`{}`)}
	edges := []catalog.Edge{{Source: entity.Key, Relation: "uses", Target: catalog.Key{Blueprint: "bp_1", Identifier: "pay"}}}
	return map[string]func(context.Context) error{
		"Stamp of blueprints": func(ctx context.Context) error { _, err := s.Stamp(ctx); return err },
		"Blueprints":          func(ctx context.Context) error { _, err := s.Blueprints(ctx); return err },
		"Blueprint":           func(ctx context.Context) error { _, err := s.Blueprint(ctx, "service"); return err },
		"CreateBlueprint":     func(ctx context.Context) error { return s.CreateBlueprint(ctx, blueprint) },
		"ReplaceBlueprint":    func(ctx context.Context) error { return s.ReplaceBlueprint(ctx, "old", blueprint) },
		"DeleteBlueprint":     func(ctx context.Context) error { return s.DeleteBlueprint(ctx, blueprint, by) },
		"Entity":              func(ctx context.Context) error { _, err := s.Entity(ctx, entity.Key); return err },
		"Entities":            func(ctx context.Context) error { _, err := s.Entities(ctx, []catalog.Key{entity.Key}); return err },
		"CreateEntity":        func(ctx context.Context) error { return s.CreateEntity(ctx, entity, edges) },
		"CreateEntity alone":  func(ctx context.Context) error { return s.CreateEntity(ctx, entity, nil) },
		"ReplaceEntity":       func(ctx context.Context) error { return s.ReplaceEntity(ctx, entity, edges, edges) },
		"DeleteEntity":        func(ctx context.Context) error { return s.DeleteEntity(ctx, entity, edges, by) },
		"List of entities":    func(ctx context.Context) error { _, err := s.List(ctx, "bp_1", "", 10); return err },
		"Count":               func(ctx context.Context) error { _, err := s.Count(ctx, "bp_1"); return err },
		"Sources":             func(ctx context.Context) error { _, _, err := s.Sources(ctx, entity.Key, "", 10); return err },
	}
}
