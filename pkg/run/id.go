package run

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewID returns "r_" and 16 characters of [0-9A-Za-z]: 8 for the milliseconds of now, 8 random.
// Identifiers sort by time.
func NewID(now time.Time) string { return newID('r', now) }

// NewNoticeID returns the id of a delivery that is no run: as NewID, with "d_" in front.
func NewNoticeID(now time.Time) string { return newID('d', now) }

// timed begins an id: its first 10 characters are set.
func timed(kind byte, at time.Time) [18]byte {
	id := [18]byte{0: kind, 1: '_'}
	ms := max(at.UnixMilli(), 0)
	for i := 9; i >= 2; i-- {
		id[i] = idAlphabet[ms%62]
		ms /= 62
	}
	return id
}

func newID(kind byte, now time.Time) string {
	id := timed(kind, now)
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

// DerivedID returns the id of the run that an event starts of an automation, the same each time: 8
// characters for the milliseconds of the event's time, 8 of a hash of the event's id and the automation's
// internal one.
func DerivedID(at time.Time, eventID, automationID string) string {
	id := timed('r', at)
	sum := sha256.Sum256([]byte(eventID + "\x00" + automationID))
	for i, n := 10, binary.BigEndian.Uint64(sum[:]); i < len(id); i++ {
		id[i] = idAlphabet[n%62]
		n /= 62
	}
	return string(id[:])
}

// IsNotice reports whether an id is one of NewNoticeID's.
func IsNotice(id string) bool { return strings.HasPrefix(id, "d_") }

// IDTime returns the time in a run id, false when the text is no run id: that of a notice is none.
func IDTime(id string) (time.Time, bool) { return timeIn('r', id) }

// Expires returns when a run or a notice vanishes: a run once retention has passed since the time in its
// id, a notice after NoticeRetention. It is false when the text is no id of either.
func Expires(id string, retention time.Duration) (time.Time, bool) {
	kind := byte('r')
	if IsNotice(id) {
		kind, retention = 'd', NoticeRetention
	}
	at, ok := timeIn(kind, id)
	return at.Add(retention), ok
}

// timeIn returns the time in an id of a kind.
func timeIn(kind byte, id string) (time.Time, bool) {
	if len(id) != 18 || id[0] != kind || id[1] != '_' {
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
