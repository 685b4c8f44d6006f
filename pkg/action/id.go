package action

import "crypto/rand"

// NewID returns "action_" and 16 random characters of [0-9A-Za-z]: 95 bits.
func NewID() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := make([]byte, 0, 16)
	for buf := make([]byte, 32); len(id) < cap(id); {
		_, _ = rand.Read(buf) // It never fails (crypto/rand, Go 1.24).
		for _, b := range buf {
			if int(b) < len(digits)*4 && len(id) < cap(id) { // Each character equally often.
				id = append(id, digits[int(b)%len(digits)])
			}
		}
	}
	return "action_" + string(id)
}
