package permission

import (
	"slices"

	"longshore/pkg/action"
	"longshore/pkg/identity"
	"longshore/pkg/run"
)

// own reports whether a caller needs no permission for a run: a machine, an Admin, and the user that the
// run is by.
func own(c identity.Caller, r *run.Run) bool {
	return c.Machine || c.User != nil && (c.User.Role == identity.Admin || c.ID != "" && c.ID == r.UserID)
}

// MayReport reports whether a caller may change a run, write lines into its log, and have it delivered
// again: the run's own user, Admins and machines.
func MayReport(c identity.Caller, r *run.Run) bool { return own(c, r) }

// Private reports whether only some may see a run: its action says so, or said so when the run started
// and is gone. The entry is that of the run's action, nil if it is gone.
func Private(e *action.Entry, r *run.Run) bool {
	if e == nil || e.Definition == nil {
		return r.Private
	}
	return e.Definition.PrivateRuns
}

// MaySee reports whether a caller may see a run: of a private one, who may change it and who may, or
// might, approve it.
func MaySee(c identity.Caller, r *run.Run, private bool, approvers []Approver) bool {
	return !private || own(c, r) || slices.ContainsFunc(approvers, func(a Approver) bool { return a.UserID == c.ID })
}
