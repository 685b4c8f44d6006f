package queue

import "time"

// Late is something other than a run whose message must have been lost: it is to be sent again.
type Late struct {
	// PK and Generation are those of the message.
	PK         string
	Generation int
	// Sends is how often it was sent again, Due since when it is to be.
	Sends int
	Due   time.Time
}
