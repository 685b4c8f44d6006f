package dispatch

import (
	"container/list"
	"context"
	"sync"
	"time"
)

const (
	// fast is how long a message waits for a slot of its host, with a worker in hand.
	fast = 250 * time.Millisecond
	// leastPutOff and mostPutOff are how long a message without a slot is put off.
	leastPutOff = time.Second
	mostPutOff  = 30 * time.Second
	// early is how much too early a message that was put off may come.
	early = 500 * time.Millisecond
	// leastOff is how many runs are remembered at least before those are looked for that need not be.
	leastOff = 1000
)

// slots bound how many calls go to one host at once, so that a slow host does not take every worker.
// A message waits a moment for a slot where the host answers fast; else it is put off, for about as long
// as the host needs for those before it.
type slots struct {
	limit int
	now   func() time.Time

	mu    sync.Mutex
	lanes map[string]*lane
	// off are the runs whose message was put off, and until when; purge is at how many the old ones go.
	off   map[string]time.Time
	purge int
}

// lane is the calls to one host.
type lane struct {
	host string
	// began are the calls under way; waiting are channels, in order, for those that wait for one to end.
	began   map[*slot]time.Time
	waiting list.List
	// pace is about how long a call takes; next is when the next message that is put off comes again.
	pace time.Duration
	next time.Time
}

// slot is one call under way.
type slot struct{ lane *lane }

// newSlots returns slots for so many calls to each host at once; 0 bounds nothing.
func newSlots(limit int, now func() time.Time) *slots {
	return &slots{limit: limit, now: now, lanes: map[string]*lane{}, off: map[string]time.Time{}, purge: leastOff}
}

// take returns a function that gives the slot back; nil when there is none, and after how long the
// message may come again: 0 when another message of the same run does so already.
func (s *slots) take(ctx context.Context, host, id string) (free func(), after time.Duration) {
	if host == "" || s.limit <= 0 {
		return func() {}, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[host]
	if l == nil {
		l = &lane{host: host, began: map[*slot]time.Time{}}
		s.lanes[host] = l
	}
	got := (*slot)(nil)
	switch {
	case len(l.began) < s.limit:
		got = s.begin(l)
	case l.expected(s.now(), s.limit) <= fast:
		got = s.wait(ctx, l)
	}
	if got == nil {
		return nil, s.putOff(l, id)
	}
	delete(s.off, id)
	return func() { s.free(got) }, 0
}

// wait waits for a slot; nil when none becomes free. The lock is held, but for the time of the wait.
func (s *slots) wait(ctx context.Context, l *lane) *slot {
	turn := make(chan *slot, 1)
	place := l.waiting.PushBack(turn)
	s.mu.Unlock()
	timer := time.NewTimer(fast)
	select {
	case got := <-turn:
		timer.Stop()
		s.mu.Lock()
		return got
	case <-timer.C:
	case <-ctx.Done():
		timer.Stop()
	}
	s.mu.Lock()
	select {
	case got := <-turn:
		return got
	default:
	}
	l.waiting.Remove(place)
	return nil
}

// begin notes a call. The lock is held.
func (s *slots) begin(l *lane) *slot {
	c := &slot{l}
	l.began[c] = s.now()
	return c
}

// free gives a slot to the first that waits, or back.
func (s *slots) free(c *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := c.lane, s.now()
	took := max(now.Sub(l.began[c]), 0)
	delete(l.began, c)
	if l.pace == 0 {
		l.pace = took
	}
	l.pace += (took - l.pace) / 8
	if first := l.waiting.Front(); first != nil {
		l.waiting.Remove(first).(chan *slot) <- s.begin(l)
		return
	}
	if len(l.began) == 0 && !l.next.After(now) {
		delete(s.lanes, l.host)
	}
}

// expected is about how long it takes until one more message has a slot.
func (l *lane) expected(now time.Time, limit int) time.Duration {
	if oldest := l.oldest(now); oldest > fast {
		return oldest
	}
	return l.pace * time.Duration(l.waiting.Len()+1) / time.Duration(limit)
}

// oldest is the age of the oldest call under way.
func (l *lane) oldest(now time.Time) (age time.Duration) {
	for _, began := range l.began {
		age = max(age, now.Sub(began))
	}
	return age
}

// putOff returns after how long a message without a slot comes again. The lock is held.
func (s *slots) putOff(l *lane, id string) time.Duration {
	now := s.now()
	if s.off[id].After(now) {
		return 0
	}
	if l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(max(l.pace, l.oldest(now)) / time.Duration(s.limit))
	if most := now.Add(mostPutOff); l.next.After(most) {
		l.next = most
	}
	after := max(l.next.Sub(now), leastPutOff)
	if len(s.off) >= s.purge {
		for id, until := range s.off {
			if !until.After(now) {
				delete(s.off, id)
			}
		}
		s.purge = max(leastOff, 2*len(s.off))
	}
	s.off[id] = now.Add(after - early)
	return after
}
