package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"longshore/pkg/invocation"
)

// view is a run as every answer shows it. Members that Port's clients decode into anything but a
// nullable type are left out when there is nothing to say.
type view struct {
	ID               string          `json:"id"`
	Status           Status          `json:"status"`
	StatusLabel      *string         `json:"statusLabel"`
	Action           named           `json:"action"`
	Blueprint        *named          `json:"blueprint"`
	Entity           *named          `json:"entity"`
	Source           string          `json:"source"`
	RequiredApproval json.RawMessage `json:"requiredApproval"`
	Approval         *decisionView   `json:"approval"`
	Link             json.RawMessage `json:"link,omitempty"`
	Summary          string          `json:"summary,omitempty"`
	ExternalRunID    string          `json:"externalRunId,omitempty"`
	Generation       int             `json:"generation"`
	// Waiting says why a run in progress is not being tried.
	Waiting *string `json:"waiting"`
	// The three are there for a run that an agent or an integration has to fetch.
	InstallationID   string          `json:"installationId,omitempty"`
	PendingExecution *bool           `json:"pendingExecution,omitempty"`
	ClaimedUntil     *string         `json:"claimedUntil,omitempty"`
	User             json.RawMessage `json:"user"`
	UserID           string          `json:"userId"`
	CreatedBy        string          `json:"createdBy"`
	UpdatedBy        string          `json:"updatedBy,omitempty"`
	// ImpersonatedBy is the client that started the run for its user.
	ImpersonatedBy string  `json:"impersonatedBy,omitempty"`
	CreatedAt      string  `json:"createdAt"`
	UpdatedAt      string  `json:"updatedAt"`
	EndedAt        *string `json:"endedAt,omitempty"`

	// Invocation has the payload, the rendered invocation method, secrets masked; nil for null. It,
	// properties and response are of any size, and we or a decoder have checked them: they are written as
	// they are.
	Invocation           *invocation.Invocation `json:"-"`
	Properties, Response json.RawMessage        `json:"-"`
}

// usualView is room for what a view has beside its payload, properties and response.
const usualView = 1 << 10

// append writes the view as JSON behind a text.
func (v *view) append(text []byte) ([]byte, error) {
	payload := json.RawMessage("null")
	if v.Invocation != nil {
		payload = orElse(v.Invocation.Payload, "null")
	}
	size := usualView + len(v.Properties) + len(payload) + len(v.Response)
	if v.Invocation != nil && v.Invocation.Webhook != nil && v.Invocation.Webhook.Body != nil {
		size += len(*v.Invocation.Webhook.Body)
	}
	b := bytes.NewBuffer(slices.Grow(text, size))
	if err := encodeView(b, v); err != nil {
		return nil, err
	}
	text = b.Bytes()
	text = append(append(text[:len(text)-1], `,"properties":`...), v.Properties...)
	text = append(text, `,"payload":`...)
	if v.Invocation != nil && v.Invocation.Webhook != nil {
		text = v.Invocation.AppendReadable(text)
	} else {
		text = append(text, payload...)
	}
	if v.Response != nil {
		text = append(append(text, `,"response":`...), v.Response...)
	}
	return append(text, '}'), nil
}

// named is an action, a blueprint or an entity as a run names it.
type named struct {
	Identifier string  `json:"identifier"`
	Title      *string `json:"title"`
	Icon       *string `json:"icon"`
	Deleted    bool    `json:"deleted"`
}

// View returns a run as the API shows it; it holds no secret. What would make it larger than limit, in bytes,
// is left out: it was accepted, and its state must be seen. Inputs of 1 MiB can be larger than an answer,
// since a number of four characters may be written with 21.
func View(r *Record, actionDeleted bool, limit int) (json.RawMessage, error) {
	return AppendView(nil, r, actionDeleted, limit)
}

// AppendView writes what View returns behind a text.
func AppendView(before []byte, r *Record, actionDeleted bool, limit int) ([]byte, error) {
	v := newView(r, actionDeleted)
	text, err := v.append(before)
	for _, large := range []func(){
		func() { v.Invocation = nil },
		func() { v.Response = nil },
		func() { v.Properties = json.RawMessage("{}") },
	} {
		if err != nil || len(text)-len(before) <= limit {
			break
		}
		large()
		text, err = v.append(before)
	}
	return text, err
}

func newView(r *Record, actionDeleted bool) *view {
	v := &view{
		ID: r.ID, Status: r.Status, StatusLabel: orNil(r.StatusLabel),
		Action: named{r.Action.Identifier, orNil(r.Action.Title), orNil(r.Action.Icon), actionDeleted},
		Source: r.Source, Properties: orElse(r.Properties, "{}"), RequiredApproval: orElse(r.RequiredApproval, "false"), Approval: lastDecision(r.Run),
		Invocation: r.Invocation, Response: r.Response, Link: r.Link, Summary: r.Summary, ExternalRunID: r.ExternalRunID,
		Generation: r.Generation, Waiting: orNil(r.Delivery.Waiting),
		User: orElse(r.User, "null"), UserID: r.UserID, CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy,
		ImpersonatedBy: r.ImpersonatedBy,
		CreatedAt:      stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt), EndedAt: timeOrNil(r.EndedAt),
	}
	if r.Pending.Installation != "" {
		pending := r.PendingKey() != ""
		v.InstallationID, v.PendingExecution, v.ClaimedUntil = r.Pending.Installation, &pending, timeOrNil(r.Pending.ClaimedUntil)
	}
	if r.Blueprint != "" {
		v.Blueprint = &named{Identifier: r.Blueprint}
	}
	if r.Entity != "" {
		v.Entity = &named{Identifier: r.Entity}
	}
	return v
}

// decisionView is the latest decision on a run.
type decisionView struct {
	UserID      string        `json:"userId"`
	State       DecisionState `json:"state"`
	Description string        `json:"description"`
}

// lastDecision is a run's approval member, nil before anybody has decided.
func lastDecision(r *Run) *decisionView {
	n := len(r.Decisions)
	if n == 0 {
		return nil
	}
	d := r.Decisions[n-1]
	return &decisionView{d.UserID, d.State, d.Description}
}

// encodeView writes compact JSON that is not made safe for HTML: what a client sent comes back as long as
// it was.
func encodeView(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("show run: %w", err)
	}
	b.Truncate(b.Len() - len("\n"))
	return nil
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orElse(text json.RawMessage, absent string) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage(absent)
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// timeOrNil is nil for the zero time.
func timeOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := stamp(t)
	return &text
}
