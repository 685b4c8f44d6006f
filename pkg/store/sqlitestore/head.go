package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// headVersion is the version of the encoding that this code writes. A member that is added goes to
// the end, where older texts end, and needs no new version.
const headVersion = 1

// encodeHead writes a head but for its id. Heads are read and written at every move by the one
// goroutine that writes; JSON would be a fifth of its work.
func encodeHead(r *run.Run) []byte {
	c := coder{text: append(make([]byte, 0, 512), headVersion)}
	c.run(r)
	return c.text
}

func decodeHead(id string, text []byte) (*run.Run, error) {
	if len(text) == 0 || text[0] != headVersion {
		return nil, fmt.Errorf("decode run %s: it was not written by this version of the program", id)
	}
	c := coder{reading: true, text: text[1:]}
	r := &run.Run{ID: id}
	c.run(r)
	if c.damaged {
		return nil, fmt.Errorf("decode run %s: the stored text is damaged", id)
	}
	return r, nil
}

func encodeAttempts(attempts []run.Attempt) []byte {
	c := coder{text: []byte{headVersion}}
	c.attempts(&attempts)
	return c.text
}

func decodeAttempts(text []byte) (attempts []run.Attempt, err error) {
	if len(text) == 0 || text[0] != headVersion {
		return nil, errors.New("they were not written by this version of the program")
	}
	c := coder{reading: true, text: text[1:]}
	c.attempts(&attempts)
	if c.damaged {
		return nil, errors.New("the stored text is damaged")
	}
	return attempts, nil
}

// coder goes over members in one order, to append them to its text or to take them from it.
type coder struct {
	reading bool
	text    []byte
	// damaged says that a text ended within a member. One that ends before a member leaves it zero.
	damaged bool
}

func (c *coder) run(r *run.Run) {
	number(c, &r.Rev)
	number(c, &r.Generation)
	text(c, &r.Status)
	text(c, &r.StatusLabel)
	text(c, &r.Link)
	text(c, &r.Summary)
	text(c, &r.ExternalRunID)
	text(c, &r.Action.Identifier)
	text(c, &r.Action.Title)
	text(c, &r.Action.Icon)
	text(c, &r.Action.ID)
	text(c, &r.Backend)
	text(c, &r.Blueprint)
	text(c, &r.Entity)
	text(c, &r.Source)
	text(c, &r.RequiredApproval)
	text(c, &r.UserID)
	text(c, &r.UserEmail)
	text(c, &r.CreatedBy)
	text(c, &r.UpdatedBy)
	c.time(&r.CreatedAt)
	c.time(&r.UpdatedAt)
	c.time(&r.StartedAt)
	c.time(&r.EndedAt)
	c.flag(&r.HasResponse)
	text(c, &r.Delivery.State)
	text(c, &r.Delivery.Owner)
	c.time(&r.Delivery.Lease)
	c.time(&r.Delivery.DeliveredAt)
	number(c, &r.Delivery.Sends)
	c.time(&r.Delivery.NextTry)
	text(c, &r.Delivery.Waiting)
	c.attempts(&r.Attempts)
	c.time(&r.Due)
	c.decisions(&r.Decisions)
	text(c, &r.NoticeOf)
	c.flag(&r.Private)
	text(c, &r.ImpersonatedBy)
	text(c, &r.Pending.Installation)
	text(c, &r.Pending.Method)
	c.time(&r.Pending.ClaimedUntil)
	c.flag(&r.Pending.Acknowledged)
	c.author(&r.Last)
	c.cause(&r.Cause)
	text(c, &r.Delivery.Host)
	c.time(&r.Delivery.UncertainSince)
	c.time(&r.Delivery.UncertainUntil)
}

func (c *coder) author(a *audit.Author) {
	text(c, &a.ID)
	text(c, &a.Email)
	text(c, &a.Origin)
	text(c, &a.RunID)
	c.cause(&a.Cause)
	c.time(&a.At)
}

func (c *coder) cause(a *audit.Cause) {
	text(c, &a.EventID)
	text(c, &a.RunID)
	number(c, &a.Depth)
}

// count writes or reads how many members follow; false when they cannot.
func count[T any](c *coder, list *[]T) bool {
	n := len(*list)
	number(c, &n)
	if n < 0 || c.reading && n > len(c.text) {
		c.damaged = true
		return false
	}
	if c.reading && n > 0 {
		*list = make([]T, n)
	}
	return true
}

func (c *coder) decisions(decisions *[]run.Decision) {
	if !count(c, decisions) {
		return
	}
	for i := range *decisions {
		d := &(*decisions)[i]
		text(c, &d.UserID)
		text(c, &d.State)
		text(c, &d.Description)
		c.time(&d.At)
	}
}

func (c *coder) attempts(attempts *[]run.Attempt) {
	if !count(c, attempts) {
		return
	}
	for i := range *attempts {
		a := &(*attempts)[i]
		number(c, &a.Generation)
		number(c, &a.Number)
		c.time(&a.StartedAt)
		number(c, &a.DurationMs)
		number(c, &a.StatusCode)
		text(c, &a.Error)
		c.flag(&a.Open)
		c.flags(&a.Interrupted, &a.Unknown)
		var next time.Time
		if a.NextAttemptAt != nil {
			next = *a.NextAttemptAt
		}
		if c.time(&next); c.reading && !next.IsZero() {
			a.NextAttemptAt = &next
		}
	}
}

// number is a signed variable-length integer.
func number[T int | int64](c *coder, n *T) {
	if !c.reading {
		c.text = binary.AppendVarint(c.text, int64(*n))
		return
	}
	if len(c.text) == 0 {
		return
	}
	value, size := binary.Varint(c.text)
	if size <= 0 {
		c.damaged, c.text = true, nil
		return
	}
	*n, c.text = T(value), c.text[size:]
}

// text is its length and its bytes; an empty one is read as nil where that is possible.
func text[T ~string | ~[]byte](c *coder, s *T) {
	n := len(*s)
	number(c, &n)
	if !c.reading {
		c.text = append(c.text, *s...)
		return
	}
	if n < 0 || n > len(c.text) {
		c.damaged, c.text = true, nil
		return
	}
	if n > 0 {
		*s = T(c.text[:n:n])
	}
	c.text = c.text[n:]
}

// time is the number of nanoseconds since 1970, 0 for the zero time.
func (c *coder) time(t *time.Time) {
	n := nanos(*t)
	number(c, &n)
	if c.reading {
		*t = moment(n)
	}
}

func (c *coder) flag(b *bool) {
	var n int
	if *b {
		n = 1
	}
	number(c, &n)
	*b = n == 1
}

// flags are two in one number, of which older texts have the first.
func (c *coder) flags(first, second *bool) {
	var n int
	if *first {
		n |= 1
	}
	if *second {
		n |= 2
	}
	number(c, &n)
	*first, *second = n&1 != 0, n&2 != 0
}

// encodeInvocation is json.Marshal that leaves the payload's text as it is, but for white space.
func encodeInvocation(i *invocation.Invocation) ([]byte, error) {
	if i == nil {
		return nil, nil
	}
	var out bytes.Buffer
	out.Grow(256 + len(i.Payload))
	if i.Webhook != nil && i.Webhook.Body != nil {
		// Each quote in it gets a backslash.
		out.Grow(256 + len(*i.Webhook.Body) + len(*i.Webhook.Body)/8)
	}
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(i); err != nil {
		return nil, fmt.Errorf("encode invocation: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// nanos is a time as it is stored.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// moment is the time that nanos stored.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// dueMillis is a time in the due column, rounded up so that nothing is due too early; nil for none.
func dueMillis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}
