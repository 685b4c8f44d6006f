// Package sqlite keeps one SQLite database for one process: it opens it, locks its directory, and
// commits the writes of many callers together.
//
// It promises:
//   - what Write has answered survives a kill -9 and a loss of power;
//   - a write is whole or absent, and one that fails does not undo those that share its commit;
//   - only one process at a time has the directory, and a dead one does not keep it;
//   - a disk that is full or read-only is fault.Unavailable until it is no more.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"longshore/pkg/fault"
)

const (
	// busyTimeout is how long a statement waits for a lock, which only a foreign program (a
	// sqlite3 shell) can hold.
	busyTimeout = 5 * time.Second
	// checkpointPages is how many pages of 4 KiB the write-ahead log takes before they go to the
	// database: fewer checkpoints are fewer fsyncs, a longer log is a slower start after a crash.
	checkpointPages = 4000
	// retryAfter is when a caller may try again after the disk refused.
	retryAfter = 5 * time.Second
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	lock    *os.File
	readers *sql.DB
	// texts are the readers' prepared statements, *sql.Stmt by text.
	texts  sync.Map
	writer *writer
	close  func() error
}

// Open opens the database at path, makes it and its directory (mode 0700) where they are missing,
// and takes the directory for this process. Errors: fault.Conflict, data_in_use, when another
// process has it.
func Open(ctx context.Context, path string) (_ *DB, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	db := new(DB)
	db.close = sync.OnceValue(db.closeAll)
	if db.lock, err = takeLock(filepath.Dir(path)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	// SQLite would make the file readable by all; its log and index take over the file's mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if db.writer, err = startWriter(ctx, path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.readers, err = connect(path, "query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("open database for reading: %w", err)
	}
	connections := max(4, 2*runtime.GOMAXPROCS(0))
	db.readers.SetMaxOpenConns(connections)
	db.readers.SetMaxIdleConns(connections)
	if err := db.readers.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("open database for reading: %w", err)
	}
	return db, nil
}

// connect returns a pool whose connections have the pragmas that every one of ours has, and some more.
func connect(path string, pragmas ...string) (*sql.DB, error) {
	all := append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"temp_store(MEMORY)",
		"cache_size(-16000)",
	}, pragmas...)
	name := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": all}.Encode()}
	return sql.Open("sqlite", name.String())
}

// Close finishes the writes that were asked for, refuses later ones, and leaves the directory to
// others. A second call does nothing.
func (db *DB) Close() error { return db.close() }

func (db *DB) closeAll() error {
	var errs []error
	if db.writer != nil {
		errs = append(errs, db.writer.stop())
	}
	if db.readers != nil {
		errs = append(errs, db.readers.Close())
	}
	if db.writer != nil {
		// The last connection to close moves the log into the database, if it may write.
		errs = append(errs, db.writer.conn.Close(), db.writer.pool.Close())
	}
	errs = append(errs, db.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Write runs do in a transaction and returns once it is on the disk. Many callers share one
// transaction; do is run on the one goroutine that writes, one at a time, so it must be quick and
// must not wait for another Write. If it returns an error, or panics, what it wrote is undone, and
// Write returns the error as it is.
//
// Do may run again, on what the database held before, when another write of the transaction fails; it
// never runs after Write has returned. A caller whose context ends before its turn gets
// fault.Unavailable; after that it waits for the commit, so that it always knows. A write that the disk
// refuses is fault.Unavailable, too. Either write is absent.
func (db *DB) Write(ctx context.Context, do func(*Tx) error) error {
	return db.writer.write(ctx, do, false)
}

// WriteEarly is Write for what may be lost, such as a mark that is set again: it returns once do has run
// and may write what comes of that in the same transaction. What it wrote is on the disk no later than what
// is written behind it. Do may run again after WriteEarly has returned, so it tells what it found the first
// time only. While commits fail, it waits for them as Write does.
func (db *DB) WriteEarly(ctx context.Context, do func(*Tx) error) error {
	return db.writer.write(ctx, do, true)
}

// Rows runs a SELECT on a connection that cannot write. The statement is prepared once for each
// text. The rows are those of one moment. Explain makes its errors and those of the rows.
func (db *DB) Rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	statement, err := db.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// Scan runs a SELECT as Rows does and reads its first row; sql.ErrNoRows when there is none.
func (db *DB) Scan(ctx context.Context, text string, args []any, into ...any) error {
	statement, err := db.prepare(ctx, text)
	if err != nil {
		return err
	}
	return statement.QueryRowContext(ctx, args...).Scan(into...)
}

func (db *DB) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	select {
	case <-db.writer.closing:
		return nil, closed()
	default:
	}
	if statement, ok := db.texts.Load(text); ok {
		return statement.(*sql.Stmt), nil
	}
	statement, err := db.readers.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, loaded := db.texts.LoadOrStore(text, statement); loaded {
		return first.(*sql.Stmt), statement.Close()
	}
	return statement, nil
}

// Ping returns nil if the database can be read and written to now. Else its errors are fault.Unavailable.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.Scan(ctx, "SELECT 1", nil, &one); err != nil {
		return Explain(err, "read from the database")
	}
	return db.Write(ctx, func(tx *Tx) error {
		// The number means nothing; to set it writes a page.
		_, err := tx.Exec("PRAGMA user_version = 1")
		return err
	})
}

// Stats are counters since the start.
type Stats struct {
	// Commits are the transactions that wrote something. Each costs one fsync, and each 4,000 pages
	// about two more.
	Commits uint64
	// Operations are the writes that shared them.
	Operations uint64
	// Waiting is how many operations wait for the writer now.
	Waiting int
}

// Stats returns the counters.
func (db *DB) Stats() Stats {
	return Stats{
		Commits:    db.writer.commits.Load(),
		Operations: db.writer.operations.Load(),
		Waiting:    len(db.writer.queue),
	}
}

// Explain returns err as callers of a store may see it: fault.Unavailable where the database cannot
// be used now, a fault as it is, and everything else wrapped with what was being done.
func Explain(err error, doing string) error {
	var known *fault.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Busy(fmt.Errorf("%s: %w", doing, err), 0, "the request ended before the store answered")
	case unusable(err):
		return fault.Busy(fmt.Errorf("%s: %w", doing, err), retryAfter, "the store cannot be used now")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unusable reports whether the disk, or a lock of another program, is in the way. After such an
// error SQLite may have rolled back the whole transaction.
func unusable(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code() & 0xff {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_BUSY,
		lib.SQLITE_LOCKED, lib.SQLITE_NOMEM, lib.SQLITE_PROTOCOL, lib.SQLITE_INTERRUPT:
		return true
	}
	return false
}
