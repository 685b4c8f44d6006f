package api

import (
	"encoding/json"
	"fmt"
	"slices"

	"longshore/pkg/run"
)

// runAnswer answers with one run.
func runAnswer(status int, r *run.Record, actionDeleted bool) (*answer, error) {
	text, err := showRun(r, actionDeleted)
	if err != nil {
		return nil, err
	}
	return &answer{status: status, text: slices.Concat([]byte(`{"ok":true,"run":`), text, []byte("}"))}, nil
}

// showRun writes a run as answers have it.
func showRun(r *run.Record, actionDeleted bool) (json.RawMessage, error) {
	return run.View(r, actionDeleted, MaxAnswer-envelope)
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
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
