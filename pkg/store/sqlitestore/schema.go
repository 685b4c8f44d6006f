package sqlitestore

// Heads are small and rewritten at every move; they lie in the order of their ids, which is that of
// time. What is large and written once lies in tables of its own. The columns beside head are what
// lists and the sweeper look for: times are milliseconds since 1970, due is NULL and active 0 once a
// run has ended.
const runsSchema = `
CREATE TABLE runs (
	id TEXT PRIMARY KEY,
	action TEXT NOT NULL,
	blueprint TEXT NOT NULL,
	entity TEXT NOT NULL,
	user_id TEXT NOT NULL,
	user_email TEXT NOT NULL,
	source TEXT NOT NULL,
	external TEXT NOT NULL,
	active INTEGER NOT NULL,
	due INTEGER,
	lease INTEGER NOT NULL,
	head BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_action ON runs (action, id);
CREATE INDEX runs_blueprint ON runs (blueprint, id) WHERE blueprint <> '';
CREATE INDEX runs_entity ON runs (entity, id) WHERE entity <> '';
CREATE INDEX runs_user_id ON runs (user_id, id);
CREATE INDEX runs_user_email ON runs (user_email, id) WHERE user_email <> '';
CREATE INDEX runs_external ON runs (external, id) WHERE external <> '';
CREATE INDEX runs_active ON runs (id) WHERE active = 1;
CREATE INDEX runs_due ON runs (due, id) WHERE due IS NOT NULL;

CREATE TABLE bodies (
	run TEXT PRIMARY KEY,
	properties BLOB,
	user BLOB,
	invocation BLOB
);
CREATE TABLE responses (
	run TEXT PRIMARY KEY,
	response BLOB NOT NULL
);
CREATE TABLE logs (
	run TEXT NOT NULL,
	id TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	message TEXT NOT NULL,
	PRIMARY KEY (run, id)
);
CREATE TABLE attempts (
	run TEXT NOT NULL,
	generation INTEGER NOT NULL,
	attempts BLOB NOT NULL,
	PRIMARY KEY (run, generation)
);
CREATE TABLE reservations (
	key TEXT PRIMARY KEY,
	run TEXT NOT NULL,
	body_hash TEXT NOT NULL,
	until INTEGER NOT NULL,
	expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reservations_expires ON reservations (expires);
`

// What is sent for a run with secrets lies apart: only its dispatcher reads it.
const sealedSchema = `
ALTER TABLE bodies ADD COLUMN secrets INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sealed (
	run TEXT PRIMARY KEY,
	invocation BLOB NOT NULL
);
`

// What is fixed about a run's approval. Notices are rows of runs whose ids sort before those of all runs.
const approvalSchema = "ALTER TABLE bodies ADD COLUMN approval BLOB"

// What agents look for: pending is empty for any run that nobody may claim.
const pendingSchema = `
ALTER TABLE runs ADD COLUMN pending TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN claimed_until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_pending ON runs (pending, id) WHERE pending <> '';
`

// A deleted definition stays for a while with the name of who deleted it; readers do not see it.
const actionsSchema = `
CREATE TABLE actions (
	identifier TEXT PRIMARY KEY,
	id TEXT NOT NULL,
	definition BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	updated_by TEXT NOT NULL,
	rev INTEGER NOT NULL,
	deleted_at INTEGER,
	deleted_by TEXT
);
CREATE TABLE stamps (
	kind TEXT PRIMARY KEY,
	stamp INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO stamps VALUES ('action', 1);
`

// actionPermissions adds permissions to definitions; NULL where none were ever written.
const actionPermissions = `ALTER TABLE actions ADD COLUMN permissions BLOB`

// actionSteps are the steps of definitions: blueprints have their stamps in the same table.
func actionSteps() []string { return []string{actionsSchema, actionPermissions} }

// What is deleted stays for a while with the name of who deleted it, each deletion in a row of its
// own; deleted_at is 0 of what lives. The indexes of the living leave those rows out, so that a list
// or a count after the deletion of many does not go over them, and have deleted_at, without which a
// count would read every row. Contents may be large; rowid tables keep them off the indexes' pages.
// An entity's blueprint is the internal id.
const catalogSchema = `
CREATE TABLE blueprints (
	identifier TEXT NOT NULL,
	id TEXT NOT NULL,
	definition BLOB NOT NULL,
	permissions BLOB,
	page INTEGER NOT NULL,
	deleting INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	updated_by TEXT NOT NULL,
	rev INTEGER NOT NULL,
	deleted_at INTEGER NOT NULL DEFAULT 0,
	deleted_by TEXT,
	deleted_origin TEXT,
	deleted_run TEXT
);
CREATE UNIQUE INDEX blueprints_living ON blueprints (identifier, deleted_at) WHERE deleted_at = 0;
CREATE INDEX blueprints_deleted ON blueprints (deleted_at) WHERE deleted_at > 0;

CREATE TABLE entities (
	blueprint TEXT NOT NULL,
	identifier TEXT NOT NULL,
	id TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	updated_by TEXT NOT NULL,
	last_by TEXT NOT NULL,
	last_origin TEXT NOT NULL,
	last_run TEXT NOT NULL,
	last_at INTEGER NOT NULL,
	rev INTEGER NOT NULL,
	deleted_at INTEGER NOT NULL DEFAULT 0,
	deleted_by TEXT,
	deleted_origin TEXT,
	deleted_run TEXT,
	content BLOB NOT NULL
);
CREATE UNIQUE INDEX entities_living ON entities (blueprint, identifier, deleted_at) WHERE deleted_at = 0;
CREATE INDEX entities_deleted ON entities (deleted_at) WHERE deleted_at > 0;

CREATE TABLE edges (
	target_blueprint TEXT NOT NULL,
	target TEXT NOT NULL,
	relation TEXT NOT NULL,
	source_blueprint TEXT NOT NULL,
	source TEXT NOT NULL,
	PRIMARY KEY (target_blueprint, target, relation, source_blueprint, source)
) WITHOUT ROWID;

INSERT INTO stamps VALUES ('blueprint', 1), ('entity', 0);
`

// What the change feed tells of authors beside their ids, and when the earliest timer of an entity ends, 0
// for none. Causes are JSON, empty for none.
const catalogTimers = `
ALTER TABLE blueprints ADD COLUMN deleted_email TEXT;
ALTER TABLE blueprints ADD COLUMN deleted_cause TEXT;
ALTER TABLE entities ADD COLUMN last_email TEXT NOT NULL DEFAULT '';
ALTER TABLE entities ADD COLUMN last_cause TEXT NOT NULL DEFAULT '';
ALTER TABLE entities ADD COLUMN deleted_email TEXT;
ALTER TABLE entities ADD COLUMN deleted_cause TEXT;
ALTER TABLE entities ADD COLUMN timer_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entities_timer ON entities (timer_at) WHERE timer_at > 0;
`

// Entries are in the order of their ids, which is that of time. Run is the run that an entry is about or
// tied to.
const auditsSchema = `
CREATE TABLE audits (
	id TEXT PRIMARY KEY,
	action TEXT NOT NULL,
	resource TEXT NOT NULL,
	identifier TEXT NOT NULL,
	blueprint TEXT NOT NULL,
	entity TEXT NOT NULL,
	by_id TEXT NOT NULL,
	by_email TEXT NOT NULL,
	origin TEXT NOT NULL,
	run TEXT NOT NULL,
	tied TEXT NOT NULL,
	at INTEGER NOT NULL,
	before BLOB,
	after BLOB
);
CREATE INDEX audits_run ON audits (run, id) WHERE run <> '';
CREATE INDEX audits_entity ON audits (entity, id) WHERE entity <> '';
CREATE INDEX audits_identifier ON audits (identifier, id) WHERE resource <> 'run';
`
