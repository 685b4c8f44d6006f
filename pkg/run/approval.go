package run

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"longshore/pkg/fault"
)

const (
	// ApprovalTimeout is how long a run waits for approval in a deployment that sets nothing else.
	ApprovalTimeout = 30 * 24 * time.Hour
	// MaxApprovers is the most approvers of a run that needs all of them: their decisions stand on its
	// head, which has to stay small.
	MaxApprovers = 50
	// MaxDecisionText is the longest description of a decision in bytes: all of a run's are kept together.
	MaxDecisionText = 4 << 10
	// NoticeRetention is how long a notice is kept.
	NoticeRetention = 14 * 24 * time.Hour
	// NoticeTimeout is the longest that a notice may stay undelivered, less than it is kept.
	NoticeTimeout = 7 * 24 * time.Hour
)

// Approval is what is fixed about a run's approval when it starts to wait.
type Approval struct {
	// Approvers may decide, whatever their roles and teams become. The organization's client may as well
	// and is not listed.
	Approvers []Approver `json:"approvers"`
	// Notices are the ids of the run's notices. One that names the run and is not named by it is the
	// remains of a trigger that died.
	Notices []string `json:"notices,omitempty"`
}

// Approver is a user who may decide.
type Approver struct {
	UserID string `json:"id"`
	Email  string `json:"email"`
}

// May reports whether a user is an approver; a nil Approval has none.
func (a *Approval) May(userID string) bool {
	return a != nil && slices.ContainsFunc(a.Approvers, func(a Approver) bool { return a.UserID == userID })
}

// DecisionState is what an approver said.
type DecisionState string

// Decisions of approvers. Undecided is shown of one who has not decided; no Decision has it.
const (
	Undecided DecisionState = "PENDING"
	Approved  DecisionState = "APPROVED"
	// Refused is a decline, which ends the run.
	Refused DecisionState = "DECLINED"
)

// Decision is one approver's.
type Decision struct {
	// UserID is the client id for the organization's client.
	UserID string
	State  DecisionState
	// Description is at most MaxDecisionText bytes.
	Description string
	At          time.Time
}

// Await makes a run that was started wait for approval: nothing is sent, and it is due when it has
// waited for too long.
func (r *Run) Await(now time.Time, timeout time.Duration) {
	r.Status = WaitingForApproval
	r.Delivery.Waiting = ""
	r.Due = now.Add(timeout)
}

// NeedsAll reports whether every approver has to approve.
func (r *Run) NeedsAll() bool {
	var required struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(r.RequiredApproval, &required) == nil && required.Type == "ALL"
}

// decided returns the decision of a user, nil when there is none.
func (r *Run) decided(userID string) *Decision {
	for i := range r.Decisions {
		if r.Decisions[i].UserID == userID {
			return &r.Decisions[i]
		}
	}
	return nil
}

// Decide records a decision of somebody who may decide, and moves the run if that settles it: a
// decline ends it; the first approval starts it or, if it needs all, the last one of approvers. Alone
// says that the decision settles it in any case. Waiting is why the run cannot be sent once it has
// started, as for Start; started says that it has. The same decision of the same approver again changes
// nothing, whatever became of the run. Any other on a run that does not wait answers
// run_not_waiting_for_approval, a fault.Invalid.
func (r *Run) Decide(d Decision, alone bool, approvers []Approver, waiting string) (changed, started bool, err error) {
	before := r.decided(d.UserID)
	switch {
	case before != nil && before.State == d.State:
		return false, false, nil
	case r.Status != WaitingForApproval:
		return false, false, fault.New(fault.Invalid, "run_not_waiting_for_approval",
			"run %s has status %s: it does not wait for approval", r.ID, r.Status)
	}
	r.Decisions = append(slices.DeleteFunc(slices.Clone(r.Decisions), func(o Decision) bool { return o.UserID == d.UserID }), d)
	r.UpdatedAt, r.UpdatedBy = d.At, d.UserID
	if d.State == Refused {
		r.end(d.At, d.UserID, Declined, "")
		return true, false, nil
	}
	if r.NeedsAll() && !alone && slices.ContainsFunc(approvers, func(a Approver) bool { return r.decided(a.UserID) == nil }) {
		return true, false, nil
	}
	r.Status = InProgress
	r.StartedAt = d.At
	r.Delivery.Waiting = waiting
	r.Due = d.At.Add(Unsent)
	return true, true, nil
}

// LogID returns the run whose log tells what becomes of r: of a notice the run that it tells of.
func (r *Run) LogID() string {
	if r.NoticeOf != "" {
		return r.NoticeOf
	}
	return r.ID
}

// IsChange reports whether r is a changelog message.
func (r *Run) IsChange() bool { return strings.HasPrefix(r.NoticeOf, "event_") }

// Lines are the lines of ours that say what becomes of r, in the log that tells it: a run's own, of a notice
// that of the run it tells of. A changelog message has none: what becomes of it is in the log of the process.
func (r *Run) Lines(now time.Time, messages ...string) []*Log {
	if r.IsChange() {
		return nil
	}
	logs := make([]*Log, len(messages))
	for i, m := range messages {
		logs[i] = NewLog(now, r.LogID(), Own, m)
	}
	return logs
}

// Drop ends a notice whose run was never recorded.
func (r *Run) Drop(now time.Time) { r.end(now, Own, Failure, "its run was never recorded") }
