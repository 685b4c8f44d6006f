// Package audit is the record of who changed what: entries, how they are selected, and where they are
// kept.
//
// It promises that one change has one entry however often it is recorded, since an entry's id is made
// of the change, and that nothing in an entry is changed afterwards.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"
)

// Author is who changed something, and through what.
type Author struct {
	// ID is the client id of a machine, or a user's id.
	ID string
	// Email is a user's; empty for a machine.
	Email string
	// Origin is UI, API or AUTOMATION, as a run's source.
	Origin string
	// RunID is the run that the change is tied to, empty for none.
	RunID string
	// Cause is what brought the change about; it is kept with what was changed, and not in entries.
	Cause Cause
	// At has millisecond precision, in UTC.
	At time.Time
}

// Cause is what a change follows from; the zero Cause is for one that nothing but its author brought about.
type Cause struct {
	// EventID is the event that started the run of an automation, empty for other runs.
	EventID string
	// RunID is the run that made the change.
	RunID string
	// Depth is how many runs of automations lie between the change and what began it all. A run that another
	// run started through the API counts too, unless that one is an automation's.
	Depth int
}

// OfStarted is the Cause of a run that is started through the API by what the Cause is of.
func (c Cause) OfStarted() Cause {
	if c.RunID == "" {
		return Cause{}
	}
	started := Cause{RunID: c.RunID, Depth: c.Depth}
	if c.EventID == "" {
		// No event counts what follows from a run to a run without an automation between them.
		started.Depth++
	}
	return started
}

// Actions of entries.
const (
	Create = "CREATE"
	Update = "UPDATE"
	Delete = "DELETE"
)

// Resources that entries are about.
const (
	Blueprint    = "blueprint"
	Entity       = "entity"
	Run          = "run"
	Action       = "action"
	Permission   = "permission"
	Organization = "organization"
	Secret       = "secret"
)

// Entry is one change.
type Entry struct {
	// ID is a ULID, made of the change by New.
	ID string
	// Action is Create, Update or Delete; Resource is one of the resources.
	Action, Resource string
	// Identifier is that of what was changed; a permission's is its action's or blueprint's.
	Identifier string
	// Blueprint is the blueprint that an entity, a run, an action or a permission belongs to, Entity the
	// entity of a run or the entity itself; empty for none.
	Blueprint, Entity string
	By                Author
	// Before and After are JSON objects, nil for what was not there. Secrets are masked; of runs they are
	// the head's fields.
	Before, After json.RawMessage
}

// New completes an entry: its id is made of its time, of rev, and of key, which names the change and no
// other one: the internal id of what changed and its rev, for example. Rev is 0 for what begins to exist
// and grows from change to change, so that changes of one thing in one millisecond are in their order.
func New(e Entry, key string, rev int64) *Entry {
	sum := sha256.Sum256([]byte(e.Resource + "\x00" + e.Action + "\x00" + key))
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(e.By.At))
	entropy := binary.BigEndian.AppendUint16(nil, uint16(rev))
	_ = id.SetEntropy(append(entropy, sum[:8]...))
	e.ID = id.String()
	return &e
}
