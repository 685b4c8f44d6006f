package sqlitestore

import (
	"context"

	"longshore/pkg/catalog"
	"longshore/pkg/sqlite"
)

const edgesBehind = `SELECT relation, source_blueprint, source FROM edges
	WHERE target_blueprint = ? AND target = ? AND (relation, source_blueprint, source) > (?, ?, ?)
	ORDER BY relation, source_blueprint, source LIMIT ?`

// Sources implements catalog.Store. Edges are in the order of relation and source.
func (s *Catalog) Sources(ctx context.Context, target catalog.Key, from string, limit int) (edges []catalog.Edge, next string, err error) {
	limit = max(limit, 1)
	last, err := behind(from, 3, "edges", target.Blueprint, target.Identifier)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.db.Rows(ctx, edgesBehind, target.Blueprint, target.Identifier, last[0], last[1], last[2], limit+1)
	if err != nil {
		return nil, "", sqlite.Explain(err, "read edges")
	}
	defer rows.Close()
	for rows.Next() {
		if n := len(edges); n == limit {
			e := edges[n-1]
			return edges, place([]string{"edges", target.Blueprint, target.Identifier},
				[]string{e.Relation, e.Source.Blueprint, e.Source.Identifier}), nil
		}
		e := catalog.Edge{Target: target}
		if err := rows.Scan(&e.Relation, &e.Source.Blueprint, &e.Source.Identifier); err != nil {
			return nil, "", sqlite.Explain(err, "read edges")
		}
		edges = append(edges, e)
	}
	if err := rows.Err(); err != nil {
		return nil, "", sqlite.Explain(err, "read edges")
	}
	return edges, "", nil
}

// addEdges writes edges that may be there already.
func addEdges(tx *sqlite.Tx, edges []catalog.Edge) error {
	for _, e := range edges {
		if _, err := tx.Exec(`INSERT INTO edges (target_blueprint, target, relation, source_blueprint, source)
			VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.Target.Blueprint, e.Target.Identifier, e.Relation, e.Source.Blueprint, e.Source.Identifier); err != nil {
			return sqlite.Explain(err, "write edge")
		}
	}
	return nil
}

// removeEdges deletes edges that may be gone already.
func removeEdges(tx *sqlite.Tx, edges []catalog.Edge) error {
	for _, e := range edges {
		if _, err := tx.Exec(`DELETE FROM edges WHERE target_blueprint = ? AND target = ? AND relation = ?
			AND source_blueprint = ? AND source = ?`,
			e.Target.Blueprint, e.Target.Identifier, e.Relation, e.Source.Blueprint, e.Source.Identifier); err != nil {
			return sqlite.Explain(err, "remove edge")
		}
	}
	return nil
}
