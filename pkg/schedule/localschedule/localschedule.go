// Package localschedule starts automations by the clock of this process, as EventBridge Scheduler does in a
// deployment. It promises:
//   - a time that comes while the process runs is started within the second, and again until it is accepted;
//   - of the times that passed while it was down, or slept, the last is started, if it is less than an hour
//     old;
//   - restarts do not shift a rate: it counts from the creation of its automation;
//   - a time that is started twice, after a crash, is one run: that is the starter's promise.
package localschedule

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/schedule"
)

// Actions finds the automations; *action.Cache is one.
type Actions interface {
	// Stamp returns a number that moves with every change of a definition.
	Stamp(ctx context.Context) (int64, error)
	List(ctx context.Context) ([]*action.Entry, error)
}

// Memory outlives the process.
type Memory interface {
	// Seen returns the moment up to which all times were started, zero when there is none.
	Seen(ctx context.Context) (time.Time, error)
	SetSeen(ctx context.Context, at time.Time) error
}

// Config is what a Clock works with. All but Memory and Now are required.
type Config struct {
	Actions Actions
	// Start starts the automation whose schedule has come, once however often it is called. Its error means
	// that it is worth another try.
	Start func(ctx context.Context, due schedule.Due) error
	// Memory is nil for none: what passed while the process was down is not started then.
	Memory Memory
	Log    *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	// late is how old a time may be that is still started.
	late = time.Hour
	// gap is how long a clock that runs may not have ticked; after more, only the last time is started.
	gap = time.Minute
	// rememberEvery is how often the memory is written. What was started since is started again after a
	// crash, which makes no second run.
	rememberEvery = 30 * time.Second
)

// Clock knows when the automations of a process are to start. Tick is not for concurrent use.
type Clock struct {
	c     Config
	stamp int64
	// loaded says that the automations were read once.
	loaded bool
	// all are by the internal id of the automation.
	all map[string]*ticking
	// remembered is when the memory was written last.
	remembered time.Time
}

// ticking is an automation with a schedule.
type ticking struct {
	timetable action.Timetable
	schedule  *schedule.Schedule
	id        string
	// anchor is where a rate counts from.
	anchor time.Time
	// seen is the moment up to which all times were started.
	seen time.Time
}

// New returns a clock.
func New(c Config) *Clock {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Clock{c: c, all: map[string]*ticking{}}
}

// Tick starts what has come since the last one. It is to be called each second.
func (c *Clock) Tick(ctx context.Context) {
	now := c.c.Now()
	if err := c.load(ctx, now); err != nil {
		if ctx.Err() == nil {
			c.c.Log.WarnContext(ctx, "schedules not read", slog.Any("error", err))
		}
		if !c.loaded {
			return
		}
	}
	due := make([]*ticking, 0, len(c.all))
	for _, t := range c.all {
		due = append(due, t)
	}
	slices.SortFunc(due, func(a, b *ticking) int { return cmp.Compare(a.id, b.id) })
	for _, t := range due {
		c.start(ctx, t, now)
	}
	c.remember(ctx, now)
}

// start starts the times of one automation that have come.
func (c *Clock) start(ctx context.Context, t *ticking, now time.Time) {
	switch behind := now.Sub(t.seen); {
	case behind < -gap:
		// The clock was put back.
		t.seen = now
	case behind > gap:
		from := t.seen
		if oldest := now.Add(-late); from.Before(oldest) {
			from = oldest
		}
		last, came := t.schedule.Last(from, now, t.anchor)
		if came && !c.try(ctx, t, last) {
			return
		}
		t.seen = now
	case behind > 0:
		for {
			next, comes := t.schedule.Next(t.seen, t.anchor)
			if !comes || next.After(now) {
				break
			}
			if !c.try(ctx, t, next) {
				return
			}
			t.seen = next
		}
		t.seen = now
	}
}

// try starts one time; false when that is to be tried again.
func (c *Clock) try(ctx context.Context, t *ticking, at time.Time) bool {
	err := c.c.Start(ctx, schedule.Due{ActionID: t.id, Expression: t.timetable.Expression, Timezone: t.timetable.Timezone, At: at})
	if err != nil {
		c.c.Log.WarnContext(ctx, "schedule not started, it will be tried again",
			slog.String("action_id", t.id), slog.Time("scheduled", at), slog.Any("error", err))
	}
	return err == nil
}

// load reads the automations if any definition has changed.
func (c *Clock) load(ctx context.Context, now time.Time) error {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := c.c.Actions.Stamp(ctx)
	if err != nil {
		return fmt.Errorf("read the stamp of definitions: %w", err)
	}
	if c.loaded && c.stamp == stamp {
		return nil
	}
	entries, err := c.c.Actions.List(ctx)
	if err != nil {
		return fmt.Errorf("list automations: %w", err)
	}
	seen := now
	if !c.loaded && c.c.Memory != nil {
		before, err := c.c.Memory.Seen(ctx)
		if err != nil {
			return fmt.Errorf("read when the clock ticked last: %w", err)
		}
		if !before.IsZero() && before.Before(now) {
			seen = before
		}
	}
	all := map[string]*ticking{}
	for _, e := range entries {
		if t := c.ticking(ctx, e.Record, seen); t != nil {
			all[t.id] = t
		}
	}
	c.stamp, c.loaded, c.all = stamp, true, all
	return nil
}

// ticking returns what is known of an automation now, nil for one that no schedule starts. Of one that is
// new, or has another schedule than before, times count from the write that made it so; seen is where they
// count from at the start of the process.
func (c *Clock) ticking(ctx context.Context, r *action.Record, seen time.Time) *ticking {
	timetable, ok := action.TimetableOf(r.Definition)
	if !ok || !timetable.Published {
		return nil
	}
	if known := c.all[r.ID]; known != nil && known.timetable == timetable {
		return known
	}
	compiled, err := timetable.Schedule()
	if err != nil {
		c.c.Log.ErrorContext(ctx, "schedule cannot be read; its automation does not start", slog.String("action", r.Identifier), slog.Any("error", err))
		return nil
	}
	if c.loaded || r.UpdatedAt.After(seen) {
		seen = r.UpdatedAt
	}
	return &ticking{timetable: timetable, schedule: compiled, id: r.ID, anchor: r.CreatedAt, seen: seen}
}

// remember writes down from time to time up to which moment all times were started.
func (c *Clock) remember(ctx context.Context, now time.Time) {
	if c.c.Memory == nil || len(c.all) == 0 || now.Sub(c.remembered).Abs() < rememberEvery {
		return
	}
	seen := now
	for _, t := range c.all {
		if t.seen.Before(seen) {
			seen = t.seen
		}
	}
	if err := c.c.Memory.SetSeen(ctx, seen); err != nil {
		c.c.Log.WarnContext(ctx, "not written down when the clock ticked last", slog.Any("error", err))
		return
	}
	c.remembered = now
}
