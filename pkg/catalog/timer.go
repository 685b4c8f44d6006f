package catalog

import (
	"encoding/json"
	"slices"
	"time"

	"longshore/pkg/timer"
)

// timers returns the Timers of an entity that is about to be written in the place of old, nil for a new
// one: of its properties of format timer those that lie ahead of the write, that the write has set to a
// moment that is past already, or that were not fired yet when it came.
func (n *snapshot) timers(old, e *Entity) []timer.Timer {
	k := n.id[e.Blueprint]
	if k == nil || k.Definition == nil {
		return nil
	}
	before := k.Definition.timers(old)
	var timers []timer.Timer
	for name, at := range k.Definition.timers(e) {
		if !at.After(e.Last.At) {
			was, ok := before[name]
			if ok && was.Equal(at) && !pending(old, name, at) {
				continue
			}
		}
		timers = append(timers, timer.Timer{Property: name, At: at})
	}
	timer.Sort(timers)
	return timers
}

// pending reports whether a timer of an entity is yet to be fired.
func pending(old *Entity, property string, at time.Time) bool {
	return slices.ContainsFunc(old.Timers, func(t timer.Timer) bool { return t.Property == property && t.At.Equal(at) })
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
		if at, ok := timer.Moment(text); ok {
			all[p.Name] = at
		}
	}
	return all
}
