package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"longshore/pkg/api/client"
)

// fired is a run and what its automation told of.
type fired struct {
	*client.Run
	body body
}

// listeners are the changes of entities that each automation listens to; broken is told of the same as every.
func listeners() map[string]func(change) bool {
	return map[string]func(change) bool{
		"updated": func(c change) bool { return c.before > 0 && c.after > 0 && c.after%2 == 0 },
		"every":   func(c change) bool { return c.seq()%3 != 0 },
		"ill":     func(c change) bool { return c.after == 0 },
	}
}

// expected are how many runs there are to be of each automation of entities.
func (j *journal) expected() map[string]int {
	n := map[string]int{}
	for name, listens := range listeners() {
		for i := range j.lives {
			for _, c := range j.lives[i].changes {
				if listens(c) {
					n[name]++
				}
			}
		}
	}
	n["broken"] = n["every"]
	return n
}

// putOff is how long an automation may be behind others of the same change: a dependency was busy, and so may
// the machine be.
const putOff = 2 * time.Minute

// read reads all runs, by what they are of, again and again until there are as many as there are to be.
func (j *journal) read(ctx context.Context) map[string][]*fired {
	j.t.Helper()
	want := j.expected()
	for until := time.Now().Add(putOff); ; {
		all := map[string][]*fired{}
		for from := ""; ; {
			page, err := j.server.client.Runs(ctx, client.Filter{Limit: 1000, From: from})
			if err != nil {
				j.t.Fatal(err)
			}
			for _, r := range page.Runs {
				f := &fired{Run: r}
				var view struct {
					Payload struct{ Body json.RawMessage }
				}
				err := json.Unmarshal(r.Raw, &view)
				if text := view.Payload.Body; err == nil && len(text) > 0 {
					err = json.Unmarshal(text, &f.body)
				}
				if err != nil {
					j.t.Fatalf("read run %s: %v\n%s", r.ID, err, r.Raw)
				}
				r.Raw = nil
				all[r.Action.Identifier] = append(all[r.Action.Identifier], f)
			}
			if page.Next == nil {
				break
			}
			from = *page.Next
		}
		enough := len(all["ran"]) >= len(all["act"])
		for name, n := range want {
			enough = enough && len(all[name]) >= n
		}
		if enough || time.Now().After(until) {
			return all
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// settled waits until every run has ended whose receiver is well.
func (j *journal) settled(ctx context.Context) {
	j.t.Helper()
	active := true
	for _, name := range []string{"act", "ran", "every", "updated", "broken"} {
		for {
			page, err := j.server.client.Runs(ctx, client.Filter{Action: name, Active: &active, Limit: 1})
			if err != nil {
				j.t.Errorf("there are runs of %s that do not end: %v", name, err)
				return
			}
			if len(page.Runs) == 0 {
				break
			}
			pause(ctx, 50*time.Millisecond)
		}
	}
}

// audit compares what was changed with the runs that there are.
func (j *journal) audit(all map[string][]*fired) {
	j.t.Helper()
	changes := 0
	// of are the runs of a change, whatever their automation, and events what each event is of.
	of, events := map[change][]*fired{}, map[string]change{}
	for name, listens := range listeners() {
		runs := map[change][]*fired{}
		for _, f := range all[name] {
			c := f.body.change()
			runs[c] = append(runs[c], f)
			of[c] = append(of[c], f)
			if known, found := events[f.body.Event]; f.body.Event == "" || found && known != c {
				j.t.Errorf("event %q is of %v and of %v", f.body.Event, known, c)
			}
			events[f.body.Event] = c
		}
		for i := range j.lives {
			for _, c := range j.lives[i].changes {
				if n := len(runs[c]); listens(c) && n != 1 || !listens(c) && n != 0 {
					j.t.Errorf("%s has %d runs of %s", c, n, name)
				}
				delete(runs, c)
			}
		}
		for c := range runs {
			j.t.Errorf("%s has run for %v, which never happened", name, c)
		}
	}
	for i := range j.lives {
		changes += len(j.lives[i].changes)
		j.ordered(j.lives[i].changes, of)
	}
	j.ofRuns(all)
	if n := len(all["doubtful"]); n > 0 {
		j.t.Errorf("an automation whose condition fails has %d runs", n)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range []string{"updated", "every", "ran"} {
		for _, f := range all[name] {
			if f.Status != "SUCCESS" && f.Status != "IN_PROGRESS" || f.Status == "SUCCESS" && j.told[f.ID] != f.body.Event {
				j.t.Errorf("run %s of %s is %s and told of %q, want %q", f.ID, name, f.Status, j.told[f.ID], f.body.Event)
			}
		}
	}
	if j.unanswered == 0 {
		j.t.Error("no answer was lost: the kills show nothing")
	}
	for _, row := range []struct {
		what string
		n    int
	}{
		{"changes of entities", changes},
		{"runs of the action that an automation listens to", len(all["act"])},
		{"writes without an answer", j.unanswered},
		{"of these made", j.happened + len(all["act"]) - len(j.started)},
		{"runs of updated", len(all["updated"])},
		{"runs of every", len(all["every"])},
		{"runs of ran", len(all["ran"])},
		{"runs of the one that always fails", len(all["broken"])},
		{"runs of the one whose receiver fails or hangs", len(all["ill"])},
	} {
		j.t.Logf("%-50s %8d", row.what, row.n)
	}
}

// ordered checks that whatever an entity's change starts begins before what its next one does.
func (j *journal) ordered(changes []change, of map[change][]*fired) {
	j.t.Helper()
	var last *fired
	for _, c := range changes {
		begun := slices.SortedFunc(slices.Values(of[c]), func(a, b *fired) int { return a.CreatedAt.Compare(b.CreatedAt) })
		if len(begun) == 0 {
			continue
		}
		if last != nil && (begun[0].CreatedAt.Before(last.CreatedAt) || eventTime(begun[0]) < eventTime(last)) {
			j.t.Errorf("run %s of %v began at %s, run %s of %v at %s", last.ID, last.body.change(), last.CreatedAt.Format(time.RFC3339Nano),
				begun[0].ID, c, begun[0].CreatedAt.Format(time.RFC3339Nano))
		}
		last = begun[len(begun)-1]
	}
}

// eventTime is the part of a run's id that ascends with the time of its event.
func eventTime(f *fired) string { return f.ID[:len("r_")+8] }

// ofRuns checks that whatever was started is there, and what listens to it once.
func (j *journal) ofRuns(all map[string][]*fired) {
	j.t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	times, missing := map[string]int{}, len(j.started)
	for _, f := range all["ran"] {
		times[f.body.Run]++
	}
	for _, f := range all["act"] {
		if times[f.ID] != 1 {
			j.t.Errorf("run %s has set off %d runs of ran", f.ID, times[f.ID])
		}
		delete(times, f.ID)
		if j.started[f.ID] {
			missing--
		}
	}
	if missing > 0 || len(all["act"])-len(j.started) > j.lost {
		j.t.Errorf("of %d runs %d are missing, and there are %d; %d had no answer", len(j.started), missing, len(all["act"]), j.lost)
	}
	for id, n := range times {
		j.t.Errorf("%d runs of ran are of %q, which never was started", n, id)
	}
}

// failures checks the automation that always fails: one run for each event of every, which listens to the same.
// Of which event one is shows the time in its id alone.
func (j *journal) failures(ctx context.Context, all map[string][]*fired) {
	j.t.Helper()
	count := map[string]int{}
	for _, f := range all["every"] {
		count[eventTime(f)]++
	}
	for _, f := range all["broken"] {
		count[eventTime(f)]--
		if f.Status != "FAILURE" || *cmp.Or(f.StatusLabel, new(string)) != "not started" {
			j.t.Errorf("run %s of broken is %s", f.ID, f.Status)
		}
	}
	for at, n := range count {
		if n != 0 {
			j.t.Errorf("at %s every has %d more runs than broken", at, n)
		}
	}
	if len(all["broken"]) == 0 {
		j.t.Fatal("the automation that always fails has no run")
	}
	var lines []string
	if _, err := j.server.client.Logs(ctx, all["broken"][0].ID, "", func(l client.Log) { lines = append(lines, l.Message) }); err != nil {
		j.t.Fatal(err)
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "not started: ") {
		j.t.Errorf("run %s of broken says %q", all["broken"][0].ID, lines)
	}
}
