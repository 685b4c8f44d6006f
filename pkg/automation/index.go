package automation

import (
	"context"
	"fmt"
	"log/slog"

	"longshore/pkg/action"
)

// listener is what automations are found by: the type of an event, and the identifier of its blueprint or
// action. Property is that of a timer.
type listener struct{ kind, of, property string }

// index leads from events to the automations that listen to them. It is never changed.
type index struct {
	stamp int64
	// listening are by identifier.
	listening map[listener][]*action.Entry
	// names are the identifiers of all definitions by their internal ids.
	names map[string]string
}

// kinds are the types of events that an automation of a type listens to.
var kinds = map[string][]string{
	action.AnyEntityChange: {action.EntityCreated, action.EntityUpdated, action.EntityDeleted},
	action.AnyRunChange:    {action.RunCreated, action.RunUpdated},
}

// index returns the automations as they are now. It is made anew when the definitions' stamp has moved.
func (a *Automation) index(ctx context.Context) (*index, error) {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := a.Actions.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of definitions: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known != nil && a.known.stamp == stamp {
		return a.known, nil
	}
	entries, err := a.Actions.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list automations: %w", err)
	}
	x := &index{stamp: stamp, listening: map[listener][]*action.Entry{}, names: make(map[string]string, len(entries))}
	for _, entry := range entries {
		x.names[entry.Record.ID] = entry.Record.Identifier
		if entry.Err != nil {
			a.Log.LogAttrs(ctx, slog.LevelWarn, "stored definition cannot be read; where it is an automation it does not start",
				slog.String("action", entry.Record.Identifier), slog.Any("error", entry.Err))
			continue
		}
		x.add(entry)
	}
	a.known = x
	return x, nil
}

func (x *index) add(entry *action.Entry) {
	d := entry.Definition
	if d.Kind != action.Automation || !d.Publish {
		return
	}
	of := d.Event.Blueprint
	if d.Event.Action != "" {
		of = d.Event.Action
	}
	all := kinds[d.Event.Type]
	if all == nil {
		all = []string{d.Event.Type}
	}
	for _, kind := range all {
		at := listener{kind, of, d.Event.Property}
		x.listening[at] = append(x.listening[at], entry)
	}
}
