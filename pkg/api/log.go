package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"

	"github.com/oklog/ulid/v2"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

const (
	// maxLogMessage is the longest line of a run's log in bytes.
	maxLogMessage = 64 << 10
	// maxLogs is how many lines an answer has at most, and if nothing else is asked for.
	maxLogs = 50
)

// logView is a line of a run's log as answers show it.
type logView struct {
	ID        string `json:"id"`
	RunID     string `json:"runId"`
	Message   string `json:"message"`
	CreatedAt string `json:"createdAt"`
	CreatedBy string `json:"createdBy"`
}

func showLog(l *run.Log) logView {
	return logView{l.ID, l.RunID, l.Message, stamp(l.CreatedAt), l.CreatedBy}
}

// listLogs answers GET /v1/actions/runs/{run_id}/logs, oldest line first.
func (s *server) listLogs(r *request) (*answer, error) {
	q := r.query()
	want := run.LogQuery{
		After: q.text("after"), Offset: q.number("offset", 0, 0, math.MaxInt32), Limit: q.number("limit", maxLogs, 1, maxLogs),
	}
	if _, err := ulid.ParseStrict(want.After); want.After != "" && err != nil {
		q.fault("after", "must be the id of a log line")
	}
	if err := q.done(); err != nil {
		return nil, err
	}
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
	lines, err := s.Runs.Logs(r.Context(), id, want)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	views := []json.RawMessage{}
	size := envelope
	for _, l := range lines {
		text, err := encode(showLog(l))
		if err != nil {
			return nil, err
		}
		// Control characters are written as six: the rest is for the next page.
		if size += len(text) + 1; size > MaxAnswer {
			break
		}
		views = append(views, text)
	}
	return ok(struct {
		OK      bool              `json:"ok"`
		RunLogs []json.RawMessage `json:"runLogs"`
	}{true, views})
}

// appendLog answers POST /v1/actions/runs/{run_id}/logs. A line that ends the run is written with
// the end or not at all; a plain one is accepted after the end too.
func (s *server) appendLog(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	message := b.required("message", maxLogMessage)
	label := b.text("statusLabel", run.MaxStatusLabel)
	status := run.Status(b.word("terminationStatus", string(run.Success), string(run.Failure)))
	if err := b.done(); err != nil {
		return nil, err
	}
	id, err := runID(r)
	if err != nil {
		return nil, err
	}
	head, err := s.Runs.Get(r.Context(), id)
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	if err := s.reportable(r, head); err != nil {
		return nil, err
	}
	if message, label, err = s.hideReport(r, head, message, label); err != nil {
		return nil, err
	}
	line := run.NewLog(s.now(), id, r.caller.ID, message)
	if status == "" && label == nil {
		err = s.Runs.AppendLog(r.Context(), line)
	} else {
		err = s.appendReport(r, line, status, label)
	}
	if err != nil {
		return nil, fmt.Errorf("append log: %w", err)
	}
	return &answer{status: http.StatusCreated, body: struct {
		OK     bool    `json:"ok"`
		RunLog logView `json:"runLog"`
	}{true, showLog(line)}}, nil
}

// hideReport hides the secrets of a run that an agent has in a log line and a label. Whether there are any
// stands in the body, which is read for the runs of agents alone.
func (s *server) hideReport(r *request, head *run.Run, message string, label *string) (string, *string, error) {
	if head.Backend != invocation.BackendAgent && head.Backend != invocation.BackendKafka {
		return message, label, nil
	}
	record, err := s.Runs.Read(r.Context(), head.ID)
	if err != nil {
		return "", nil, fmt.Errorf("read run: %w", err)
	}
	mask, err := s.reportMask(r.Context(), record)
	if err != nil {
		return "", nil, err
	}
	return mask.Text(message), masked(mask, label), nil
}

// masked hides secrets in a text that may be absent.
func masked(mask *secret.Mask, text *string) *string {
	if mask == nil || text == nil {
		return text
	}
	return new(mask.Text(*text))
}

// appendReport writes a line together with what it says about the run. Without a status the line
// counts as plain: a label that comes while the run is not in progress is dropped.
func (s *server) appendReport(r *request, line *run.Log, status run.Status, label *string) error {
	by := s.author(r)
	by.At = line.CreatedAt
	_, err := s.Runs.Update(r.Context(), line.RunID, func(current *run.Run) (*run.Write, error) {
		p := run.Patch{StatusLabel: label}
		if status != "" {
			p.Status = &status
		}
		w := &run.Write{Logs: []*run.Log{line}}
		if status != "" || current.Status == run.InProgress {
			if err := current.Apply(by.At, by.ID, p); err != nil {
				return nil, err
			}
			w.By = &by
		}
		return w, nil
	})
	return err
}
