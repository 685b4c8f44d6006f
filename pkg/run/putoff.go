package run

import "time"

// PutOff lets a run wait that a message asks for, instead of a claim: no attempt is made or counted. Why is
// the reason that readers see, until when the sweeper looks at the run again, at most MaxRest away and
// never after its deadline. It returns ErrNotDue, and changes nothing, for a run that Claim would refuse.
// Timeout is that of Sweep.
func (r *Run) PutOff(now time.Time, generation int, timeout time.Duration, why string, until time.Time) error {
	if !r.claimable(now, generation) {
		return ErrNotDue
	}
	r.Delivery.Waiting = cut(why, MaxStatusLabel)
	r.Delivery.Sends = 0
	r.Due = earlier(earlier(until, now.Add(MaxRest)), r.deadline(timeout))
	return nil
}

// Hinder notes why a run that a message asks for cannot be tried, or looked up, for the time being. It reports
// whether that is news of a run that waits for either.
func (r *Run) Hinder(now time.Time, generation int, why string) bool {
	why = cut(why, MaxStatusLabel)
	if r.Generation != generation || r.Delivery.Waiting == why || !r.Watched() && !r.claimable(now, generation) {
		return false
	}
	r.Delivery.Waiting = why
	return true
}
