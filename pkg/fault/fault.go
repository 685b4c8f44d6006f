// Package fault is the one error type of Longshore: a kind for programs, a sentence for people,
// a wrapped cause for logs.
//
// Callers outside see the kind and the sentence; any other error is "internal error" to them.
// Whether a try may be repeated, and when, is a property of the error.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what went wrong, for programs. The API maps each kind to one HTTP status.
type Kind uint8

const (
	// Internal is a fault of ours; its text stays in the log. HTTP 500.
	Internal Kind = iota
	// Invalid is a request that is understood and refused. HTTP 422.
	Invalid
	// Unauthorized is a missing or bad credential. HTTP 401.
	Unauthorized
	// Forbidden is a caller without the right. HTTP 403.
	Forbidden
	// NotFound is a thing or a route that is not there, or not visible to the caller. HTTP 404.
	NotFound
	// MethodNotAllowed is a route that is there under other methods. HTTP 405.
	MethodNotAllowed
	// Conflict is an identifier that is taken, or a state that somebody else is changing. HTTP 409.
	Conflict
	// TooLarge is a body over the limit. HTTP 413.
	TooLarge
	// Unavailable is a dependency that cannot be used now; nothing was accepted. HTTP 503.
	Unavailable
)

// The stable words of answers, where a kind has only one.
var words = [...]string{
	Internal:         "internal_error",
	Invalid:          "invalid_request",
	Unauthorized:     "unauthorized",
	Forbidden:        "forbidden",
	NotFound:         "not_found",
	MethodNotAllowed: "method_not_allowed",
	Conflict:         "conflict",
	TooLarge:         "payload_too_large",
	Unavailable:      "unavailable",
}

// Detail is one of several faults in a request.
type Detail struct {
	// Path is the JSON path of the faulty member, such as invocationMethod.body.deep[0].x;
	// of inputs properties.alpha. Empty for the whole body.
	Path string `json:"path"`
	// Message is a sentence that names what was expected.
	Message string `json:"message"`
	// Position is an offset in UTF-16 units from 0 in the string as it was written, where there is one.
	Position *int `json:"position,omitempty"`
}

// Error is what Longshore's packages return for every fault that a caller can act on.
type Error struct {
	Kind Kind
	// Code is the stable snake_case word of the answer; empty means the kind's own.
	Code string
	// Message is a sentence for people. It holds no secret, no URL's query and no payload.
	Message string
	// Details lists the faults where there are several, or where a path says more.
	Details []Detail
	// Retryable says that the same call may succeed later.
	Retryable bool
	// RetryAfter is the least time until then; 0 when unknown.
	RetryAfter time.Duration
	// Err is the cause, for logs only.
	Err error
}

// Error returns the sentence and, for logs, the cause behind it.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Word returns the stable word that answers carry as "error".
func (e *Error) Word() string {
	if e.Code != "" {
		return e.Code
	}
	return words[e.Kind]
}

// New returns an error of a kind; code may be empty.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of a kind whose cause goes to the log only.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// Busy returns an Unavailable error for a dependency that refuses or fails now; a caller may try
// again after the given time.
func Busy(err error, after time.Duration, format string, args ...any) *Error {
	return &Error{Kind: Unavailable, Message: fmt.Sprintf(format, args...), Retryable: true, RetryAfter: after, Err: err}
}

// InvalidDetails returns one Invalid error for all faults of a request, or nil when there is none.
// Its message has a line for each, "path: sentence".
func InvalidDetails(details []Detail) error {
	if len(details) == 0 {
		return nil
	}
	lines := make([]string, len(details))
	for i, d := range details {
		lines[i] = d.Message
		if d.Path != "" {
			lines[i] = d.Path + ": " + d.Message
		}
	}
	return &Error{Kind: Invalid, Message: strings.Join(lines, "\n"), Details: details}
}

// KindOf returns the kind of the first Error in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	if err == nil {
		return Internal
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err's chain holds an Error with that word.
func Is(err error, word string) bool {
	var e *Error
	return errors.As(err, &e) && e.Word() == word
}
