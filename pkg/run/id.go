package run

import (
	"crypto/rand"
	"time"
)

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewID returns "r_" and 16 characters of [0-9A-Za-z]: 8 for the milliseconds of now, 8 random.
// Identifiers sort by time.
func NewID(now time.Time) string {
	id := [18]byte{0: 'r', 1: '_'}
	ms := max(now.UnixMilli(), 0)
	for i := 9; i >= 2; i-- {
		id[i] = idAlphabet[ms%62]
		ms /= 62
	}
	// 248 is the largest multiple of 62 in a byte; larger bytes would favour some characters.
	var random [16]byte
	for i := 10; i < len(id); {
		_, _ = rand.Read(random[:])
		for _, b := range random {
			if b < 248 && i < len(id) {
				id[i] = idAlphabet[b%62]
				i++
			}
		}
	}
	return string(id[:])
}

// IDTime returns the time in a run id, false when the text is no run id.
func IDTime(id string) (time.Time, bool) {
	if len(id) != 18 || id[:2] != "r_" {
		return time.Time{}, false
	}
	var ms int64
	for i := 2; i < len(id); i++ {
		digit := int64(-1)
		switch c := id[i]; {
		case c >= '0' && c <= '9':
			digit = int64(c - '0')
		case c >= 'A' && c <= 'Z':
			digit = int64(c-'A') + 10
		case c >= 'a' && c <= 'z':
			digit = int64(c-'a') + 36
		}
		if digit < 0 {
			return time.Time{}, false
		}
		if i < 10 {
			ms = ms*62 + digit
		}
	}
	return time.UnixMilli(ms).UTC(), true
}
