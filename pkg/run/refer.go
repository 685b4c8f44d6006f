package run

// refer keeps where the backend's own record of the work is.
func (r *Run) refer(o Outcome) {
	if o.ExternalRunID != "" {
		r.ExternalRunID = o.ExternalRunID
	}
	if o.Link != nil {
		r.Link = o.Link
	}
}
