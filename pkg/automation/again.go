package automation

import (
	"slices"
	"sync"
)

// maxAgain is how many events are remembered that are to be told again; beyond it all are forgotten.
const maxAgain = 1000

// again are the automations that an event which is to be told again needs not ask once more: many that are
// slow take longer together than a handler has, and would never come to an end. A process that does not
// know asks all of them, and makes no second run.
type again struct {
	mu sync.Mutex
	// done are internal ids of automations by the event's id.
	done map[string][]string
}

// of returns those that an event is done with.
func (a *again) of(event string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.done[event])
}

// keep remembers those that an event is done with, if it is to be told again.
func (a *again) keep(event string, done []string, again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !again {
		delete(a.done, event)
		return
	}
	if a.done == nil || len(a.done) >= maxAgain {
		a.done = map[string][]string{}
	}
	a.done[event] = done
}
