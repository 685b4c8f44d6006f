package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// runAnswer answers with one run.
func runAnswer(status int, r *run.Record, actionDeleted bool) (*answer, error) {
	text, err := appendRun([]byte(`{"ok":true,"run":`), r, actionDeleted)
	if err != nil {
		return nil, err
	}
	return &answer{status: status, text: append(text, '}')}, nil
}

// runView is a run as every answer shows it. Members that Port's clients decode into anything but a
// nullable type are left out when there is nothing to say.
type runView struct {
	ID               string          `json:"id"`
	Status           run.Status      `json:"status"`
	StatusLabel      *string         `json:"statusLabel"`
	Action           named           `json:"action"`
	Blueprint        *named          `json:"blueprint"`
	Entity           *named          `json:"entity"`
	Source           string          `json:"source"`
	RequiredApproval json.RawMessage `json:"requiredApproval"`
	Approval         *approvalView   `json:"approval"`
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
func (v *runView) append(text []byte) ([]byte, error) {
	payload := json.RawMessage("null")
	if v.Invocation != nil {
		payload = orElse(v.Invocation.Payload, "null")
	}
	size := usualView + len(v.Properties) + len(payload) + len(v.Response)
	if v.Invocation != nil && v.Invocation.Webhook != nil && v.Invocation.Webhook.Body != nil {
		size += len(*v.Invocation.Webhook.Body)
	}
	b := bytes.NewBuffer(slices.Grow(text, size))
	if err := encodeTo(b, v); err != nil {
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

// showRun writes a run as answers have it.
func showRun(r *run.Record, actionDeleted bool) (json.RawMessage, error) {
	return appendRun(nil, r, actionDeleted)
}

// appendRun writes a run as answers have it behind a text. What would make it larger than an answer is left out: it
// was accepted, and its state must be seen. Inputs of 1 MiB can be that large, since a number of four
// characters may be written with 21.
func appendRun(before []byte, r *run.Record, actionDeleted bool) ([]byte, error) {
	v := newRunView(r, actionDeleted)
	text, err := v.append(before)
	for _, large := range []func(){
		func() { v.Invocation = nil },
		func() { v.Response = nil },
		func() { v.Properties = json.RawMessage("{}") },
	} {
		if err != nil || len(text)-len(before) <= MaxAnswer-envelope {
			break
		}
		large()
		text, err = v.append(before)
	}
	return text, err
}

func newRunView(r *run.Record, actionDeleted bool) *runView {
	v := &runView{
		ID: r.ID, Status: r.Status, StatusLabel: orNil(r.StatusLabel),
		Action: named{r.Action.Identifier, orNil(r.Action.Title), orNil(r.Action.Icon), actionDeleted},
		Source: r.Source, Properties: orElse(r.Properties, "{}"), RequiredApproval: orElse(r.RequiredApproval, "false"), Approval: lastDecision(r.Run),
		Invocation: r.Invocation, Response: r.Response, Link: r.Link, Summary: r.Summary, ExternalRunID: r.ExternalRunID,
		Generation: r.Generation, Waiting: orNil(r.Delivery.Waiting),
		User: orElse(r.User, "null"), UserID: r.UserID, CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy,
		ImpersonatedBy: r.ImpersonatedBy,
		CreatedAt:      stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt), EndedAt: stampOrNil(r.EndedAt),
	}
	if r.Pending.Installation != "" {
		pending := r.PendingKey() != ""
		v.InstallationID, v.PendingExecution, v.ClaimedUntil = r.Pending.Installation, &pending, stampOrNil(r.Pending.ClaimedUntil)
	}
	if r.Blueprint != "" {
		v.Blueprint = &named{Identifier: r.Blueprint}
	}
	if r.Entity != "" {
		v.Entity = &named{Identifier: r.Entity}
	}
	return v
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

// attemptView is an attempt as answers show it; what is not known is null.
type attemptView struct {
	Generation    int     `json:"generation"`
	Number        int     `json:"number"`
	StartedAt     string  `json:"startedAt"`
	DurationMs    int64   `json:"durationMs"`
	StatusCode    *int    `json:"statusCode"`
	Error         *string `json:"error"`
	Interrupted   bool    `json:"interrupted"`
	NextAttemptAt *string `json:"nextAttemptAt"`
}

// showAttempt shows an attempt; lapsed says that nobody is at work on it any more, so that one whose
// outcome was never written was interrupted.
func showAttempt(a run.Attempt, lapsed bool) attemptView {
	v := attemptView{
		Generation: a.Generation, Number: a.Number, StartedAt: stamp(a.StartedAt), DurationMs: a.DurationMs,
		Error: orNil(a.Error), Interrupted: a.Interrupted || a.Open && lapsed,
	}
	if a.StatusCode != 0 {
		v.StatusCode = &a.StatusCode
	}
	if a.NextAttemptAt != nil {
		v.NextAttemptAt = stampOrNil(*a.NextAttemptAt)
	}
	return v
}

// listAttempts answers GET /v1/actions/runs/{run_id}/attempts, oldest first.
func (s *server) listAttempts(r *request) (*answer, error) {
	id, err := runID(r)
	if err != nil {
		return nil, err
	}
	head, err := s.Runs.Get(r.Context(), id)
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	if err := s.visible(r, head); err != nil {
		return nil, err
	}
	views := []attemptView{}
	if head.Generation > 1 {
		closed, err := s.Runs.Attempts(r.Context(), id)
		if err != nil {
			return nil, fmt.Errorf("list attempts: %w", err)
		}
		for _, a := range closed {
			// A redelivery after the head was read closed attempts that the head still has.
			if a.Generation < head.Generation {
				views = append(views, showAttempt(a, true))
			}
		}
	}
	for _, a := range head.Attempts {
		views = append(views, showAttempt(a, !head.Delivery.Lease.After(s.now())))
	}
	return ok(struct {
		OK       bool          `json:"ok"`
		Attempts []attemptView `json:"attempts"`
	}{true, views})
}
