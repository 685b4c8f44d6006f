package dynamostore

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/run"
)

// Sort keys of a run's items. A head names its detail and its response by the rev and the mark they
// were written with, so that of several writers each has its own; a body whose key was taken by an
// orphan is named likewise.
const (
	headKey        = "head"
	bodyKey        = "body"
	otherBody      = "body~"
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
	item
	detail detail
}

// detail is what does not fit the head. It has an item for each change.
type detail struct {
	Summary string          `json:"summary,omitempty"`
	Link    json.RawMessage `json:"link,omitempty"`
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
	return d
}

func (d detail) empty() bool { return d.Summary == "" && d.Link == nil }

func (d detail) equal(other detail) bool {
	return d.Summary == other.Summary && string(d.Link) == string(other.Link)
}

// names of a run's other items, as its head has them.
type names struct{ body, detail, response string }

func (i item) names() names {
	return names{body: cmp.Or(i.text("body"), bodyKey), detail: i.text("detail"), response: i.text("response")}
}

// named returns the sort key of an item that only the head with this rev and mark names.
func named(prefix string, rev int64, mark []byte) string {
	return prefix + strconv.FormatInt(rev, 10) + "#" + hex.EncodeToString(mark)
}

// encodeHead writes a head. Everything but the indexes' attributes is there under one name only,
// and what is empty or follows from another attribute is left out.
func encodeHead(r *run.Run, n names, expires time.Time) (item, error) {
	i := newItem(r.ID, headKey)
	i.setExpiry(expires)
	i.setInt("rev", r.Rev)

	i.setText("allShard", shard(r.ID))
	i.setText("action", r.Action.Identifier)
	i.setText("actionKey", keyPart(r.Action.Identifier))
	i.setText("blueprint", r.Blueprint)
	i.setText("entity", r.Entity)
	i.setText("entityKey", keyPart(r.Entity))
	i.setText("user", r.UserID)
	if strings.HasPrefix(r.UserID, userPrefix) {
		i.setText("userKey", keyPart(r.UserID))
	}
	i.setText("source", r.Source)
	i.setText("externalRunId", keyPart(r.ExternalRunID))
	if len(r.ExternalRunID) > maxKeyPart {
		i.setText("external", r.ExternalRunID)
	}
	if !r.Due.IsZero() {
		i.setText("dueShard", shard(r.ID))
		i.setText("dueAt", dueAt(r.Due))
	}

	i.setInt("generation", int64(r.Generation))
	i.setText("status", string(r.Status))
	i.setText("statusLabel", r.StatusLabel)
	if len(r.Link) <= maxInHead {
		i.setText("link", string(r.Link))
	}
	if len(r.Summary) <= maxInHead {
		i.setText("summary", r.Summary)
	}
	i.setText("title", r.Action.Title)
	i.setText("icon", r.Action.Icon)
	i.setText("actionId", r.Action.ID)
	i.setText("backend", r.Backend)
	i.setText("requiredApproval", string(r.RequiredApproval))
	i.setText("email", r.UserEmail)
	i.setText("createdBy", r.CreatedBy)
	i.setText("updatedBy", r.UpdatedBy)
	i.setTime("createdAt", r.CreatedAt)
	i.setTime("updatedAt", r.UpdatedAt)
	i.setTime("startedAt", r.StartedAt)
	i.setTime("endedAt", r.EndedAt)

	i.setText("delivery", string(r.Delivery.State))
	i.setText("owner", r.Delivery.Owner)
	i.setTime("lease", r.Delivery.Lease)
	i.setTime("deliveredAt", r.Delivery.DeliveredAt)
	i.setInt("sends", int64(r.Delivery.Sends))
	i.setTime("nextTry", r.Delivery.NextTry)
	i.setText("waiting", r.Delivery.Waiting)

	if n.body != bodyKey {
		i.setText("body", n.body)
	}
	i.setText("detail", n.detail)
	if r.HasResponse {
		i["response"] = text(n.response)
	}
	if len(r.Attempts) == 0 {
		return i, nil
	}
	short := make([]shortAttempt, len(r.Attempts))
	for x, a := range r.Attempts {
		short[x] = shorten(a)
	}
	attempts, err := encode(short)
	if err != nil {
		return nil, fmt.Errorf("encode attempts: %w", err)
	}
	i.setText("attempts", attempts)
	return i, nil
}

// run reads the head. Each call returns a new run.
func (h head) run() (*run.Run, error) {
	i := h.item
	r := &run.Run{
		ID:          i.text("pk"),
		Rev:         i.int("rev"),
		Generation:  int(i.int("generation")),
		Status:      run.Status(i.text("status")),
		StatusLabel: i.text("statusLabel"),
		Link:        raw(i.text("link")),
		Summary:     i.text("summary"),
		Action: run.Action{
			Identifier: i.text("action"), Title: i.text("title"), Icon: i.text("icon"), ID: i.text("actionId"),
		},
		Backend:          i.text("backend"),
		Blueprint:        i.text("blueprint"),
		Entity:           i.text("entity"),
		Source:           i.text("source"),
		RequiredApproval: raw(i.text("requiredApproval")),
		UserID:           i.text("user"),
		UserEmail:        i.text("email"),
		CreatedBy:        i.text("createdBy"),
		UpdatedBy:        i.text("updatedBy"),
		CreatedAt:        i.time("createdAt"),
		UpdatedAt:        i.time("updatedAt"),
		StartedAt:        i.time("startedAt"),
		EndedAt:          i.time("endedAt"),
		Delivery: run.Delivery{
			State:       run.DeliveryState(i.text("delivery")),
			Owner:       i.text("owner"),
			Lease:       i.time("lease"),
			DeliveredAt: i.time("deliveredAt"),
			Sends:       int(i.int("sends")),
			NextTry:     i.time("nextTry"),
			Waiting:     i.text("waiting"),
		},
	}
	_, r.HasResponse = i["response"]
	if r.ExternalRunID = i.text("external"); r.ExternalRunID == "" {
		r.ExternalRunID = i.text("externalRunId")
	}
	if h.detail.Summary != "" {
		r.Summary = h.detail.Summary
	}
	if h.detail.Link != nil {
		r.Link = h.detail.Link
	}
	if at := i.text("dueAt"); at != "" {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read head of %s: dueAt: %w", r.ID, err)
		}
		r.Due = time.UnixMilli(ms).UTC()
	}
	if attempts := i.text("attempts"); attempts != "" {
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

// dueAt writes a time so that texts sort as times: 13 digits of milliseconds.
func dueAt(t time.Time) string { return fmt.Sprintf("%013d", max(t.UnixMilli(), 0)) }

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
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
	Next        *int64 `json:"n,omitempty"`
}

func shorten(a run.Attempt) shortAttempt {
	short := shortAttempt{
		StartedAt: a.StartedAt.UnixMilli(), Duration: a.DurationMs, StatusCode: a.StatusCode, Error: a.Error,
		Open: a.Open, Interrupted: a.Interrupted,
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
		DurationMs: s.Duration, StatusCode: s.StatusCode, Error: s.Error, Open: s.Open, Interrupted: s.Interrupted,
	}
	if s.Next != nil {
		next := time.UnixMilli(*s.Next).UTC()
		a.NextAttemptAt = &next
	}
	return a
}
