package dynamostore

import (
	"context"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Migrations is the catalog's table as the sweeper sees it. It links nothing of the catalog.
type Migrations struct{ table table.Table }

// NewMigrations returns the migrations in the catalog's table.
func NewMigrations(client Client, name string) *Migrations {
	return &Migrations{table.New(client, name)}
}

// DueMigrations returns up to limit migrations whose next slice nobody has taken up for too long, the
// oldest first.
func (s *Migrations) DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error) {
	return s.table.DueMigrations(ctx, now, limit)
}

// RestMigration puts one off and raises its Sends, unless somebody moved it meanwhile.
func (s *Migrations) RestMigration(ctx context.Context, m queue.Late, until time.Time) error {
	return s.table.RestMigration(ctx, m, until)
}
