// Package timer is about the properties of entities that end at a moment: which of an entity's are yet to
// be fired, as stores keep them and the clock reads them. The clock knows neither blueprints nor
// definitions, so all that it needs stands beside the entity.
package timer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Timer is the end of one property of an entity.
type Timer struct {
	Property string
	// At has millisecond precision, in UTC.
	At time.Time
}

// Late is an entity with a timer that has ended.
type Late struct {
	// Partition and Name say where a store has it.
	Partition, Name string
	// At is when the earliest of its timers ended.
	At time.Time
}

// farthest is the latest moment that is kept of a timer; whatever ends later ends then.
var farthest = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// Moment reads a date-time (RFC 3339). It is rounded up to a millisecond, and never the zero time.
func Moment(text string) (time.Time, bool) {
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

// Sort puts the earliest first.
func Sort(timers []Timer) {
	slices.SortFunc(timers, func(a, b Timer) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Property, b.Property)) })
}

// Split parts timers, the earliest first, into those that have ended and the others.
func Split(timers []Timer, now time.Time) (ended, ahead []Timer) {
	n := 0
	for n < len(timers) && !timers[n].At.After(now) {
		n++
	}
	return timers[:n], timers[n:]
}

// Encode writes timers as they are stored: pairs of a property and milliseconds since 1970. Empty is none.
func Encode(timers []Timer) string {
	if len(timers) == 0 {
		return ""
	}
	pairs := make([][2]any, len(timers))
	for i, t := range timers {
		pairs[i] = [2]any{t.Property, t.At.UnixMilli()}
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		panic(fmt.Sprintf("encode timers: %v", err)) // They are texts and numbers.
	}
	return string(text)
}

// Decode reads what Encode wrote.
func Decode(text string) ([]Timer, error) {
	if text == "" {
		return nil, nil
	}
	var pairs [][2]json.RawMessage
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("decode timers: %w", err)
	}
	timers := make([]Timer, len(pairs))
	for i, pair := range pairs {
		var ms int64
		if err := json.Unmarshal(pair[0], &timers[i].Property); err != nil {
			return nil, fmt.Errorf("decode timer %d: %w", i, err)
		}
		if err := json.Unmarshal(pair[1], &ms); err != nil {
			return nil, fmt.Errorf("decode timer %d: %w", i, err)
		}
		timers[i].At = time.UnixMilli(ms).UTC()
	}
	return timers, nil
}

// Stored returns the timers of an entity: those of text, which Encode wrote. An entity that was written
// before its timers were kept has none there; at, the earliest of them, is all that was kept, zero for
// none. Then every property of content that holds a date-time not before at counts as a timer: those that
// are none are fired too, and no automation waits for them.
func Stored(text string, at time.Time, content func() ([]byte, error)) ([]Timer, error) {
	if text != "" || at.IsZero() {
		return Decode(text)
	}
	whole, err := content()
	if err != nil {
		return nil, err
	}
	var c struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(whole, &c); err != nil {
		return nil, fmt.Errorf("read the properties of an entity: %w", err)
	}
	var timers []Timer
	for name, value := range c.Properties {
		var s string
		if json.Unmarshal(value, &s) != nil {
			continue
		}
		if end, ok := Moment(s); ok && !end.Before(at) {
			timers = append(timers, Timer{name, end})
		}
	}
	Sort(timers)
	return timers, nil
}
