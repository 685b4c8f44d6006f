package catalog

import (
	"encoding/json"
	"time"
)

// farthest is the latest moment that is kept of a timer; whatever ends later is looked at again then.
var farthest = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// timer returns the Timer of an entity that is about to be written in the place of old, nil for a new one:
// the earliest moment of those properties of format timer that lie ahead of the write, that the write has
// set to a moment that is past already, or that were not fired yet when it came.
func (n *snapshot) timer(old, e *Entity) time.Time {
	var timer time.Time
	k := n.id[e.Blueprint]
	if k == nil || k.Definition == nil {
		return timer
	}
	before := k.Definition.timers(old)
	for name, at := range k.Definition.timers(e) {
		if !at.After(e.Last.At) {
			was, ok := before[name]
			pending := old != nil && !old.Timer.IsZero() && !at.Before(old.Timer)
			if ok && was.Equal(at) && !pending {
				continue
			}
		}
		if timer.IsZero() || at.Before(timer) {
			timer = at
		}
	}
	return timer
}

// timers returns when the properties of format timer end. What is not set, or was set before the property
// was one, is left out.
func (d *Definition) timers(e *Entity) map[string]time.Time {
	var all map[string]time.Time
	if e == nil {
		return all
	}
	var c *content
	for _, p := range d.Properties {
		if p.Format != "timer" {
			continue
		}
		if c == nil {
			var err error
			if c, err = parseContent(e.Content); err != nil {
				return nil
			}
			all = map[string]time.Time{}
		}
		var text string
		if json.Unmarshal(c.properties.Get(p.Name), &text) != nil {
			continue
		}
		if at, ok := moment(text); ok {
			all[p.Name] = at
		}
	}
	return all
}

// moment reads a date-time. It is rounded up to a millisecond, and never the zero time.
func moment(text string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, false
	}
	at = at.Add(time.Millisecond - time.Nanosecond).Truncate(time.Millisecond).UTC()
	switch first := time.UnixMilli(1).UTC(); {
	case at.Before(first):
		at = first
	case at.After(farthest):
		at = farthest
	}
	return at, true
}
