// Package automation does what a change sets off: its entry in the audit log, the changelog, and the runs of
// the automations that listen to it.
//
// It promises:
//   - each automation that an event matches starts, and has one run of it, however often and by however many
//     processes at once the change is told;
//   - the events of one thing start their automations in the order in which they are told, those of one
//     event in the order of their identifiers;
//   - an automation that fails, or whose condition does, holds back no other one;
//   - what cannot be done is an error, whether another try may cure it or not: who tells of the change sets it
//     aside then;
//   - an event asks no automation but those that listen to its type, and its blueprint or action.
package automation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/jqtemplate"
)

// Actions finds definitions; *action.Cache is one.
type Actions interface {
	// Stamp returns a number that moves with every change of a definition. fault.Unavailable.
	Stamp(ctx context.Context) (int64, error)
	// List returns all definitions, by identifier. fault.Unavailable.
	List(ctx context.Context) ([]*action.Entry, error)
	// Get returns a definition by identifier. fault.NotFound when there is none; fault.Unavailable.
	Get(ctx context.Context, identifier string) (*action.Entry, error)
}

// Entities tells changes of entities; *catalog.Reader is one.
type Entities interface {
	Told(ctx context.Context, before, after *catalog.Entity, by catalog.Author) (*catalog.Told, error)
	EntityNow(ctx context.Context, key catalog.Key) (*catalog.Entity, error)
}

// Starter starts the runs of automations; *trigger.Trigger is one.
type Starter interface {
	// StartEvent starts the run that an event makes of an automation, and no second one. fault.Unavailable
	// when nothing was accepted.
	StartEvent(ctx context.Context, e *event.Event, entry *action.Entry) error
}

// Audit keeps entries that are not there yet; an audit.Store is one.
type Audit interface {
	audit.Recorder
	Missing(ctx context.Context, entries ...*audit.Entry) ([]*audit.Entry, error)
}

// Schedules keeps the entries of scheduled automations.
type Schedules interface {
	// Reconcile makes the schedules what they are to be after a change of a definition; before is nil for a
	// new one, after for one that was deleted and is there under no other identifier. It may be called again
	// with the same change.
	// fault.Unavailable.
	Reconcile(ctx context.Context, before, after *action.Record) error
}

// Changelog tells the destination of a blueprint of the changes of its entities.
type Changelog interface {
	// Deliver records the delivery of an event, once however often it is called. fault.Unavailable.
	Deliver(ctx context.Context, e *event.Event, blueprint *catalog.Blueprint) error
}

// Config is what an Automation works with. Actions, Entities, Starter and Log are required.
type Config struct {
	Actions  Actions
	Entities Entities
	Starter  Starter
	// Audit is nil where the stores write the entries with the changes themselves.
	Audit Audit
	// Schedules and Changelog are nil where there are none.
	Schedules Schedules
	Changelog Changelog
	OrgID     string
	Log       *slog.Logger
}

// Automation handles changes. It is safe for concurrent use.
type Automation struct {
	Config

	mu sync.Mutex
	// known is the last index, nil before the first.
	known *index

	again again
}

var _ feed.Handler = (*Automation)(nil)

// New returns a handler of changes.
func New(c Config) *Automation { return &Automation{Config: c} }

// Handle implements feed.Handler. Whatever a change sets off is tried before an error is returned.
func (a *Automation) Handle(ctx context.Context, c *feed.Change) error {
	switch {
	case c.Entity != nil:
		return a.entity(ctx, c.Entity)
	case c.Run != nil:
		return a.run(ctx, c.Run)
	case c.Timer != nil:
		return a.timer(ctx, c.Timer)
	case c.Action != nil && a.Schedules != nil:
		return a.definition(ctx, c.Action)
	}
	return nil
}

// definition handles a change of a definition. One that got another identifier is told of as deleted, too: that
// is a change to what it is now, or its schedule would end. Where it had none there is nothing to look for: a
// thousand actions that are deleted are not read a thousand times.
func (a *Automation) definition(ctx context.Context, c *feed.Action) error {
	after := c.After
	if after == nil {
		if _, scheduled := action.TimetableOf(c.Before.Definition); !scheduled {
			return nil
		}
		entries, err := a.Actions.List(ctx)
		if err != nil {
			return failed(ctx, "read the automations", err)
		}
		for _, entry := range entries {
			if entry.Record.ID == c.Before.ID {
				after = entry.Record
			}
		}
	}
	return failed(ctx, "change a schedule", a.Schedules.Reconcile(ctx, c.Before, after))
}

// failed returns an error with what was being done. One that came when the time was up may be cured by itself.
func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	if ctx.Err() != nil {
		return fault.Busy(err, 0, "there was no time for all that a change sets off")
	}
	return err
}

// recorded keeps the entry of a change in the audit log, unless whoever made the change has.
func (a *Automation) recorded(ctx context.Context, entry *audit.Entry) error {
	if entry == nil {
		return nil
	}
	missing, err := a.Audit.Missing(ctx, entry)
	if err == nil && len(missing) > 0 {
		err = a.Audit.Record(ctx, missing...)
	}
	return failed(ctx, "write the audit entry of a change", err)
}

// start starts those automations whose conditions hold for an event.
func (a *Automation) start(ctx context.Context, e *event.Event, listening []*action.Entry) error {
	if len(listening) == 0 {
		return nil
	}
	if e.Depth > event.MaxDepth {
		// It is of a run that was cut off: to tell of that would go on for ever.
		a.Log.LogAttrs(ctx, slog.LevelWarn, "event of a loop that was cut off starts nothing", slog.String("event", e.ID), slog.String("run_id", e.RunID))
		return nil
	}
	text, err := e.JSON(a.OrgID)
	if err != nil {
		return failed(ctx, "write the event", err)
	}
	value, err := jqtemplate.Decode(text)
	if err != nil {
		return failed(ctx, "read event "+e.ID, err)
	}
	data := jqtemplate.NewData(value)
	var faults []error
	done := a.again.of(e.ID)
	for _, entry := range listening {
		if slices.Contains(done, entry.Record.ID) {
			continue
		}
		about := []slog.Attr{slog.String("action", entry.Record.Identifier), slog.String("event", e.ID)}
		holds, warnings, err := entry.Definition.Rule.Holds(ctx, data)
		for _, w := range warnings {
			a.Log.LogAttrs(ctx, slog.LevelWarn, "expression of a condition failed and counts as false",
				append(about, slog.String("path", w.Path), slog.String("reason", short(w.Message)))...)
		}
		if err == nil && holds {
			err = a.Starter.StartEvent(ctx, e, entry)
		}
		if err = failed(ctx, "start a run of "+entry.Record.Identifier+" by "+e.ID, err); err != nil {
			faults = append(faults, err)
		} else {
			done = append(done, entry.Record.ID)
		}
	}
	a.again.keep(e.ID, done, len(faults) > 0)
	return errors.Join(faults...)
}

// maxReason is how many bytes of why an expression failed are logged: it may quote what it was given.
const maxReason = 200

func short(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
