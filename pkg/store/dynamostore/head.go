package dynamostore

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Sort keys of a run's items. A head names its detail and its response by the rev and the mark they
// were written with, so that of several writers each has its own; a body whose key was taken by an
// orphan is named likewise, and so is a sealed invocation.
const (
	headKey        = "head"
	bodyKey        = "body"
	otherBody      = "body~"
	sealedKey      = "invocation"
	otherSealed    = "invocation~"
	detailPrefix   = "detail#"
	responsePrefix = "response#"
	logPrefix      = "log#"
	attemptsPrefix = "attempts#"
)

// maxInHead is the longest summary or link in bytes that stands on the head. Most writes of a run
// cost one unit because its head is below 1 KiB.
const maxInHead = 300

// userPrefix begins the ids of people, which the user index holds. A machine's runs are found by
// the attribute, not by the index, and cost one write less.
const userPrefix = "usr_"

// head is a run's head as it is stored, and the texts that its detail item holds.
type head struct {
	table.Item
	detail detail
}

// detail is what does not fit the head. It has an item for each change.
type detail struct {
	Summary string          `json:"summary,omitempty"`
	Link    json.RawMessage `json:"link,omitempty"`
	// Descriptions are those of decisions, by user id.
	Descriptions map[string]string `json:"descriptions,omitempty"`
}

// aside returns the texts of a run that do not fit its head.
func aside(r *run.Run) detail {
	var d detail
	if len(r.Summary) > maxInHead {
		d.Summary = r.Summary
	}
	if len(r.Link) > maxInHead {
		d.Link = r.Link
	}
	for _, decision := range r.Decisions {
		if decision.Description != "" {
			if d.Descriptions == nil {
				d.Descriptions = map[string]string{}
			}
			d.Descriptions[decision.UserID] = decision.Description
		}
	}
	return d
}

func (d detail) empty() bool { return d.Summary == "" && d.Link == nil && len(d.Descriptions) == 0 }

func (d detail) equal(other detail) bool {
	return d.Summary == other.Summary && string(d.Link) == string(other.Link) && maps.Equal(d.Descriptions, other.Descriptions)
}

// names of a run's other items, as its head has them.
type names struct{ body, sealed, detail, response string }

func namesOf(i table.Item) names {
	return names{
		body: cmp.Or(i.Text("body"), bodyKey), sealed: i.Text("sealed"), detail: i.Text("detail"), response: i.Text("response"),
	}
}

// named returns the sort key of an item that only the head with this rev and mark names.
func named(prefix string, rev int64, mark []byte) string {
	return prefix + strconv.FormatInt(rev, 10) + "#" + hex.EncodeToString(mark)
}

// encodeHead writes a head. Everything but the indexes' attributes is there under one name only,
// and what is empty or follows from another attribute is left out.
func encodeHead(r *run.Run, n names, expires time.Time) (table.Item, error) {
	i := table.NewItem(r.ID, headKey)
	i.SetExpiry(expires)
	i.SetInt("rev", r.Rev)

	i.SetText("action", r.Action.Identifier)
	i.SetText("blueprint", r.Blueprint)
	i.SetText("entity", r.Entity)
	i.SetText("user", r.UserID)
	i.SetText("source", r.Source)
	if r.NoticeOf == "" {
		// What is no run is in no list of runs.
		i.SetText("allShard", shard(r.ID))
		i.SetText("actionKey", table.KeyPart(r.Action.Identifier))
		i.SetText("entityKey", table.KeyPart(r.Entity))
		if strings.HasPrefix(r.UserID, userPrefix) {
			i.SetText("userKey", table.KeyPart(r.UserID))
		}
		i.SetText("externalRunId", table.KeyPart(r.ExternalRunID))
	}
	i.SetText("noticeOf", r.NoticeOf)
	if len(r.ExternalRunID) > table.MaxKeyPart {
		i.SetText("external", r.ExternalRunID)
	}
	if !r.Due.IsZero() {
		i.SetText("dueShard", shard(r.ID))
		i.SetText("dueAt", dueAt(r.Due))
	}

	i.SetText("pendingKey", table.KeyPart(r.PendingKey()))
	i.SetText("installation", r.Pending.Installation)
	i.SetText("method", r.Pending.Method)
	i.SetTime("claimedUntil", r.Pending.ClaimedUntil)
	if r.Pending.Acknowledged {
		i.SetInt("acknowledged", 1)
	}

	i.SetInt("generation", int64(r.Generation))
	i.SetText("status", string(r.Status))
	i.SetText("statusLabel", r.StatusLabel)
	if len(r.Link) <= maxInHead {
		i.SetText("link", string(r.Link))
	}
	if len(r.Summary) <= maxInHead {
		i.SetText("summary", r.Summary)
	}
	i.SetText("title", r.Action.Title)
	i.SetText("icon", r.Action.Icon)
	i.SetText("actionId", r.Action.ID)
	i.SetText("backend", r.Backend)
	i.SetText("requiredApproval", string(r.RequiredApproval))
	i.SetText("email", r.UserEmail)
	i.SetText("impersonatedBy", r.ImpersonatedBy)
	i.SetText("createdBy", r.CreatedBy)
	i.SetText("updatedBy", r.UpdatedBy)
	i.SetTime("createdAt", r.CreatedAt)
	i.SetTime("updatedAt", r.UpdatedAt)
	switch {
	case r.Last.At.IsZero():
	case r.Last == own(r):
		i.SetText("last", byOwn)
	default:
		i["last"] = table.Author(r.Last)
	}
	i.SetCause(r.Cause)
	i.SetTime("startedAt", r.StartedAt)
	i.SetTime("endedAt", r.EndedAt)

	i.SetText("delivery", string(r.Delivery.State))
	i.SetText("owner", r.Delivery.Owner)
	i.SetTime("lease", r.Delivery.Lease)
	i.SetTime("deliveredAt", r.Delivery.DeliveredAt)
	i.SetInt("sends", int64(r.Delivery.Sends))
	i.SetTime("nextTry", r.Delivery.NextTry)
	i.SetText("waiting", r.Delivery.Waiting)
	i.SetText("host", r.Delivery.Host)
	i.SetTime("uncertainSince", r.Delivery.UncertainSince)
	i.SetTime("uncertainUntil", r.Delivery.UncertainUntil)
	if r.Private {
		i["private"] = table.Text("true")
	}

	if n.body != bodyKey {
		i.SetText("body", n.body)
	}
	i.SetText("sealed", n.sealed)
	i.SetText("detail", n.detail)
	if r.HasResponse {
		i["response"] = table.Text(n.response)
	}
	if len(r.Decisions) > 0 {
		decisions, err := table.Encode(shortDecisions(r.Decisions))
		if err != nil {
			return nil, fmt.Errorf("encode approvals: %w", err)
		}
		i.SetText("approvals", decisions)
	}
	if len(r.Attempts) == 0 {
		return i, nil
	}
	short := make([]shortAttempt, len(r.Attempts))
	for x, a := range r.Attempts {
		short[x] = shorten(a)
	}
	attempts, err := table.Encode(short)
	if err != nil {
		return nil, fmt.Errorf("encode attempts: %w", err)
	}
	i.SetText("attempts", attempts)
	return i, nil
}

// run reads the head. Each call returns a new run.
func (h head) run() (*run.Run, error) {
	i := h.Item
	r := &run.Run{
		ID:          i.Text("pk"),
		Rev:         i.Int("rev"),
		Generation:  int(i.Int("generation")),
		Status:      run.Status(i.Text("status")),
		StatusLabel: i.Text("statusLabel"),
		Link:        raw(i.Text("link")),
		Summary:     i.Text("summary"),
		Action: run.Action{
			Identifier: i.Text("action"), Title: i.Text("title"), Icon: i.Text("icon"), ID: i.Text("actionId"),
		},
		Backend:          i.Text("backend"),
		Blueprint:        i.Text("blueprint"),
		Entity:           i.Text("entity"),
		Source:           i.Text("source"),
		RequiredApproval: raw(i.Text("requiredApproval")),
		NoticeOf:         i.Text("noticeOf"),
		Pending: run.Claimable{
			Installation: i.Text("installation"), Method: i.Text("method"),
			ClaimedUntil: i.Time("claimedUntil"), Acknowledged: i.Int("acknowledged") == 1,
		},
		UserID:         i.Text("user"),
		UserEmail:      i.Text("email"),
		ImpersonatedBy: i.Text("impersonatedBy"),
		CreatedBy:      i.Text("createdBy"),
		UpdatedBy:      i.Text("updatedBy"),
		CreatedAt:      i.Time("createdAt"),
		UpdatedAt:      i.Time("updatedAt"),
		StartedAt:      i.Time("startedAt"),
		EndedAt:        i.Time("endedAt"),
		Delivery: run.Delivery{
			State:       run.DeliveryState(i.Text("delivery")),
			Owner:       i.Text("owner"),
			Lease:       i.Time("lease"),
			DeliveredAt: i.Time("deliveredAt"),
			Sends:       int(i.Int("sends")),
			NextTry:     i.Time("nextTry"),
			Waiting:     i.Text("waiting"),
			Host:        i.Text("host"),

			UncertainSince: i.Time("uncertainSince"), UncertainUntil: i.Time("uncertainUntil"),
		},
	}
	r.Last, r.Cause = table.ReadAuthor(i["last"]), i.Cause()
	if i.Text("last") == byOwn {
		r.Last = own(r)
	}
	_, r.HasResponse = i["response"]
	r.Private = i["private"] != nil
	if r.ExternalRunID = i.Text("external"); r.ExternalRunID == "" {
		r.ExternalRunID = i.Text("externalRunId")
	}
	if h.detail.Summary != "" {
		r.Summary = h.detail.Summary
	}
	if h.detail.Link != nil {
		r.Link = h.detail.Link
	}
	if at := i.Text("dueAt"); at != "" {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read head of %s: dueAt: %w", r.ID, err)
		}
		r.Due = time.UnixMilli(ms).UTC()
	}
	if approvals := i.Text("approvals"); approvals != "" {
		var short []shortDecision
		if err := json.Unmarshal([]byte(approvals), &short); err != nil {
			return nil, fmt.Errorf("read head of %s: approvals: %w", r.ID, err)
		}
		for _, d := range short {
			r.Decisions = append(r.Decisions, run.Decision{
				UserID: d.UserID, State: d.State, At: time.UnixMilli(d.At).UTC(), Description: h.detail.Descriptions[d.UserID],
			})
		}
	}
	if attempts := i.Text("attempts"); attempts != "" {
		var short []shortAttempt
		if err := json.Unmarshal([]byte(attempts), &short); err != nil {
			return nil, fmt.Errorf("read head of %s: attempts: %w", r.ID, err)
		}
		for x, a := range short {
			r.Attempts = append(r.Attempts, a.attempt(r.Generation, x+1))
		}
	}
	return r, nil
}

// byOwn stands for the author that own returns.
const byOwn = "-"

// own is the author of a change that Longshore made by itself, and nothing after it.
func own(r *run.Run) audit.Author {
	return audit.Author{ID: run.Own, Origin: run.SourceAutomation, At: r.UpdatedAt}
}

// dueAt writes a time so that texts sort as times: 13 digits of milliseconds.
func dueAt(t time.Time) string { return fmt.Sprintf("%013d", max(t.UnixMilli(), 0)) }

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// shortDecision is a decision as the head has it; its description is in the detail.
type shortDecision struct {
	UserID string            `json:"u"`
	State  run.DecisionState `json:"s"`
	At     int64             `json:"a"`
}

func shortDecisions(decisions []run.Decision) []shortDecision {
	short := make([]shortDecision, len(decisions))
	for x, d := range decisions {
		short[x] = shortDecision{d.UserID, d.State, d.At.UnixMilli()}
	}
	return short
}

// shortAttempt is an attempt as the head has it: its generation is the head's, its number its place.
// Times are in milliseconds.
type shortAttempt struct {
	StartedAt   int64  `json:"s"`
	Duration    int64  `json:"d,omitempty"`
	StatusCode  int    `json:"c,omitempty"`
	Error       string `json:"e,omitempty"`
	Open        bool   `json:"o,omitempty"`
	Interrupted bool   `json:"i,omitempty"`
	Unknown     bool   `json:"u,omitempty"`
	Next        *int64 `json:"n,omitempty"`
}

func shorten(a run.Attempt) shortAttempt {
	short := shortAttempt{
		StartedAt: a.StartedAt.UnixMilli(), Duration: a.DurationMs, StatusCode: a.StatusCode, Error: a.Error,
		Open: a.Open, Interrupted: a.Interrupted, Unknown: a.Unknown,
	}
	if a.NextAttemptAt != nil {
		next := a.NextAttemptAt.UnixMilli()
		short.Next = &next
	}
	return short
}

func (s shortAttempt) attempt(generation, number int) run.Attempt {
	a := run.Attempt{
		Generation: generation, Number: number, StartedAt: time.UnixMilli(s.StartedAt).UTC(),
		DurationMs: s.Duration, StatusCode: s.StatusCode, Error: s.Error, Open: s.Open, Interrupted: s.Interrupted, Unknown: s.Unknown,
	}
	if s.Next != nil {
		next := time.UnixMilli(*s.Next).UTC()
		a.NextAttemptAt = &next
	}
	return a
}
