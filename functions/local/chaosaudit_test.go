package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"longshore/pkg/api/client"
)

func isWord(err error, word string) bool {
	var refused *client.Error
	return errors.As(err, &refused) && refused.Word == word
}

// ended waits until every run has ended.
func (l *ledger) ended(patience time.Duration) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	active := true
	for {
		page, err := l.server.client.Runs(ctx, client.Filter{Active: &active, Limit: 1})
		if ctx.Err() != nil {
			l.t.Errorf("there are runs that have not ended after %s", patience)
			return
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if len(page.Runs) == 0 {
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// sums are what the audit adds up.
type sums struct {
	lost, twice, undelivered, unended, otherKeys, again, unwritten int
	deliveries, duplicates, attempts, interrupted                  int
	success, failure, unexplained, seen                            int
}

// audit compares the ledger with what the server has, and prints it.
func (l *ledger) audit() {
	l.t.Helper()
	began := time.Now()
	runs := map[string]*client.Run{}
	for from := ""; ; {
		page, err := l.server.client.Runs(l.t.Context(), client.Filter{Limit: 1000, From: from})
		if err != nil {
			l.t.Fatal(err)
		}
		for _, r := range page.Runs {
			r.Raw = nil
			runs[r.ID] = r
		}
		if page.Next == nil {
			break
		}
		from = *page.Next
	}
	var s sums
	var all sync.WaitGroup
	next := make(chan int)
	for range auditors {
		all.Go(func() {
			for i := range next {
				id := l.lines[i].run
				attempts, err := l.server.client.Attempts(l.t.Context(), id)
				if err != nil {
					l.t.Errorf("attempts of run %d, %s: %v", i, id, err)
				}
				l.mu.Lock()
				s.add(&l.lines[i], runs[id], attempts)
				l.mu.Unlock()
			}
		})
	}
	known := map[string]bool{}
	for i := range l.lines {
		known[l.lines[i].run] = true
		next <- i
	}
	close(next)
	all.Wait()
	for id := range runs {
		if !known[id] {
			s.twice++
		}
	}
	for _, row := range []struct {
		what  string
		n     int
		never bool
	}{
		{"runs accepted", l.accepted, false},
		{"requests without an answer, or put off, and made again", l.unanswered, false},
		{"lost", s.lost, true},
		{"runs that no client was told of", s.twice + len(l.lines) - len(known), true},
		{"never delivered", s.undelivered, true},
		{"without a terminal state", s.unended, true},
		{"ended SUCCESS", s.success, false},
		{"ended FAILURE: refused, or all attempts used up", s.failure, false},
		{"ended otherwise than receivers and attempts have it", s.unexplained, true},
		{"deliveries received", s.deliveries, false},
		{"of these again after a success that a kill left unrecorded", s.duplicates, false},
		{"of these again after the success was recorded", s.again, true},
		{"successes seen recorded while it ran", s.seen, false},
		{"runs whose deliveries differ in Idempotency-Key", s.otherKeys, true},
		{"deliveries that no run had", l.foreign, true},
		{"attempts recorded", s.attempts, false},
		{"of these interrupted", s.interrupted, false},
		{"runs with fewer attempts than deliveries", s.unwritten, true},
	} {
		l.t.Logf("%-58s %10d", row.what, row.n)
		if row.never && row.n > 0 {
			l.t.Errorf("%s: %d, want none", row.what, row.n)
		}
	}
	l.t.Logf("%-58s %10.1f", "seconds to read it all", time.Since(began).Seconds())
	if s.interrupted == 0 || l.unanswered == 0 {
		l.t.Error("no attempt was interrupted or no answer was lost: the kills show nothing")
	}
}

// add adds one run as the ledger and the server have it; r is nil if the server has none.
func (s *sums) add(l *line, r *client.Run, attempts []client.Attempt) {
	if r == nil {
		s.lost++
		return
	}
	s.deliveries += l.deliveries
	s.attempts += len(attempts)
	s.duplicates += max(0, l.successes-1)
	s.seen += count(l.recorded)
	s.otherKeys += count(l.otherKeys || l.key != "" && l.key != l.run)
	s.undelivered += count(l.deliveries == 0)
	s.unwritten += count(len(attempts) < l.deliveries)
	again := l.again
	success := false
	for _, a := range attempts {
		s.interrupted += count(a.Interrupted)
		if success {
			// By the server's own account.
			again = max(again, 1)
		}
		success = success || succeeded(a)
	}
	s.again += again
	switch r.Status {
	case "SUCCESS":
		s.success++
		// A report may end a run whose outcome a kill left unrecorded.
		s.unexplained += count(l.successes == 0 || l.refused)
	case "FAILURE":
		s.failure++
		s.unexplained += count(!l.refused && len(attempts) < 6)
	default:
		s.unended++
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
