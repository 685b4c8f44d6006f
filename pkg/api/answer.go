package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"longshore/pkg/fault"
)

// answer is a good answer. Its body is encoded; it has "ok": true.
type answer struct {
	status int
	body   any
	// text is the body where it is encoded already.
	text   []byte
	header http.Header
}

func ok(body any) (*answer, error) { return &answer{status: http.StatusOK, body: body}, nil }

// envelope is more than the bytes that a list's answer has beside its members and their commas.
const envelope = 200

// okOnly is an answer that says nothing more.
type okOnly struct {
	OK bool `json:"ok"`
}

// write sends the answer. After an error nothing was sent.
func (a *answer) write(w http.ResponseWriter) (int, error) {
	text := a.text
	if text == nil {
		var err error
		if text, err = encode(a.body); err != nil {
			return 0, err
		}
	}
	if len(text) > MaxAnswer {
		return 0, fault.New(fault.Invalid, "answer_too_large",
			"the answer would have %d bytes, more than the %d that are allowed: ask for less at once", len(text), MaxAnswer)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	send(w, a.status, text)
	return a.status, nil
}

// encode writes compact JSON that is not made safe for HTML: what a client sent comes back as long
// as it was.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := encodeTo(&b, v)
	return b.Bytes(), err
}

// encodeTo writes what encode returns.
func encodeTo(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	b.Truncate(b.Len() - len("\n"))
	return nil
}

func send(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	// A caller that has gone away is its own business.
	_, _ = w.Write(text)
}

// statuses are the HTTP statuses of the kinds of fault.
var statuses = [...]int{
	fault.Internal:         http.StatusInternalServerError,
	fault.Invalid:          http.StatusUnprocessableEntity,
	fault.Unauthorized:     http.StatusUnauthorized,
	fault.Forbidden:        http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.Conflict:         http.StatusConflict,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.Unavailable:      http.StatusServiceUnavailable,
}

func noRoute() error { return fault.New(fault.NotFound, "", "there is no such route") }

// faultBody is the envelope of every fault.
type faultBody struct {
	OK      bool           `json:"ok"`
	Error   string         `json:"error"`
	Message string         `json:"message"`
	Details []fault.Detail `json:"details,omitempty"`
}

// Fault answers a request that cannot reach the API's handler, because something before it failed:
// the same JSON as every other fault.
func Fault(w http.ResponseWriter, err error) { writeFault(w, err) }

// writeFault answers with a fault and returns its status. What is no fault.Error, or an internal
// one, is an internal error to the caller.
func writeFault(w http.ResponseWriter, err error) int {
	var f *fault.Error
	switch {
	case errors.As(err, &f) && f.Kind != fault.Internal:
	case gone(err):
		f = fault.Busy(err, time.Second, "the request could not be dealt with in time")
	default:
		f = fault.New(fault.Internal, "", "internal error")
	}
	header := w.Header()
	switch after := f.RetryAfter; {
	case after > 0:
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	case f.Kind == fault.Unavailable:
		header.Set("Retry-After", "1")
	}
	if f.Kind == fault.Unauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	text, err := encode(faultBody{Error: f.Word(), Message: f.Message, Details: f.Details})
	if err != nil || len(text) > MaxAnswer {
		text, _ = encode(faultBody{Error: f.Word(), Message: "the faults of this request do not fit into an answer"})
	}
	status := statuses[f.Kind]
	send(w, status, text)
	return status
}

// stamp is a time as every answer writes it: RFC 3339, UTC, milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// stampOrNil is nil for the zero time.
func stampOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := stamp(t)
	return &text
}
