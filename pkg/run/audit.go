package run

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"longshore/pkg/audit"
)

const (
	// maxAudited is how many bytes of a summary or a link the audit log has.
	maxAudited = 200
	// recordFor bounds what follows a change that has happened.
	recordFor = 3 * time.Second
)

// Created returns the entry of a run that begins to exist; nil for a notice, which is no run.
func Created(r *Run) *audit.Entry {
	if r.NoticeOf != "" {
		return nil
	}
	by := audit.Author{ID: r.CreatedBy, Origin: r.Source, At: r.CreatedAt}
	if r.CreatedBy == r.UserID {
		by.Email = r.UserEmail
	}
	e := entry(audit.Create, r, by)
	e.After = audited(r)
	return audit.New(e, r.ID+"#new", 0)
}

// Changed returns the entry of a move that somebody asked for. Before is the run as it was found.
func Changed(before, after *Run, by audit.Author) *audit.Entry {
	e := entry(audit.Update, after, by)
	e.Before, e.After = audited(before), audited(after)
	return audit.New(e, before.ID+"#"+strconv.FormatInt(before.Rev, 10), before.Rev+1)
}

// Author is the run's user as the author of a change that is tied to the run.
func (r *Run) Author(now time.Time) audit.Author {
	return audit.Author{ID: r.UserID, Email: r.UserEmail, Origin: r.Source, RunID: r.ID, At: now.UTC().Truncate(time.Millisecond)}
}

func entry(action string, r *Run, by audit.Author) audit.Entry {
	return audit.Entry{Action: action, Resource: audit.Run, Identifier: r.ID, Blueprint: r.Blueprint, Entity: r.Entity, By: by}
}

// auditedDecision is an approver's decision as the audit log has it.
type auditedDecision struct {
	UserID string        `json:"userId"`
	State  DecisionState `json:"state"`
}

// audited is what the audit log has of a run: fields of the head, so that an entry is small and holds no
// input, payload or response.
func audited(r *Run) json.RawMessage {
	v := struct {
		ID            string          `json:"id"`
		Status        Status          `json:"status"`
		StatusLabel   string          `json:"statusLabel,omitempty"`
		Action        string          `json:"action"`
		Blueprint     string          `json:"blueprint,omitempty"`
		Entity        string          `json:"entity,omitempty"`
		Link          json.RawMessage `json:"link,omitempty"`
		Summary       string          `json:"summary,omitempty"`
		ExternalRunID string          `json:"externalRunId,omitempty"`
		Generation    int             `json:"generation"`
		CreatedAt     string          `json:"createdAt"`
		UpdatedAt     string          `json:"updatedAt"`
		EndedAt       string          `json:"endedAt,omitempty"`
		// Decisions are those of approvers, without what they said.
		Decisions []auditedDecision `json:"decisions,omitempty"`
		// ImpersonatedBy is the client that started the run as its user.
		ImpersonatedBy string `json:"impersonatedBy,omitempty"`
	}{
		ID: r.ID, Status: r.Status, StatusLabel: r.StatusLabel, Action: r.Action.Identifier, Blueprint: r.Blueprint, Entity: r.Entity,
		Link: shortLink(r.Link), Summary: short(r.Summary), ExternalRunID: r.ExternalRunID, Generation: r.Generation,
		CreatedAt: timeText(r.CreatedAt), UpdatedAt: timeText(r.UpdatedAt), EndedAt: timeText(r.EndedAt),
		ImpersonatedBy: r.ImpersonatedBy,
	}
	for _, d := range r.Decisions {
		v.Decisions = append(v.Decisions, auditedDecision{d.UserID, d.State})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		// The link is not JSON: a store gave back something else than it was given.
		return json.RawMessage(`{}`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// short cuts a text where a character begins.
func short(text string) string {
	if len(text) <= maxAudited {
		return text
	}
	end := maxAudited
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// shortLink returns a link as it is, or a long one's first address cut.
func shortLink(link json.RawMessage) json.RawMessage {
	if len(link) <= maxAudited {
		return link
	}
	var first string
	var several []string
	if json.Unmarshal(link, &several) == nil && len(several) > 0 {
		first = several[0]
	} else if json.Unmarshal(link, &first) != nil {
		return nil
	}
	text, err := json.Marshal(short(first))
	if err != nil {
		return nil
	}
	return text
}

// Audited is a store of runs whose audit log is kept elsewhere: it records what Create and Update did, after
// it is done and before they return. An entry that cannot be kept is logged, and no error, since the change
// has happened; the change feed makes it anew.
type Audited struct {
	Store
	Audit audit.Recorder
	Log   *slog.Logger
}

// Create implements Store.
func (a *Audited) Create(ctx context.Context, r *Run, b *Body) error {
	err := a.Store.Create(ctx, r, b)
	if e := Created(r); err == nil && e != nil {
		a.record(ctx, e)
	}
	return err
}

// Update implements Store.
func (a *Audited) Update(ctx context.Context, id string, move func(*Run) (*Write, error)) (*Run, error) {
	var made *audit.Entry
	r, err := a.Store.Update(ctx, id, func(r *Run) (*Write, error) {
		w, err := move(r)
		if made = nil; w != nil {
			made = w.Entry
		}
		return w, err
	})
	if err == nil && made != nil {
		a.record(ctx, made)
	}
	return r, err
}

func (a *Audited) record(ctx context.Context, e *audit.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordFor)
	defer cancel()
	if err := a.Audit.Record(ctx, e); err != nil {
		a.Log.LogAttrs(ctx, slog.LevelWarn, "audit entry of a run not written",
			slog.String("run_id", e.Identifier), slog.String("action", e.Action), slog.Any("error", err))
	}
}
