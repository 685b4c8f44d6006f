// Package event is the event object of automations: what happened, to what, by whom, and how it looked
// before and after. Both change feeds and the clock come to it.
//
// It promises that an event's id is made of what happened and of nothing else, so that one that is told
// twice is the same event.
package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Actions of events.
const (
	Create       = "CREATE"
	Update       = "UPDATE"
	Delete       = "DELETE"
	TimerExpired = "TIMER_EXPIRED"
	Scheduled    = "SCHEDULED"
)

// Resources of events.
const (
	Entity   = "entity"
	Run      = "run"
	Schedule = "schedule"
)

// MaxDepth is how many runs of automations may follow from one another; the next one is not delivered.
const MaxDepth = 10

// Event is what an automation may start of.
type Event struct {
	// ID is "event_" and 32 hexadecimal digits, made by ID.
	ID string
	// Action and Resource are of the constants above.
	Action, Resource string
	// UserID and Email are of who made the change; Email is empty for a machine.
	UserID, Email string
	// Origin is UI, API or AUTOMATION.
	Origin string
	// At has millisecond precision, in UTC.
	At time.Time
	// Context is a JSON object. Blueprint and Entity are the identifiers in an entity's.
	Context           json.RawMessage
	Blueprint, Entity string
	// Before and After are JSON objects, nil for what was not there. A schedule has neither.
	Before, After json.RawMessage
	// RunID is the run that made the change, empty for none, and Depth how many runs of automations lie
	// between the change and what began it all: a run that this event starts has Depth+1. They are no part
	// of the event's JSON.
	RunID string
	Depth int
}

// ID makes an event's id of the parts that name it and no other event.
func ID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "event_" + hex.EncodeToString(sum[:16])
}

// timeFormat is RFC 3339 with milliseconds, of times in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

// JSON returns the event object that conditions, templates and changelogs see. Its members always come in the
// same order; nothing in it is changed to be safe in HTML.
func (e *Event) JSON(orgID string) (json.RawMessage, error) {
	type diff struct {
		Before json.RawMessage `json:"before"`
		After  json.RawMessage `json:"after"`
	}
	type by struct {
		OrgID  string `json:"orgId"`
		UserID string `json:"userId"`
	}
	type trigger struct {
		By     by     `json:"by"`
		Origin string `json:"origin"`
		At     string `json:"at"`
	}
	v := struct {
		ID       string          `json:"id"`
		Action   string          `json:"action"`
		Resource string          `json:"resourceType"`
		Trigger  trigger         `json:"trigger"`
		Context  json.RawMessage `json:"context"`
		Diff     *diff           `json:"diff"`
	}{e.ID, e.Action, e.Resource, trigger{by{orgID, e.UserID}, e.Origin, e.At.UTC().Format(timeFormat)}, e.Context, nil}
	if e.Resource != Schedule {
		v.Diff = &diff{e.Before, e.After}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
