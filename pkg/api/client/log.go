package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Log is a line of a run's log.
type Log struct {
	ID        string    `json:"id"`
	RunID     string    `json:"runId"`
	Message   string    `json:"message"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
}

// Line is a line to add to a run's log; with a TerminationStatus it ends the run.
type Line struct {
	Message           string `json:"message"`
	StatusLabel       string `json:"statusLabel,omitempty"`
	TerminationStatus string `json:"terminationStatus,omitempty"`
}

// AppendLog adds a line to a run's log.
func (c *Client) AppendLog(ctx context.Context, id string, l Line) (*Log, error) {
	var answer struct {
		RunLog *Log `json:"runLog"`
	}
	_, err := c.do(ctx, call{method: http.MethodPost, path: runPath(id) + "/logs", body: l}, &answer)
	return answer.RunLog, err
}

// Logs hands each line behind the line called after (empty: from the start) to each, oldest first,
// and returns the id of the last one.
func (c *Client) Logs(ctx context.Context, id, after string, each func(Log)) (last string, err error) {
	for {
		query := url.Values{}
		if after != "" {
			query.Set("after", after)
		}
		var answer struct {
			RunLogs []Log `json:"runLogs"`
		}
		if _, err := c.do(ctx, call{method: http.MethodGet, path: runPath(id) + "/logs", query: query}, &answer); err != nil {
			return after, err
		}
		if len(answer.RunLogs) == 0 {
			return after, nil
		}
		for _, l := range answer.RunLogs {
			each(l)
			after = l.ID
		}
	}
}

// Follow hands each line of a run's log to each, those that are there and those that come, until the
// run has ended, and returns the run as it ended. Between two looks it waits for every.
func (c *Client) Follow(ctx context.Context, id string, every time.Duration, each func(Log)) (*Run, error) {
	for after := ""; ; {
		// The run first: the lines that were written before its end are then all there.
		current, err := c.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if after, err = c.Logs(ctx, id, after, each); err != nil {
			return nil, err
		}
		if current.Ended() {
			return current, nil
		}
		if err := sleep(ctx, every); err != nil {
			return current, err
		}
	}
}
