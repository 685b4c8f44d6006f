package run

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
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
	e := entry(audit.Create, r, r.Creator())
	e.After = audited(r)
	return audit.New(e, r.ID+"#new", 0)
}

// Creator is who started the run.
func (r *Run) Creator() audit.Author {
	by := audit.Author{ID: r.CreatedBy, Origin: r.Source, Cause: r.Cause, At: r.CreatedAt}
	if r.CreatedBy == r.UserID {
		by.Email = r.UserEmail
	}
	return by
}

// Sign completes a move: it sets the Last of a run that somebody asked to change, or that differs from what
// it was, and returns the change's entry in the audit log. Before is the run as it was found. Any other
// change is nobody's concern: its entry is nil, as is that of a notice.
func Sign(before, after *Run, w *Write) *audit.Entry {
	switch {
	case after.NoticeOf != "":
		return nil
	case w.By != nil:
		after.Last = *w.By
	case w.Response != nil || Differs(before, after):
		after.Last = audit.Author{ID: Own, Origin: SourceAutomation, At: after.UpdatedAt}
	default:
		return nil
	}
	return Changed(before, after)
}

// Changed returns the entry of a change that After's Last signed. Before is the run as it was found, at the
// rev below After's or, where the store has yet to raise that, at the same.
func Changed(before, after *Run) *audit.Entry {
	e := entry(audit.Update, after, after.Last)
	e.Before, e.After = audited(before), audited(after)
	return audit.New(e, before.ID+"#"+strconv.FormatInt(before.Rev, 10), before.Rev+1)
}

// Differs reports whether a change is one that automations are told of: status, label, link, summary,
// external run id, response, approvals or generation. A response that replaces another is not seen here.
func Differs(before, after *Run) bool {
	return before.Status != after.Status || before.StatusLabel != after.StatusLabel ||
		!bytes.Equal(before.Link, after.Link) || before.Summary != after.Summary ||
		before.ExternalRunID != after.ExternalRunID || before.HasResponse != after.HasResponse ||
		!slices.EqualFunc(before.Decisions, after.Decisions, sameDecision) || before.Generation != after.Generation
}

func sameDecision(a, b Decision) bool {
	return a.UserID == b.UserID && a.State == b.State && a.Description == b.Description && a.At.Equal(b.At)
}

// Author is the run's user as the author of a change that the run makes and is the cause of.
func (r *Run) Author(now time.Time) audit.Author {
	return audit.Author{
		ID: r.UserID, Email: r.UserEmail, Origin: r.Source, RunID: r.ID, At: now.UTC().Truncate(time.Millisecond),
		Cause: audit.Cause{EventID: r.Cause.EventID, RunID: r.ID, Depth: r.Cause.Depth},
	}
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
		before := *r
		w, err := move(r)
		if made = nil; err == nil && w != nil {
			made = Sign(&before, r, w)
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
