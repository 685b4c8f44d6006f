package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"longshore/pkg/fault"
)

const (
	// maxGroup is how many operations share a commit at most: it bounds how long the first waits.
	maxGroup = 500
	// yields is how often the writer waits, each time a moment, for what an early answer sets off.
	yields = 20
	// maxWaiting is how many operations wait before callers do.
	maxWaiting = 4 * maxGroup
)

// operation is one caller's write.
type operation struct {
	do     func(*Tx) error
	answer chan error
	// state settles who has the operation: the writer that runs it or the caller that leaves.
	state atomic.Int32
	// err is what do returned, until the commit.
	err error
	// early has the operation answered before the commit; answered is that it was.
	early, answered bool
}

// States of an operation.
const (
	waiting int32 = iota
	taken
	withdrawn
)

// writer owns the one connection that writes; all its fields below queue belong to its goroutine.
type writer struct {
	queue   chan *operation
	closing chan struct{}
	stopped chan struct{}

	commits, operations atomic.Uint64

	pool *sql.DB
	conn *sql.Conn
	// statements are prepared once. They are the driver's own: database/sql would lock, convert and wrap
	// at each what this goroutine has to itself. Args are those of the one that runs.
	statements map[string]statement
	args       []driver.NamedValue
	group      []*operation
	// wrote is how many operations of the group have written.
	wrote uint64
	// answers is how many of the group were answered early, and failing that the last commit failed.
	answers int
	failing bool
	tx      Tx
}

// statement is what the driver prepares.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// closed is the answer of a database that is being closed.
func closed() error { return fault.Busy(nil, retryAfter, "the store is closed") }

// startWriter connects and starts the goroutine.
func startWriter(ctx context.Context, path string) (*writer, error) {
	pool, err := connect(path, fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages), "journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	w := &writer{
		queue:      make(chan *operation, maxWaiting),
		closing:    make(chan struct{}),
		stopped:    make(chan struct{}),
		pool:       pool,
		conn:       conn,
		statements: map[string]statement{},
	}
	w.tx.w = w
	go w.run()
	return w, nil
}

// stop lets the goroutine finish what was asked of it, waits, and closes its statements.
func (w *writer) stop() error {
	close(w.closing)
	<-w.stopped
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (w *writer) write(ctx context.Context, do func(*Tx) error, early bool) error {
	if err := ctx.Err(); err != nil {
		return Explain(err, "wait for the writer")
	}
	o := &operation{do: do, answer: make(chan error, 1), early: early}
	select {
	case w.queue <- o:
	case <-ctx.Done():
		return Explain(ctx.Err(), "wait for the writer")
	case <-w.stopped:
		return closed()
	}
	select {
	case err := <-o.answer:
		return err
	case <-ctx.Done():
		if o.state.CompareAndSwap(waiting, withdrawn) {
			return Explain(ctx.Err(), "wait for the writer")
		}
	case <-w.stopped:
		// The operation came after the writer had looked for the last time, or has its answer.
		if o.state.CompareAndSwap(waiting, withdrawn) {
			return closed()
		}
	}
	return <-o.answer
}

func (w *writer) run() {
	defer close(w.stopped)
	for {
		select {
		case o := <-w.queue:
			w.commit(o)
			continue
		default:
		}
		select {
		case o := <-w.queue:
			w.commit(o)
		case <-w.closing:
			for len(w.queue) > 0 {
				w.commit(<-w.queue)
			}
			return
		}
	}
}

// commit runs an operation and all that have come meanwhile, yields once to the callers that are
// about to come (without that a process with one CPU would never group anything), runs theirs, and
// commits them together.
func (w *writer) commit(first *operation) {
	w.group, w.answers = w.group[:0], 0
	w.tx.broken, w.tx.after, w.tx.careful, w.wrote = nil, w.tx.after[:0], false, 0
	err := w.exec("BEGIN IMMEDIATE")
	w.perform(first, err)
	w.drain(err)
	if err == nil && w.tx.broken == nil {
		runtime.Gosched()
		w.drain(nil)
		// Who was answered early is about to write more, perhaps from other threads.
		for i := 0; i < yields && w.answers > 0 && len(w.group) < maxGroup && w.tx.broken == nil; i++ {
			runtime.Gosched()
			w.drain(nil)
		}
	}
	if err == nil {
		err = w.tx.broken
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		// SQLite may have rolled back by itself; then this one has nothing to do and says so.
		_ = w.exec("ROLLBACK")
		err, w.failing = Explain(err, "write to the database"), true
	} else {
		w.failing = false
		if w.wrote > 0 {
			w.commits.Add(1)
			w.operations.Add(w.wrote)
		}
		for _, f := range w.tx.after {
			f()
		}
	}
	for i, o := range w.group {
		if err != nil {
			o.err = err
		}
		if !o.answered {
			o.answer <- o.err
		}
		w.group[i] = nil
	}
	clear(w.tx.after)
}

// drain performs the operations that wait.
func (w *writer) drain(err error) {
	for len(w.group) < maxGroup && w.tx.broken == nil {
		select {
		case o := <-w.queue:
			w.perform(o, err)
		default:
			return
		}
	}
}

// perform runs one operation, unless its caller is gone or the group has failed.
func (w *writer) perform(o *operation, failed error) {
	if !o.state.CompareAndSwap(waiting, taken) {
		return
	}
	w.group = append(w.group, o)
	if failed != nil {
		return
	}
	w.do(o)
	if o.err != nil && w.tx.wrote && !w.tx.careful && w.tx.broken == nil {
		w.repeat(o)
	}
}

// repeat takes back what an operation wrote before it failed. Savepoints would cost every operation, and
// one that fails so late is rare: the whole transaction is rolled back, and the others are done again,
// now and for the rest of this group between savepoints.
func (w *writer) repeat(bad *operation) {
	clear(w.tx.after)
	w.tx.after, w.tx.careful, w.wrote = w.tx.after[:0], true, 0
	if w.tx.broken = w.exec("ROLLBACK"); w.tx.broken == nil {
		w.tx.broken = w.exec("BEGIN IMMEDIATE")
	}
	for _, o := range w.group {
		if w.tx.broken != nil {
			return
		}
		if o != bad {
			w.do(o)
		}
	}
}

// do runs one operation and, if the group is careful, undoes what one that failed has written.
func (w *writer) do(o *operation) {
	w.tx.wrote = false
	kept := len(w.tx.after)
	o.err = w.try(o.do)
	if unusable(o.err) {
		w.tx.broken = o.err
	}
	if w.tx.broken != nil {
		return
	}
	if o.err != nil {
		w.tx.after = w.tx.after[:kept]
	}
	if !w.tx.wrote {
		return
	}
	if o.err == nil {
		w.wrote++
		if o.early && !o.answered && !w.failing {
			o.answered = true
			w.answers++
			o.answer <- nil
		}
	}
	if !w.tx.careful {
		return
	}
	if o.err != nil {
		w.tx.broken = w.exec("ROLLBACK TO operation")
	}
	if w.tx.broken == nil {
		w.tx.broken = w.exec("RELEASE operation")
	}
}

// try runs an operation; a panic in it is its error.
func (w *writer) try(do func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write to the database: panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(&w.tx)
}

// statement returns a statement that is prepared for good.
func (w *writer) statement(text string) (statement, error) {
	if s, ok := w.statements[text]; ok {
		return s, nil
	}
	err := w.conn.Raw(func(c any) error {
		prepared, err := c.(driver.ConnPrepareContext).PrepareContext(context.Background(), text)
		if err == nil {
			w.statements[text] = prepared.(statement)
		}
		return err
	})
	return w.statements[text], err
}

// exec runs a statement without arguments.
func (w *writer) exec(text string) error {
	_, err := w.change(text, nil)
	return err
}

// change runs a statement that yields no rows, and returns how many it changed.
func (w *writer) change(text string, args []any) (int64, error) {
	s, err := w.statement(text)
	if err != nil {
		return 0, err
	}
	if err := w.bind(args); err != nil {
		return 0, err
	}
	result, err := s.ExecContext(context.Background(), w.args)
	clear(w.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query runs a statement that yields rows, and calls row with a function that reads each row's columns
// until it returns false or an error.
func (w *writer) query(text string, args []any, row func(scan func(into ...any) error) (bool, error)) (err error) {
	s, err := w.statement(text)
	if err != nil {
		return err
	}
	if err := w.bind(args); err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), w.args)
	clear(w.args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	scan := func(into ...any) error {
		if len(into) != len(values) {
			return fmt.Errorf("a row of %d columns is read into %d variables", len(values), len(into))
		}
		for i, v := range values {
			if err := assign(into[i], v); err != nil {
				return fmt.Errorf("column %d: %w", i+1, err)
			}
		}
		return nil
	}
	for {
		if err := rows.Next(values); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if more, err := row(scan); !more || err != nil {
			return err
		}
	}
}

// bind sets args as database/sql would give them to the driver.
func (w *writer) bind(args []any) error {
	w.args = w.args[:0]
	for i, arg := range args {
		switch arg.(type) {
		case string, int64, bool, []byte, nil:
		default:
			var err error
			if arg, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
				return fmt.Errorf("argument %d: %w", i+1, err)
			}
		}
		w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return nil
}

// assign reads a column into a variable as database/sql does, of the types that operations use: it refuses
// any other, and what is not of its kind. The driver hands out bytes that are the caller's.
func assign(into any, v driver.Value) error {
	ok := true
	switch d := into.(type) {
	case *int64:
		*d, ok = v.(int64)
	case *int:
		var n int64
		n, ok = v.(int64)
		*d = int(n)
	case *bool:
		var n int64
		n, ok = v.(int64)
		*d = n != 0
	case *string:
		*d, ok = v.(string)
	case *[]byte:
		switch v := v.(type) {
		case nil:
			*d = nil
		case string:
			*d = []byte(v)
		default:
			*d, ok = v.([]byte)
		}
	case sql.Scanner:
		return d.Scan(v)
	default:
		return fmt.Errorf("cannot read into %T", into)
	}
	if !ok {
		return fmt.Errorf("%T cannot be read into %T", v, into)
	}
	return nil
}
