package sqlitestore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// head is a run's head as it is stored: JSON, times in nanoseconds since 1970, 0 for none. Members
// may be added, and are zero in what older code wrote.
type head struct {
	Rev              int64             `json:"rev"`
	Generation       int               `json:"generation"`
	Status           run.Status        `json:"status"`
	StatusLabel      string            `json:"statusLabel,omitempty"`
	Link             json.RawMessage   `json:"link,omitempty"`
	Summary          string            `json:"summary,omitempty"`
	ExternalRunID    string            `json:"external,omitempty"`
	Action           string            `json:"action"`
	ActionTitle      string            `json:"actionTitle,omitempty"`
	ActionIcon       string            `json:"actionIcon,omitempty"`
	ActionID         string            `json:"actionId,omitempty"`
	Backend          string            `json:"backend"`
	Blueprint        string            `json:"blueprint,omitempty"`
	Entity           string            `json:"entity,omitempty"`
	Source           string            `json:"source"`
	RequiredApproval json.RawMessage   `json:"requiredApproval,omitempty"`
	UserID           string            `json:"userId,omitempty"`
	UserEmail        string            `json:"userEmail,omitempty"`
	CreatedBy        string            `json:"createdBy,omitempty"`
	UpdatedBy        string            `json:"updatedBy,omitempty"`
	CreatedAt        int64             `json:"createdAt"`
	UpdatedAt        int64             `json:"updatedAt"`
	StartedAt        int64             `json:"startedAt"`
	EndedAt          int64             `json:"endedAt,omitempty"`
	HasResponse      bool              `json:"hasResponse,omitempty"`
	State            run.DeliveryState `json:"delivery"`
	Owner            string            `json:"owner,omitempty"`
	Lease            int64             `json:"lease,omitempty"`
	DeliveredAt      int64             `json:"deliveredAt,omitempty"`
	Sends            int               `json:"sends,omitempty"`
	NextTry          int64             `json:"nextTry,omitempty"`
	Waiting          string            `json:"waiting,omitempty"`
	Attempts         []attempt         `json:"attempts,omitempty"`
	Due              int64             `json:"due,omitempty"`
}

// attempt is an attempt as it is stored; its generation is that of what it is stored with.
type attempt struct {
	Number      int    `json:"number"`
	StartedAt   int64  `json:"startedAt"`
	DurationMs  int64  `json:"durationMs,omitempty"`
	StatusCode  int    `json:"statusCode,omitempty"`
	Error       string `json:"error,omitempty"`
	Open        bool   `json:"open,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
	Next        int64  `json:"next,omitempty"`
}

func encodeHead(r *run.Run) ([]byte, error) {
	text, err := encode(head{
		Rev: r.Rev, Generation: r.Generation, Status: r.Status, StatusLabel: r.StatusLabel,
		Link: r.Link, Summary: r.Summary, ExternalRunID: r.ExternalRunID,
		Action: r.Action.Identifier, ActionTitle: r.Action.Title, ActionIcon: r.Action.Icon, ActionID: r.Action.ID,
		Backend: r.Backend, Blueprint: r.Blueprint, Entity: r.Entity, Source: r.Source,
		RequiredApproval: r.RequiredApproval,
		UserID:           r.UserID, UserEmail: r.UserEmail, CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy,
		CreatedAt: nanos(r.CreatedAt), UpdatedAt: nanos(r.UpdatedAt), StartedAt: nanos(r.StartedAt),
		EndedAt: nanos(r.EndedAt), HasResponse: r.HasResponse,
		State: r.Delivery.State, Owner: r.Delivery.Owner, Lease: nanos(r.Delivery.Lease),
		DeliveredAt: nanos(r.Delivery.DeliveredAt), Sends: r.Delivery.Sends,
		NextTry: nanos(r.Delivery.NextTry), Waiting: r.Delivery.Waiting,
		Attempts: storedAttempts(r.Attempts), Due: nanos(r.Due),
	})
	if err != nil {
		return nil, fmt.Errorf("encode run: %w", err)
	}
	return text, nil
}

func decodeHead(id string, text []byte) (*run.Run, error) {
	var h head
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("decode run %s: %w", id, err)
	}
	return &run.Run{
		ID: id, Rev: h.Rev, Generation: h.Generation, Status: h.Status, StatusLabel: h.StatusLabel,
		Link: h.Link, Summary: h.Summary, ExternalRunID: h.ExternalRunID,
		Action:  run.Action{Identifier: h.Action, Title: h.ActionTitle, Icon: h.ActionIcon, ID: h.ActionID},
		Backend: h.Backend, Blueprint: h.Blueprint, Entity: h.Entity, Source: h.Source,
		RequiredApproval: h.RequiredApproval,
		UserID:           h.UserID, UserEmail: h.UserEmail, CreatedBy: h.CreatedBy, UpdatedBy: h.UpdatedBy,
		CreatedAt: moment(h.CreatedAt), UpdatedAt: moment(h.UpdatedAt), StartedAt: moment(h.StartedAt),
		EndedAt: moment(h.EndedAt), HasResponse: h.HasResponse,
		Delivery: run.Delivery{
			State: h.State, Owner: h.Owner, Lease: moment(h.Lease), DeliveredAt: moment(h.DeliveredAt),
			Sends: h.Sends, NextTry: moment(h.NextTry), Waiting: h.Waiting,
		},
		Attempts: runAttempts(h.Generation, h.Attempts), Due: moment(h.Due),
	}, nil
}

func storedAttempts(attempts []run.Attempt) []attempt {
	stored := make([]attempt, len(attempts))
	for i, a := range attempts {
		stored[i] = attempt{
			Number: a.Number, StartedAt: nanos(a.StartedAt), DurationMs: a.DurationMs, StatusCode: a.StatusCode,
			Error: a.Error, Open: a.Open, Interrupted: a.Interrupted,
		}
		if a.NextAttemptAt != nil {
			stored[i].Next = nanos(*a.NextAttemptAt)
		}
	}
	return stored
}

func runAttempts(generation int, stored []attempt) []run.Attempt {
	if len(stored) == 0 {
		return nil
	}
	attempts := make([]run.Attempt, len(stored))
	for i, a := range stored {
		attempts[i] = run.Attempt{
			Generation: generation, Number: a.Number, StartedAt: moment(a.StartedAt), DurationMs: a.DurationMs,
			StatusCode: a.StatusCode, Error: a.Error, Open: a.Open, Interrupted: a.Interrupted,
		}
		if a.Next != 0 {
			next := moment(a.Next)
			attempts[i].NextAttemptAt = &next
		}
	}
	return attempts
}

// encodeInvocation keeps the text of the payload as it is but for white space.
func encodeInvocation(i *invocation.Invocation) ([]byte, error) {
	if i == nil {
		return nil, nil
	}
	text, err := encode(i)
	if err != nil {
		return nil, fmt.Errorf("encode invocation: %w", err)
	}
	return text, nil
}

// encode is json.Marshal that leaves raw texts as they are.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// nanos is a time as it is stored.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// moment is the time that nanos stored.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// dueMillis is a time in the due column, rounded up so that nothing is due too early; nil for none.
func dueMillis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}
