package catalog

import (
	"context"
	"crypto/rand"
	"time"
)

// MigrationKind says what a migration does.
type MigrationKind string

// Kinds of migrations.
const (
	// MigrateAll deletes the entities of a blueprint and then, where that was asked for, the blueprint.
	MigrateAll MigrationKind = "all-entities"
	// MigrateBlueprint deletes a blueprint unless it has entities.
	MigrateBlueprint MigrationKind = "blueprint"
	// MigrateRelations deletes entities and empties the relations that lead to them.
	MigrateRelations MigrationKind = "relations"
	// MigrateDependents deletes entities, those that relate to them, and those that relate to these.
	MigrateDependents MigrationKind = "dependents"
	// MigrateRename lets relations follow an entity that got another identifier.
	MigrateRename MigrationKind = "rename"
	// MigrateBlueprintRename lets the relations of other blueprints follow one that got another identifier.
	MigrateBlueprintRename MigrationKind = "blueprint-rename"
)

// MigrationStatus is the state of a migration. All but MigrationRunning are final.
type MigrationStatus string

// States of migrations, in Port's words.
const (
	// MigrationRunning has slices to come; the last of them ends it.
	MigrationRunning MigrationStatus = "RUNNING"
	// MigrationCompleted did all that was asked for.
	MigrationCompleted MigrationStatus = "COMPLETED"
	// MigrationFailure could not do a part of it; Error says which.
	MigrationFailure MigrationStatus = "FAILURE"
	// MigrationCancelled was recorded before a change that then did not come about.
	MigrationCancelled MigrationStatus = "CANCELLED"
)

// Migration is a change of many entities that goes on in slices. It is recorded before its first slice,
// so that whoever finds it can carry out the next one: a slice does again what another one did already,
// without effect.
type Migration struct {
	// ID is "mig_" and 16 characters.
	ID     string `json:"-"`
	Kind   MigrationKind
	Status MigrationStatus
	// Blueprint is the internal id of the blueprint whose entities it is about, Name what it was called.
	Blueprint, Name string
	// DeleteBlueprint lets MigrateAll delete the blueprint too.
	DeleteBlueprint bool
	// Targets are the entities that MigrateRelations and MigrateDependents delete, and the one that
	// MigrateRename replaces; To is that one's new identifier, or the blueprint's of MigrateBlueprintRename.
	Targets []MigrationTarget
	To      string
	// By asked for it; each slice writes with its own time.
	By Author
	// Cursor is where MigrateAll goes on, Path what MigrateDependents is about to delete: each relates to
	// the one before it.
	Cursor string
	Path   []Key
	// Deleted and Changed are how many entities were deleted, and changed because they related to such.
	// A slice that a crash cut short is not in them. Failed are those that had to stay.
	Deleted, Changed, Failed int
	// Error is a sentence about what had to stay; empty for nothing.
	Error string
	// Slice is the number of the next slice, from 1. A message with another one is out of date.
	Slice                int
	CreatedAt, UpdatedAt time.Time
	// Due is when the next slice is asked for again because its message must have been lost; zero once
	// the migration has ended.
	Due time.Time `json:"-"`
	// Rev is raised by every write.
	Rev int64 `json:"-"`
}

// MigrationTarget is an entity of a migration's blueprint. The internal id tells it from a later one of
// the same identifier.
type MigrationTarget struct{ Identifier, ID string }

// NewMigrationID draws the id of a migration.
func NewMigrationID() string { return "mig_" + rand.Text()[:16] }

// MigrationRetention is how long a migration that has ended can be looked up.
const MigrationRetention = 14 * 24 * time.Hour

// MigrationStore keeps migrations. Their beginning and their end raise the stamp of blueprints, since
// both change how entities are read. Every method may return fault.Unavailable.
type MigrationStore interface {
	// CreateMigration keeps a new migration and sets its Rev.
	CreateMigration(ctx context.Context, m *Migration) error
	// Migration returns one migration. fault.NotFound when there is none, or it ended longer than
	// MigrationRetention ago.
	Migration(ctx context.Context, id string) (*Migration, error)
	// Migrations returns those that are running, by id.
	Migrations(ctx context.Context) ([]*Migration, error)
	// UpdateMigration puts m in the place of the migration of its id, whose Rev must still be m's, and
	// raises it. fault.Conflict, conflict, when somebody else wrote meanwhile.
	UpdateMigration(ctx context.Context, m *Migration) error
}
