package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"longshore/pkg/jqtemplate"
)

// Run is a run as the server shows it.
type Run struct {
	ID          string  `json:"id"`
	Status      string  `json:"status"`
	StatusLabel *string `json:"statusLabel"`
	Action      struct {
		Identifier string `json:"identifier"`
		Deleted    bool   `json:"deleted"`
	} `json:"action"`
	Source     string `json:"source"`
	Generation int    `json:"generation"`
	// Waiting says why a run in progress is not being tried.
	Waiting *string `json:"waiting"`
	// Link is a string or an array of strings.
	Link      json.RawMessage `json:"link"`
	Summary   string          `json:"summary"`
	Response  json.RawMessage `json:"response"`
	CreatedBy string          `json:"createdBy"`
	CreatedAt time.Time       `json:"createdAt"`
	UpdatedAt time.Time       `json:"updatedAt"`
	EndedAt   *time.Time      `json:"endedAt"`
	// Raw is the whole run as it was answered.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON keeps the text beside what is read from it.
func (r *Run) UnmarshalJSON(text []byte) error {
	type plain Run
	if err := json.Unmarshal(text, (*plain)(r)); err != nil {
		return err
	}
	r.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// Ended reports whether the run's status is final.
func (r *Run) Ended() bool {
	return r.Status == "SUCCESS" || r.Status == "FAILURE" || r.Status == "DECLINED"
}

// Start is what starts a run.
type Start struct {
	// Properties are the user inputs, a JSON object; nil sends none.
	Properties json.RawMessage `json:"properties,omitempty"`
	Entity     string          `json:"entity,omitempty"`
	RunAs      string          `json:"-"`
	// IdempotencyKey makes the request one that may be repeated; empty sends none.
	IdempotencyKey string `json:"-"`
}

func (s Start) call(action string) call {
	q := call{method: http.MethodPost, path: actionPath(action) + "/runs", query: url.Values{}, body: s, key: s.IdempotencyKey}
	if s.RunAs != "" {
		q.query.Set("run_as", s.RunAs)
	}
	return q
}

// run makes a call that is answered with a run.
func (c *Client) run(ctx context.Context, q call) (*Run, http.Header, error) {
	var answer struct {
		Run *Run `json:"run"`
	}
	header, err := c.do(ctx, q, &answer)
	if err == nil && answer.Run == nil {
		err = notOurs(http.StatusOK, "it has no run")
	}
	return answer.Run, header, err
}

// StartRun starts a run; replayed says that an earlier request with the same key did.
func (c *Client) StartRun(ctx context.Context, action string, s Start) (started *Run, replayed bool, err error) {
	started, header, err := c.run(ctx, s.call(action))
	return started, header.Get("Idempotent-Replayed") == "true", err
}

// Dry is what a request would have started.
type Dry struct {
	Invocation        json.RawMessage `json:"invocation"`
	TriggerData       json.RawMessage `json:"triggerData"`
	FailedExpressions []struct {
		Path       string `json:"path"`
		Expression string `json:"expression"`
		Error      string `json:"error"`
	} `json:"failedExpressions"`
	Warnings []jqtemplate.Warning `json:"warnings"`
}

// DryRun checks and renders; nothing is stored or sent.
func (c *Client) DryRun(ctx context.Context, action string, s Start) (*Dry, error) {
	q := s.call(action)
	q.query.Set("dry_run", "true")
	var answer Dry
	_, err := c.do(ctx, q, &answer)
	return &answer, err
}

// Filter selects runs; its members are ANDed, empty ones ignored.
type Filter struct {
	Action, Blueprint, Entity, UserEmail, UserID, ExternalRunID string
	// Sources are ORed.
	Sources []string
	Active  *bool
	// Limit is 1 to 1,000; 0 leaves it to the server.
	Limit int
	// From is the Next of the page before.
	From string
}

// Page is one page of runs, newest first.
type Page struct {
	Runs []*Run `json:"runs"`
	// Next is nil on the last page.
	Next *string `json:"next"`
}

// Runs returns one page of runs.
func (c *Client) Runs(ctx context.Context, f Filter) (*Page, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"action": f.Action, "blueprint": f.Blueprint, "entity": f.Entity, "user_email": f.UserEmail,
		"user_id": f.UserID, "external_run_id": f.ExternalRunID, "from": f.From,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, source := range f.Sources {
		query.Add("source", source)
	}
	if f.Active != nil {
		query.Set("active", strconv.FormatBool(*f.Active))
	}
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	var answer Page
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/actions/runs", query: query}, &answer)
	return &answer, err
}

func runPath(id string) string { return "/v1/actions/runs/" + url.PathEscape(id) }

// Run returns one run.
func (c *Client) Run(ctx context.Context, id string) (*Run, error) {
	r, _, err := c.run(ctx, call{method: http.MethodGet, path: runPath(id)})
	return r, err
}

// Report is what is said about a run; empty members change nothing.
type Report struct {
	// Status is SUCCESS or FAILURE.
	Status        string   `json:"status,omitempty"`
	StatusLabel   string   `json:"statusLabel,omitempty"`
	Link          []string `json:"link,omitempty"`
	Summary       string   `json:"summary,omitempty"`
	ExternalRunID string   `json:"externalRunId,omitempty"`
}

// Report reports on a run.
func (c *Client) Report(ctx context.Context, id string, report Report) (*Run, error) {
	r, _, err := c.run(ctx, call{method: http.MethodPatch, path: runPath(id), body: report})
	return r, err
}

// Redeliver has a run whose delivery failed delivered again.
func (c *Client) Redeliver(ctx context.Context, id string) (*Run, error) {
	r, _, err := c.run(ctx, call{method: http.MethodPost, path: runPath(id) + "/redeliver"})
	return r, err
}

// Decide approves or declines a run that waits for approval. The description may be empty.
func (c *Client) Decide(ctx context.Context, id string, approve bool, description string) (*Run, error) {
	body := struct {
		Status      string `json:"status"`
		Description string `json:"description,omitempty"`
	}{"DECLINE", description}
	if approve {
		body.Status = "APPROVE"
	}
	r, _, err := c.run(ctx, call{method: http.MethodPatch, path: runPath(id) + "/approval", body: body})
	return r, err
}

// Attempt is one try to deliver a run.
type Attempt struct {
	Generation    int        `json:"generation"`
	Number        int        `json:"number"`
	StartedAt     time.Time  `json:"startedAt"`
	DurationMs    int64      `json:"durationMs"`
	StatusCode    *int       `json:"statusCode"`
	Error         *string    `json:"error"`
	Interrupted   bool       `json:"interrupted"`
	NextAttemptAt *time.Time `json:"nextAttemptAt"`
}

// Attempts returns all tries to deliver a run, oldest first.
func (c *Client) Attempts(ctx context.Context, id string) ([]Attempt, error) {
	var answer struct {
		Attempts []Attempt `json:"attempts"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: runPath(id) + "/attempts"}, &answer)
	return answer.Attempts, err
}
