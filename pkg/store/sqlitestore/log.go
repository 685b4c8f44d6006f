package sqlitestore

import (
	"context"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// AppendLog implements run.Store. fault.NotFound when the run does not exist. A line with an id that
// the run has replaces that line, so that a repeated write adds none.
func (s *Runs) AppendLog(ctx context.Context, l *run.Log) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return s.AppendLogTx(tx, l) })
}

// AppendLogTx is AppendLog as a part of an operation.
func (s *Runs) AppendLogTx(tx *sqlite.Tx, l *run.Log) error {
	if s.expired(l.RunID) {
		return notFound(l.RunID)
	}
	added, err := tx.Exec(`INSERT OR REPLACE INTO logs (run, id, created_at, created_by, message)
		SELECT id, ?, ?, ?, ? FROM runs WHERE id = ?`, l.ID, nanos(l.CreatedAt), l.CreatedBy, l.Message, l.RunID)
	if err == nil && added == 0 {
		return notFound(l.RunID)
	}
	return sqlite.Explain(err, "write log line")
}

// Logs implements run.Store. A Limit of 0 means all lines; a run that does not exist has none.
func (s *Runs) Logs(ctx context.Context, id string, q run.LogQuery) ([]*run.Log, error) {
	if s.expired(id) {
		return nil, nil
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.db.Rows(ctx, `SELECT id, created_at, created_by, message FROM logs
		WHERE run = ? AND id > ? ORDER BY id LIMIT ? OFFSET ?`, id, q.After, limit, max(q.Offset, 0))
	if err != nil {
		return nil, sqlite.Explain(err, "read logs")
	}
	defer rows.Close()
	var lines []*run.Log
	for rows.Next() {
		l := &run.Log{RunID: id}
		var at int64
		if err := rows.Scan(&l.ID, &at, &l.CreatedBy, &l.Message); err != nil {
			return nil, sqlite.Explain(err, "read logs")
		}
		l.CreatedAt = moment(at)
		lines = append(lines, l)
	}
	return lines, sqlite.Explain(rows.Err(), "read logs")
}
