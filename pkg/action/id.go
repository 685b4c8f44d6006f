package action

import "crypto/rand"

// NewID returns an id for a new definition: "action_" and 16 random characters of [A-Z2-7], 80 bits.
func NewID() string { return "action_" + rand.Text()[:16] }
