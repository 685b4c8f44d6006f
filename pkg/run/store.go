package run

import (
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/audit"
)

// Store keeps runs. dynamostore and sqlitestore implement it; storetest defines what it promises.
//
// Every method may return fault.Unavailable when the store is throttled or cannot be reached; what
// it was to write is then either whole or absent.
type Store interface {
	// Create records a run: body and sealed invocation first, then the head, whose existence makes the
	// run exist. fault.Conflict when the id is taken. Its entry in the audit log, Created, is written as
	// that of a move is.
	Create(ctx context.Context, r *Run, b *Body) error
	// Get reads a head, consistently. fault.NotFound when there is none or it has expired.
	Get(ctx context.Context, id string) (*Run, error)
	// Read reads a run whole, consistently. fault.NotFound as Get. A head without its body, or
	// with a response that is missing, is read as one with empty properties and without response.
	Read(ctx context.Context, id string) (*Record, error)
	// Sealed returns the sealed invocation that Create recorded. fault.NotFound as Get, and when the run
	// has none.
	Sealed(ctx context.Context, id string) ([]byte, error)
	// Update reads the head, calls move, and writes the head with a raised Rev and what move
	// returned, all or nothing, if nobody else wrote meanwhile; else it starts over. Move may be
	// called more than once, must be quick and must not use the store. When move returns nil and no
	// error nothing is written. An error of move is returned as it is. fault.NotFound as Get.
	// The run it returns is the one as stored.
	Update(ctx context.Context, id string, move func(*Run) (*Write, error)) (*Run, error)
	// List returns runs newest first. It may lag behind writes by a second or two; what it returns
	// of each run is consistent. It stops at the limit or at MaxPage bytes.
	List(ctx context.Context, f Filter) (*Page, error)
	// Due returns up to limit ids of runs whose Due is not after now, oldest first. It may lag.
	Due(ctx context.Context, now time.Time, limit int) ([]string, error)
	// Pending returns up to f.Limit ids of runs that may be claimed, oldest first. It may lag.
	Pending(ctx context.Context, now time.Time, f PendingFilter) ([]string, error)
	// AppendLog adds a line to a run that exists.
	AppendLog(ctx context.Context, l *Log) error
	// Logs returns a run's lines, oldest first.
	Logs(ctx context.Context, id string, q LogQuery) ([]*Log, error)
	// Attempts returns the attempts of the run's closed generations, oldest first.
	Attempts(ctx context.Context, id string) ([]Attempt, error)
	// Reserved returns the reservation that holds an idempotency key, consistently; false when none
	// does or it has passed Expires.
	Reserved(ctx context.Context, key string, now time.Time) (held Reservation, found bool, err error)
	// Reserve takes an idempotency key for a run that is about to be created. It wins if the key is
	// free, has passed Expires, or has passed Until while its run has no head; in that last case
	// the winner takes over the run id of the earlier reservation, as the returned one says.
	// If it does not win it returns the reservation that holds the key.
	Reserve(ctx context.Context, want Reservation, now time.Time) (held Reservation, won bool, err error)
}

// Write is what Update writes beside the head.
type Write struct {
	// Logs are appended in order, each to the run that it names: to that of the head or, of a notice, to
	// the one that it tells of. A line of a run that is not there is lost.
	Logs []*Log
	// Response is stored as the run's response when not nil; at most 256 KiB.
	Response json.RawMessage
	// Closed are the attempts of generation ClosedGeneration, kept apart from the head.
	Closed           []Attempt
	ClosedGeneration int
	// By is who asked for the move, nil for one that Longshore makes by itself. The store signs the move
	// (Sign). The entry in the audit log that this gives is written with the head where the store has the log
	// in its own database; for others Audited records it after the move, or the change feed does.
	By *audit.Author
}

// Record is a run whole.
type Record struct {
	*Run
	Body
	// Response is nil when there is none.
	Response json.RawMessage
}

// Filter selects runs; its members are ANDed, zero ones ignored.
type Filter struct {
	Action, Blueprint, Entity, UserID, UserEmail, ExternalRunID string
	// Sources are ORed.
	Sources []string
	// Active true selects runs that have not ended, false those that have.
	Active *bool
	// From is the id of the last run of the page before; runs older than it are returned.
	From string
	// Limit is 1 to 1,000.
	Limit int
}

// Page is one page of a list.
type Page struct {
	Runs []*Record
	// Next is the From of the next page, empty on the last.
	Next string
}

// MaxPage is about how many bytes of bodies and responses a page holds before it ends.
const MaxPage = 4 << 20

// LogQuery selects log lines.
type LogQuery struct {
	// After is a log id; later lines are returned.
	After string
	// Offset skips lines; Limit is 1 to 50 for the API, more for the store's own callers.
	Offset, Limit int
}

// Reservation is an idempotency key in use.
type Reservation struct {
	// Key is a hash of caller, action and the client's key.
	Key string
	// RunID is the run that the key stands for.
	RunID string
	// BodyHash tells another request under the same key from a repeated one.
	BodyHash string
	// Until is when a reservation without a run's head may be taken over; Expires is when the key
	// is free again.
	Until, Expires time.Time
}

const (
	// ReserveFor is how long a trigger may take to record the run of its reservation: longer than
	// the function can live.
	ReserveFor = 35 * time.Second
	// KeyLifetime is how long an idempotency key is remembered.
	KeyLifetime = 24 * time.Hour
)
