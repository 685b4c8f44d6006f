package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Due is a schedule that has come, as whoever keeps the time tells it to whoever starts the run.
type Due struct {
	// ActionID is the internal id of the automation.
	ActionID string
	// Expression and Timezone are as the automation had them, so that one which has others meanwhile is not
	// started.
	Expression, Timezone string
	// At is the time that has come.
	At time.Time
}

// due is Due in JSON: {"schedule": {…}}.
type due struct {
	Schedule *dueMembers `json:"schedule"`
}

type dueMembers struct {
	ActionID      string `json:"actionId"`
	Expression    string `json:"expression"`
	Timezone      string `json:"timezone"`
	ScheduledTime string `json:"scheduledTime"`
}

// scheduledTime stands for the time in the input of a target (EventBridge Scheduler, "Adding context
// attributes"); it is replaced by RFC 3339 text.
const scheduledTime = "<aws.scheduler.scheduled-time>"

// Input returns Due's JSON for EventBridge Scheduler, which fills in At where it is zero.
func (d Due) Input() string {
	at := scheduledTime
	if !d.At.IsZero() {
		at = d.At.UTC().Format(time.RFC3339)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// The brackets around the attribute must be seen.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(due{&dueMembers{d.ActionID, d.Expression, d.Timezone, at}}); err != nil {
		panic(fmt.Sprintf("encode a schedule: %v", err)) // It has texts.
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// ParseDue reads what EventBridge Scheduler sends; false when the text is nothing of it.
func ParseDue(text json.RawMessage) (d Due, is bool, err error) {
	var in due
	if json.Unmarshal(text, &in) != nil || in.Schedule == nil {
		return d, false, nil
	}
	at, err := time.Parse(time.RFC3339, in.Schedule.ScheduledTime)
	if err != nil {
		return d, true, fmt.Errorf("decode a schedule's event: the scheduled time: %w", err)
	}
	if in.Schedule.ActionID == "" {
		return d, true, errors.New("decode a schedule's event: no action")
	}
	return Due{ActionID: in.Schedule.ActionID, Expression: in.Schedule.Expression, Timezone: in.Schedule.Timezone, At: at.UTC()}, true, nil
}
