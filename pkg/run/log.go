package run

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// NewLog returns a line of a run's log. The ids of lines that one process makes ascend, within a
// millisecond too; those of several processes order by their clocks.
func NewLog(now time.Time, runID, by, message string) *Log {
	id := ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy())
	return &Log{ID: id.String(), RunID: runID, Message: message, CreatedAt: now, CreatedBy: by}
}
