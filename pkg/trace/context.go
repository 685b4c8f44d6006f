// Package trace follows a run from the request that asks for it through the queue to the backend: it
// reads and writes W3C Trace Context, and records steps where somebody takes them (package otlp).
//
// It promises:
//   - what a client sent that is no trace context is ignored as the recommendation says, never refused;
//   - a context is passed on though nobody takes steps, so that receivers join the client's trace;
//   - no step has more of a request than its route, its target's host and its status.
//
// It links next to nothing: everything that sends or receives a message has it.
package trace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// Context is a position in a trace (W3C Trace Context, Level 1). The zero value is none.
type Context struct {
	TraceID [16]byte
	// SpanID is the caller's span, the parent of what comes.
	SpanID [8]byte
	// Sampled says that the caller may record the trace; it is the only flag that is passed on.
	Sampled bool
	// State is the tracestate list as it is passed on, at most MaxState bytes; mostly empty.
	State string
}

const (
	// MaxState is how much of a tracestate is passed on, in bytes (section 3.3.1.5: at least 512).
	MaxState = 512
	// maxMembers is how many members a tracestate may have (section 3.3.1.1).
	maxMembers = 32
	// longMember is the length from which members are left out first (section 3.3.1.5).
	longMember = 128
	// length is that of a traceparent of version 00.
	length = 55
)

// None reports whether there is no trace.
func (c Context) None() bool { return c.TraceID == [16]byte{} }

// ID is the trace's id as logs show it, empty for none.
func (c Context) ID() string {
	if c.None() {
		return ""
	}
	return hex.EncodeToString(c.TraceID[:])
}

// Traceparent writes the header's value, empty for none.
func (c Context) Traceparent() string {
	if c.None() {
		return ""
	}
	text := make([]byte, 0, length)
	text = append(text, "00-"...)
	text = hex.AppendEncode(text, c.TraceID[:])
	text = append(text, '-')
	text = hex.AppendEncode(text, c.SpanID[:])
	if c.Sampled {
		return string(append(text, "-01"...))
	}
	return string(append(text, "-00"...))
}

// Set writes the headers of a request, an http.Header. One that has either of them, which belong
// together, is left as it is.
func (c Context) Set(h map[string][]string) {
	if c.None() || len(h["Traceparent"]) > 0 || len(h["Tracestate"]) > 0 {
		return
	}
	h["Traceparent"] = []string{c.Traceparent()}
	if c.State != "" {
		h["Tracestate"] = []string{c.State}
	}
}

// New begins a trace.
func New() Context { return Context{TraceID: newTraceID(), SpanID: newSpanID(), Sampled: true} }

// Of is the trace of what is known by an id alone, the run of a message that carries no trace: the same
// for the same id, so that later tries of a run meet in one trace.
func Of(id string) Context {
	sum := sha256.Sum256([]byte(id))
	return Context{TraceID: [16]byte(sum[:16]), SpanID: [8]byte(sum[16:24]), Sampled: true}
}

// Ids need to be different, not secret; zero ones are invalid.
func newTraceID() (id [16]byte) {
	for id == [16]byte{} {
		fill(id[:8])
		fill(id[8:])
	}
	return id
}

func newSpanID() (id [8]byte) {
	for id == [8]byte{} {
		fill(id[:])
	}
	return id
}

func fill(b []byte) {
	n := rand.Uint64()
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
}

// Parse reads traceparent and tracestate. It returns false, and no context, for a traceparent that is
// none (section 3.2.2 and 4.3); a tracestate that is none is dropped alone.
func Parse(traceparent, tracestate string) (Context, bool) {
	p := traceparent
	if len(p) < length || p[2] != '-' || p[35] != '-' || p[52] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	var c Context
	if !decode(version[:], p[:2]) || !decode(c.TraceID[:], p[3:35]) || !decode(c.SpanID[:], p[36:52]) || !decode(flags[:], p[53:55]) {
		return Context{}, false
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(p) != length,
		// A later version may have more, behind a dash.
		len(p) > length && p[length] != '-',
		c.None(), c.SpanID == [8]byte{}:
		return Context{}, false
	}
	c.Sampled = flags[0]&1 == 1
	c.State = state(tracestate)
	return c, true
}

// decode reads hexadecimal digits, lower-case only.
func decode(into []byte, text string) bool {
	if strings.ContainsAny(text, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// FromHeader reads the headers of a request, an http.Header. Two traceparents are none.
func FromHeader(h map[string][]string) (Context, bool) {
	parents := h["Traceparent"]
	if len(parents) != 1 {
		return Context{}, false
	}
	return Parse(strings.Trim(parents[0], " \t"), strings.Join(h["Tracestate"], ","))
}

// state returns a tracestate as it is passed on: empty for one that is none (section 3.3.1), shortened
// by whole members where it is too long.
func state(text string) string {
	if text == "" || len(text) > 64<<10 {
		return ""
	}
	var members []string
	seen := map[string]bool{}
	size := -1
	for member := range strings.SplitSeq(text, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		name, value, found := strings.Cut(member, "=")
		if !found || !validKey(name) || !validValue(value) || seen[name] || len(members) == maxMembers {
			return ""
		}
		seen[name] = true
		members = append(members, member)
		size += len(member) + 1
	}
	for i := len(members) - 1; i >= 0 && size > MaxState; i-- {
		if len(members[i]) > longMember {
			size -= len(members[i]) + 1
			members = append(members[:i], members[i+1:]...)
		}
	}
	for size > MaxState {
		last := len(members) - 1
		size -= len(members[last]) + 1
		members = members[:last]
	}
	return strings.Join(members, ",")
}

// validKey accepts a simple key, or tenant@system.
func validKey(key string) bool {
	tenant, system, multi := strings.Cut(key, "@")
	if !multi {
		return len(key) <= 256 && key != "" && key[0] >= 'a' && key[0] <= 'z' && keyChars(key)
	}
	return tenant != "" && len(tenant) <= 241 && keyChars(tenant) && (tenant[0] >= 'a' && tenant[0] <= 'z' || tenant[0] >= '0' && tenant[0] <= '9') &&
		system != "" && len(system) <= 14 && system[0] >= 'a' && system[0] <= 'z' && keyChars(system)
}

func keyChars(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '*' && c != '/' {
			return false
		}
	}
	return true
}

func validValue(s string) bool {
	if s == "" || len(s) > 256 || s[len(s)-1] == ' ' {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}

// FromXRay reads the header that AWS hands its own trace on in, Root=1-…;Parent=…;Sampled=1 (X-Ray,
// "Tracing header"), so that spans have the ids of X-Ray's. It returns false for one that X-Ray does not
// record, which is a deployment's usual case.
func FromXRay(text string) (Context, bool) {
	var c Context
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			if len(value) != 35 || value[:2] != "1-" || value[10] != '-' || !decode(c.TraceID[:], value[2:10]+value[11:]) {
				return Context{}, false
			}
		case "Parent":
			if len(value) != 16 || !decode(c.SpanID[:], value) {
				return Context{}, false
			}
		case "Sampled":
			c.Sampled = value == "1"
		}
	}
	return c, c.Sampled && !c.None() && c.SpanID != [8]byte{}
}

type contextKey struct{}

// With returns a context at this position of a trace.
func With(ctx context.Context, c Context) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the position of ctx, the zero value for none.
func From(ctx context.Context) Context {
	c, _ := ctx.Value(contextKey{}).(Context)
	return c
}
