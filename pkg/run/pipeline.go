package run

import "fmt"

// Pipeline is what the status of a GitLab pipeline means for its run: success ends it SUCCESS; failed,
// canceled and skipped end it FAILURE with that word as its status label. Any other goes on, manual and
// blocked ones too: somebody has yet to start a job, or the next stage.
func Pipeline(status string) Finding {
	switch status {
	case "success":
		return Finding{Status: Success, Line: "The pipeline ended: success."}
	case "failed", "canceled", "skipped":
		return Finding{Status: Failure, StatusLabel: status, Line: fmt.Sprintf("The pipeline ended: %s.", status)}
	}
	return Finding{}
}
