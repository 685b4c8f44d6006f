package breaker

import (
	"context"
	"time"
)

// Store keeps hosts. dynamostore and sqlitestore implement it; storetest defines what it promises.
// Errors are fault.Unavailable when the store is throttled or cannot be reached.
type Store interface {
	// Host reads a host; one that is not there has Rev 0. It may lag behind writes.
	Host(ctx context.Context, backend, name string) (Host, error)
	// PutHost writes a host whose Rev is one more than that of the one it was made of, if nobody else
	// wrote it meanwhile. Otherwise won is false and now is what is there.
	PutHost(ctx context.Context, h Host) (now Host, won bool, err error)
	// Hosts returns those of a backend that were written in the last Retention, by name. It may lag.
	Hosts(ctx context.Context, backend string) ([]Host, error)
}

// Retention is how long a host is kept after it was last written.
const Retention = 7 * 24 * time.Hour
