// Package permission decides who may execute an action, who may approve its runs, who may write the
// entities of a blueprint, and who may see a run.
package permission

import (
	"time"

	"longshore/pkg/action"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
)

// Question asks about a run that is about to start.
type Question struct {
	// Caller is who the run is by: of a run_as the user.
	Caller identity.Caller
	Action *action.Entry
	// Inputs are the user inputs after defaults; Entity is the whole entity that the run is for, nil for
	// none.
	Inputs, Entity *jqtemplate.Object
	At             time.Time
}

// Approver is a user who may approve a run.
type Approver struct{ UserID, Email string }
