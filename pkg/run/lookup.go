package run

import (
	"encoding/json"
	"time"
)

// FirstLookUp is how long after the delivery a backend is first asked how its work goes on.
const FirstLookUp = 2 * time.Minute

// lookUps are the times from one look-up to the next: 2, 5 and 15 minutes after the delivery.
var lookUps = [...]time.Duration{3 * time.Minute, 10 * time.Minute}

const (
	// lookUpWithEvents follows where the backend also reports by itself: it only finds what got lost.
	lookUpWithEvents = time.Hour
	// lookUpMost is the longest time between two look-ups where nothing else reports.
	lookUpMost = 10 * time.Minute
)

// Watch has a run that was just delivered looked up until it has ended.
func (r *Run) Watch(now time.Time, timeout time.Duration) {
	r.Delivery.NextTry = now.Add(FirstLookUp)
	r.Delivery.Sends = 0
	r.Due = earlier(r.Delivery.NextTry, r.deadline(timeout))
}

// Watched reports whether the end of the work that the run started ends the run: its backend took it
// and is looked up.
func (r *Run) Watched() bool {
	return r.Status == InProgress && r.Delivery.State == Delivered && !r.Delivery.NextTry.IsZero()
}

// LookUp moves a watched run that is due to its next look-up and reports whether one is due now; a
// message of kind lookup asks for it. Events says that the backend also reports by itself. A run that
// is not watched, or whose time is over, is Sweep's.
func (r *Run) LookUp(now time.Time, timeout time.Duration, events bool) bool {
	deadline := r.deadline(timeout)
	if !r.Watched() || r.Due.After(now) || !deadline.After(now) {
		return false
	}
	wait := lookUpWithEvents
	switch {
	case r.Delivery.Sends < len(lookUps):
		wait = lookUps[r.Delivery.Sends]
	case !events:
		wait = lookUpMost
	}
	r.Delivery.Sends++
	r.Delivery.NextTry = now.Add(wait)
	r.Due = earlier(r.Delivery.NextTry, deadline)
	return true
}

// Finding is what a backend says about work that it took.
type Finding struct {
	// Status is Success or Failure once the work has ended, empty before.
	Status Status
	// StatusLabel is set on a run that the finding ends, Line is a line in its log then.
	StatusLabel, Line string
	// ExternalRunID and Link are set where the run has none.
	ExternalRunID string
	Link          json.RawMessage
	// Waiting says why nothing could be found out; empty takes an earlier reason back.
	Waiting string
	// After is the least time until the next look-up, 0 for the usual.
	After time.Duration
	// NoAnswer says that nothing could be found out because the backend's host failed.
	NoAnswer bool
}

// Found writes what a look-up or an event came to. It reports whether that changes anything of the
// run; one that is not watched is not changed. By is who moves it.
func (r *Run) Found(now time.Time, by string, timeout time.Duration, f Finding) (changed bool) {
	if !r.Watched() {
		return false
	}
	if r.ExternalRunID == "" && f.ExternalRunID != "" {
		r.ExternalRunID, changed = f.ExternalRunID, true
	}
	if r.Link == nil && f.Link != nil {
		r.Link, changed = f.Link, true
	}
	if waiting := cut(f.Waiting, MaxStatusLabel); r.Delivery.Waiting != waiting {
		r.Delivery.Waiting, changed = waiting, true
	}
	if next := now.Add(f.After); f.After > 0 && next.After(r.Delivery.NextTry) {
		r.Delivery.NextTry = next
		r.Due, changed = earlier(next, r.deadline(timeout)), true
	}
	if changed {
		r.UpdatedAt, r.UpdatedBy = now, by
	}
	if f.Status.Ended() {
		r.end(now, by, f.Status, f.StatusLabel)
		return true
	}
	return changed
}

// OutcomeUnknown is the status label of a run that ends because nobody can tell what became of an attempt:
// a person has to look, and may then ask for a redelivery, which looks no more.
const OutcomeUnknown = "outcome unknown"

// arrives is how long after the end of its last attempt work may begin that a backend took.
const arrives = time.Minute

// Uncertain returns when the first attempt began whose outcome is not known: the backend may have taken it.
// Until is when it can have done so at the latest, zero for now. Since is zero when the outcomes of all
// attempts before the open one are known.
func (r *Run) Uncertain() (since, until time.Time) {
	since, until = r.Delivery.UncertainSince, r.Delivery.UncertainUntil
	for _, a := range r.Attempts {
		if !a.Interrupted && !a.Unknown {
			continue
		}
		if since.IsZero() {
			since = a.StartedAt
		}
		return since, time.Time{}
	}
	return since, until
}

// doubt is what the next generation does not know of this one, which has ended.
func (r *Run) doubt() (since, until time.Time) {
	if r.StatusLabel == OutcomeUnknown {
		return time.Time{}, time.Time{}
	}
	if since, until = r.Uncertain(); !since.IsZero() && until.IsZero() {
		until = r.EndedAt.Add(arrives)
	}
	return since, until
}

// refer keeps where the backend's own record of the work is.
func (r *Run) refer(o Outcome) {
	if o.ExternalRunID != "" {
		r.ExternalRunID = o.ExternalRunID
	}
	if o.Link != nil {
		r.Link = o.Link
	}
}

// Conclusion is what the end of a workflow run of GitHub means: success is Success, anything else
// Failure with the conclusion as its status label.
func Conclusion(conclusion string) Finding {
	conclusion = cut(conclusion, MaxStatusLabel)
	f := Finding{Status: Failure, StatusLabel: conclusion, Line: "The workflow run ended: " + conclusion + "."}
	if conclusion == "success" {
		f.Status, f.StatusLabel = Success, ""
	}
	return f
}
