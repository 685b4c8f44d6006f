package sqlitestore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// List implements run.Store. Runs are ordered by id, so that every index that it uses has them in
// order, and a page reads what it shows.
func (s *Runs) List(ctx context.Context, f run.Filter) (*run.Page, error) {
	f.Limit = max(f.Limit, 1)
	text, args := s.listing(f)
	rows, err := s.db.Rows(ctx, text, args...)
	if err != nil {
		return nil, sqlite.Explain(err, "list runs")
	}
	defer rows.Close()
	page, size := new(run.Page), 0
	for rows.Next() {
		record, n, err := readRecord(rows)
		if err != nil {
			return nil, sqlite.Explain(err, "list runs")
		}
		size += n
		if last := len(page.Runs); last == f.Limit || last > 0 && size > run.MaxPage {
			page.Next = page.Runs[last-1].ID
			return page, nil
		}
		page.Runs = append(page.Runs, record)
	}
	return page, sqlite.Explain(rows.Err(), "list runs")
}

// listing returns the SELECT of a filter: one text for each combination of members, so that each is
// planned for what it has, by the index that leaves the fewest runs.
func (s *Runs) listing(f run.Filter) (text string, args []any) {
	index := ""
	var where strings.Builder
	match := func(column, value, by string) {
		if value == "" {
			return
		}
		fmt.Fprintf(&where, " AND r.%s = ?", column)
		if by != "" {
			// The planner uses a partial index only if it is told that its condition holds.
			fmt.Fprintf(&where, " AND r.%s <> ''", column)
		}
		args = append(args, value)
		if index == "" {
			index = "INDEXED BY runs_" + column
		}
	}
	args = append(args, s.oldest())
	match("external", f.ExternalRunID, "partial")
	match("entity", f.Entity, "partial")
	if f.Active != nil && *f.Active && index == "" {
		index = "INDEXED BY runs_active"
	}
	match("user_email", strings.ToLower(f.UserEmail), "partial")
	match("user_id", f.UserID, "")
	match("action", f.Action, "")
	match("blueprint", f.Blueprint, "partial")
	if f.Active != nil {
		if *f.Active {
			where.WriteString(" AND r.active = 1")
		} else {
			where.WriteString(" AND r.active = 0")
		}
	}
	if sources := slices.Compact(slices.Sorted(slices.Values(f.Sources))); len(sources) > 0 {
		fmt.Fprintf(&where, " AND r.source IN (?%s)", strings.Repeat(", ?", len(sources)-1))
		for _, source := range sources {
			args = append(args, source)
		}
	}
	if f.From != "" {
		where.WriteString(" AND r.id < ?")
		args = append(args, f.From)
	}
	if s.lag > 0 {
		where.WriteString(" AND r.id < ?")
		args = append(args, before(s.now().Add(-s.lag)))
	}
	args = append(args, f.Limit+1)
	return fmt.Sprintf(wholeRun, index) + "WHERE r.id >= ?" + where.String() + " ORDER BY r.id DESC LIMIT ?", args
}

// Due implements run.Store.
func (s *Runs) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	rows, err := s.db.Rows(ctx, "SELECT id FROM runs WHERE due <= ? AND (id >= ? OR id < 'r_' AND id >= ?) ORDER BY due, id LIMIT ?",
		now.Add(-s.lag).UnixMilli(), s.oldest(), oldestNotice(s.now()), limit)
	if err != nil {
		return nil, sqlite.Explain(err, "list due runs")
	}
	defer rows.Close()
	var due []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, sqlite.Explain(err, "list due runs")
		}
		due = append(due, id)
	}
	return due, sqlite.Explain(rows.Err(), "list due runs")
}

// Pending implements run.Store.
func (s *Runs) Pending(ctx context.Context, now time.Time, f run.PendingFilter) ([]string, error) {
	var where strings.Builder
	args := []any{f.Installation, nanos(now), s.oldest()}
	if f.Method != "" {
		where.WriteString(" AND method = ?")
		args = append(args, f.Method)
	}
	if len(f.Exclude) > 0 {
		fmt.Fprintf(&where, " AND action NOT IN (?%s)", strings.Repeat(", ?", len(f.Exclude)-1))
		for _, action := range f.Exclude {
			args = append(args, action)
		}
	}
	if s.lag > 0 {
		where.WriteString(" AND id < ?")
		args = append(args, before(s.now().Add(-s.lag)))
	}
	rows, err := s.db.Rows(ctx, "SELECT id FROM runs INDEXED BY runs_pending WHERE pending = ? AND pending <> '' AND claimed_until <= ? AND id >= ?"+
		where.String()+" ORDER BY id LIMIT ?", append(args, f.Limit)...)
	if err != nil {
		return nil, sqlite.Explain(err, "list pending runs")
	}
	defer rows.Close()
	var pending []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, sqlite.Explain(err, "list pending runs")
		}
		pending = append(pending, id)
	}
	return pending, sqlite.Explain(rows.Err(), "list pending runs")
}
