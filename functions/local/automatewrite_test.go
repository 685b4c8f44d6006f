package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"longshore/pkg/api/client"
)

// Each of the writers has some entities that nobody else changes.
const writers, entitiesEach = 8, 3

// journal is what clients have done, and what receivers were told.
type journal struct {
	t      *testing.T
	server *phoenix
	n      int
	// well answers, ill fails or hangs.
	well, ill *httptest.Server
	// made yields how many changes are made; one that nobody reads in time is left out.
	made chan int
	// last is signalled for each last change of an entity that a receiver is told of.
	last chan change

	mu      sync.Mutex
	lives   [writers * entitiesEach]life
	started map[string]bool
	// told are the events that receivers were told of, by run.
	told map[string]string
	// unanswered are how many writes had no answer, happened those of them that turned out to be made, lost the
	// starts of runs among them.
	unanswered, happened, lost int
}

// life is what happened to an entity.
type life struct {
	name    string
	changes []change
}

// now is the entity's sequence number, 0 when it is not there.
func (l *life) now() int {
	if len(l.changes) == 0 {
		return 0
	}
	return l.changes[len(l.changes)-1].after
}

// next is a sequence number that it never had.
func (l *life) next() int {
	if len(l.changes) == 0 {
		return 1
	}
	return l.changes[len(l.changes)-1].seq() + 1
}

func newJournal(t *testing.T, p *phoenix, n int) *journal {
	j := &journal{
		t: t, server: p, n: n, made: make(chan int, n+1), last: make(chan change, writers*entitiesEach),
		started: map[string]bool{}, told: map[string]string{},
	}
	for i := range j.lives {
		j.lives[i].name = fmt.Sprintf("thing-%d", i)
	}
	j.well = httptest.NewServer(http.HandlerFunc(j.hear))
	var calls atomic.Int64
	j.ill = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _ = io.Copy(io.Discard, r.Body); calls.Add(1)%2 == 0 {
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(j.well.Close)
	t.Cleanup(j.ill.Close)
	return j
}

// body is what automations tell.
type body struct {
	Event, Entity, Run string
	Before, After      int
	Last               bool
}

func (b body) change() change { return change{b.Entity, b.Before, b.After} }

// hear is the receiver that is well.
func (j *journal) hear(_ http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	var b body
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		j.t.Errorf("%s was told something else: %v", r.URL.Path, err)
	}
	j.mu.Lock()
	known, again := j.told[key]
	j.told[key] = b.Event
	j.mu.Unlock()
	if again && known != b.Event {
		j.t.Errorf("run %s told of %s and of %s", key, known, b.Event)
	}
	if b.Last && !again && r.URL.Path == "/updated" {
		j.last <- b.change()
	}
}

// What automations listen to. A condition sees the sequence number after a change, or of what was deleted.
const (
	third = `(.diff.after.properties.seq // .diff.before.properties.seq) % 3 != 0`
	even  = `.diff.after.properties.seq % 2 == 0`
)

// define saves the blueprint, the action and the automations.
func (j *journal) define(ctx context.Context) {
	j.t.Helper()
	c := j.server.client
	if _, err := c.CreateBlueprint(ctx, json.RawMessage(`{"identifier":"thing","title":"Thing","schema":{"properties":{
		"seq":{"type":"number"},"last":{"type":"boolean"}}}}`)); err != nil {
		j.t.Fatal(err)
	}
	const things = `"event":{"type":"%s","blueprintIdentifier":"thing"}`
	for _, a := range []struct{ name, event, condition, url string }{
		{"updated", fmt.Sprintf(things, "ENTITY_UPDATED"), even, j.well.URL + "/updated"},
		{"every", fmt.Sprintf(things, "ANY_ENTITY_CHANGE"), third, j.well.URL + "/every"},
		// Its address comes out as null.
		{"broken", fmt.Sprintf(things, "ANY_ENTITY_CHANGE"), third, "{{ .event.diff.nothing }}"},
		{"doubtful", fmt.Sprintf(things, "ANY_ENTITY_CHANGE"), `error(\"no\")`, j.well.URL + "/doubtful"},
		{"ill", fmt.Sprintf(things, "ENTITY_DELETED"), "true", j.ill.URL},
		{"ran", `"event":{"type":"RUN_CREATED","actionIdentifier":"act"}`, `.action == \"CREATE\"`, j.well.URL + "/ran"},
	} {
		saved, err := c.CreateAction(ctx, json.RawMessage(fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"automation",%s,
			"condition":{"type":"JQ","expressions":["%s"]}},"invocationMethod":{"type":"WEBHOOK","synchronized":true,"url":%q,"body":{
			"event":"{{ .event.id }}","entity":"{{ .event.context.entityIdentifier }}","run":"{{ .event.diff.after.id }}",
			"before":"{{ .event.diff.before.properties.seq }}","after":"{{ .event.diff.after.properties.seq }}",
			"last":"{{ .event.diff.after.properties.last }}"}}}`, a.name, a.event, a.condition, a.url)))
		if err != nil || len(saved.Warnings) > 0 {
			j.t.Fatalf("save %s: %v %+v", a.name, err, saved)
		}
	}
	if _, err := c.CreateAction(ctx, json.RawMessage(fmt.Sprintf(`{"identifier":"act","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"WEBHOOK","synchronized":true,"url":"%s/act","body":{}}}`, j.well.URL))); err != nil {
		j.t.Fatal(err)
	}
}

// write makes all changes; the channel is closed when they are made.
func (j *journal) write(ctx context.Context, seed uint64) chan struct{} {
	var all sync.WaitGroup
	var next, made atomic.Int64
	for w := range writers {
		random := rand.New(rand.NewPCG(seed, uint64(w)+1))
		own := j.lives[w*entitiesEach : (w+1)*entitiesEach]
		all.Go(func() {
			for next.Add(1) <= int64(j.n) && ctx.Err() == nil {
				l := &own[random.IntN(len(own))]
				switch draw := random.IntN(100); {
				case draw < 10:
					j.start(ctx)
				case draw < 25 && l.now() > 0:
					j.change(ctx, l, 0, false)
				default:
					j.change(ctx, l, l.next(), false)
					if draw >= 95 {
						// Nothing of it is new.
						if err := j.put(ctx, l.name, l.now(), false); err != nil && !unanswered(err) {
							j.t.Errorf("write %s again: %v", l.name, err)
						}
					}
				}
				j.made <- int(made.Add(1))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// start starts a run. Whether one without an answer was started will be seen.
func (j *journal) start(ctx context.Context) {
	var id string
	err := j.server.once(ctx, func(ctx context.Context, c *client.Client) error {
		r, _, err := c.StartRun(ctx, "act", client.Start{})
		if err == nil {
			id = r.ID
		}
		return err
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		j.started[id] = true
	case unanswered(err):
		j.unanswered++
		j.lost++
	default:
		j.t.Errorf("start a run: %v", err)
	}
}

// change gives an entity a sequence number, 0 deletes it, and notes that. Where there is no answer the entity tells
// whether it was changed: nobody else writes it, and the server that was asked is gone.
func (j *journal) change(ctx context.Context, l *life, to int, last bool) {
	c := change{l.name, l.now(), to}
	for ctx.Err() == nil {
		var err error
		if to > 0 {
			err = j.put(ctx, l.name, to, last)
		} else {
			err = j.server.once(ctx, func(ctx context.Context, s *client.Client) error { return s.DeleteEntity(ctx, "thing", l.name) })
		}
		made := err == nil
		if !made && !unanswered(err) {
			j.t.Errorf("change %s: %v", c, err)
			return
		}
		if !made {
			seen := j.seq(ctx, l.name)
			made = seen == to
			if !made && seen != c.before && ctx.Err() == nil {
				j.t.Errorf("%s, without an answer, made it %d", c, seen)
			}
			j.mu.Lock()
			j.unanswered++
			if made {
				j.happened++
			}
			j.mu.Unlock()
		}
		if made {
			l.changes = append(l.changes, c)
			return
		}
	}
}

func (j *journal) put(ctx context.Context, name string, seq int, last bool) error {
	text := fmt.Sprintf(`{"identifier":%q,"properties":{"seq":%d,"last":%t}}`, name, seq, last)
	return j.server.once(ctx, func(ctx context.Context, c *client.Client) error {
		_, err := c.PutEntity(ctx, "thing", json.RawMessage(text))
		return err
	})
}

// seq reads an entity's sequence number, 0 when it is not there.
func (j *journal) seq(ctx context.Context, name string) (seq int) {
	_, err := j.server.ask(ctx, func(ctx context.Context, c *client.Client) error {
		text, err := c.Entity(ctx, "thing", name)
		if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			seq = 0
			return nil
		}
		var e struct{ Properties struct{ Seq int } }
		if err == nil {
			err = json.Unmarshal(text, &e)
			seq = e.Properties.Seq
		}
		return err
	})
	if err != nil {
		j.t.Errorf("read %s: %v", name, err)
	}
	return seq
}

// close gives each entity a last change that every automation of updates listens to: once that is told, all before
// it is handled.
func (j *journal) close(ctx context.Context) {
	var all sync.WaitGroup
	for i := range j.lives {
		l := &j.lives[i]
		all.Go(func() {
			if l.now() == 0 {
				j.change(ctx, l, l.next(), false)
			}
			to := l.next()
			for to%3 == 0 || to%2 != 0 {
				to++
			}
			j.change(ctx, l, to, true)
		})
	}
	all.Wait()
}

// drained waits until each last change is told.
func (j *journal) drained(ctx context.Context) {
	j.t.Helper()
	waiting := map[change]bool{}
	for i := range j.lives {
		waiting[j.lives[i].changes[len(j.lives[i].changes)-1]] = true
	}
	for len(waiting) > 0 {
		select {
		case c := <-j.last:
			delete(waiting, c)
		case <-ctx.Done():
			j.t.Fatalf("%d of %d last changes are not told, among them %v", len(waiting), len(j.lives), waiting)
		}
	}
}
