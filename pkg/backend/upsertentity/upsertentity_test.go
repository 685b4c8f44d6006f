package upsertentity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/backend"
	"longshore/pkg/backend/upsertentity"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// A run creates an entity, another one changes it: what the mapping does not have stays. Both bear the
// run and its user.
func TestRunWritesAnEntity(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		first := w.start(t, upsert(`{"identifier":"a/ü b"}`))
		w.deliver(t, w.dispatcher(w.backend), first)
		if got := w.read(t, first); got.Status != run.Failure {
			t.Fatalf("an identifier with a space: run is %s", got.Status)
		}

		first = w.start(t, upsert(`{"identifier":"a/ü","title":"A","icon":"Go","team":"ops","properties":{"tier":"gold","n":1.50},"relations":{"system":"shop"}}`))
		w.deliver(t, w.dispatcher(w.backend), first)
		w.pass(time.Second)
		second := w.start(t, upsert(`{"identifier":"a/ü","properties":{"n":2}}`))
		w.deliver(t, w.dispatcher(w.backend), second)
		for _, r := range []*run.Run{first, second} {
			got := w.read(t, r)
			want := `"https://longshore.example/port/v1/blueprints/org%2Fservice/entities/a%2F%C3%BC"`
			if got.Status != run.Success || string(got.Link) != want || got.StatusLabel != "" || len(w.lines(t, r)) != 0 {
				t.Errorf("run is %s %q, link %s, log %q; want SUCCESS, %s", got.Status, got.StatusLabel, got.Link, w.lines(t, r), want)
			}
			if len(got.Attempts) != 1 || got.Attempts[0].Error != "" || got.Delivery.State != run.Delivered || !got.Due.IsZero() {
				t.Errorf("attempts %+v, delivery %+v, due %s", got.Attempts, got.Delivery, got.Due)
			}
		}
		content, e := w.content(t, "a/ü")
		if want := `{"title":"A","icon":"Go","team":["ops"],"properties":{"tier":"gold","n":2},"relations":{"system":"shop"}}`; content != want {
			t.Errorf("entity is %s, want %s", content, want)
		}
		if e.CreatedBy != "user_ada" || e.UpdatedBy != "user_ada" || e.CreatedAt.Equal(e.UpdatedAt) || !e.UpdatedAt.Equal(w.clock()) {
			t.Errorf("created by %s at %s, updated by %s at %s", e.CreatedBy, e.CreatedAt, e.UpdatedBy, e.UpdatedAt)
		}
		for r, action := range map[*run.Run]string{first: audit.Create, second: audit.Update} {
			page, err := w.log.List(t.Context(), audit.Filter{RunID: r.ID, Limit: 10})
			if err != nil || len(page.Entries) != 1 {
				t.Fatalf("entries of the run: %+v, %v; want one", page, err)
			}
			got := page.Entries[0]
			want := audit.Author{ID: "user_ada", Email: "ada@example.com", Origin: "UI", RunID: r.ID, At: got.By.At}
			if got.Action != action || got.Resource != audit.Entity || got.Identifier != "a/ü" || got.Blueprint != "org/service" || got.By != want {
				t.Errorf("entry is %+v, want %s by %+v", got, action, want)
			}
		}
	})
}

// Without an identifier the entity gets one, which a second attempt of the run has again, and no other run.
func TestGeneratedIdentifier(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		seen := map[string]bool{}
		for _, mapping := range []string{`{"properties":{"tier":"gold"}}`, `{"identifier":null,"properties":{"tier":"gold"}}`} {
			r := w.start(t, upsert(mapping))
			c := backend.Call{RunID: r.ID, Invocation: upsert(mapping), By: r.Author(w.clock())}
			var links []string
			for range 2 {
				o := w.backend.Call(t.Context(), c)
				if o.Verdict != run.Succeed {
					t.Fatalf("got %+v", o)
				}
				links = append(links, string(o.Link))
			}
			if links[0] != links[1] {
				t.Errorf("the attempts wrote %q", links)
			}
			seen[links[0]] = true
		}
		identifiers := w.all(t)
		if len(identifiers) != 2 || len(seen) != 2 {
			t.Errorf("%d entities, links %v; want two", len(identifiers), seen)
		}
		for _, id := range identifiers {
			if len(id) != 26 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
				t.Errorf("identifier %q, want 26 letters and digits", id)
			}
		}
	})
}

// What the catalog refuses ends the run, with all that is wrong in the log and nothing written.
func TestRefusals(t *testing.T) {
	t.Parallel()
	type method struct{ payload string }
	on := func(blueprint, mapping string) method {
		return method{`{"type":"UPSERT_ENTITY","blueprintIdentifier":` + blueprint + `,"mapping":` + mapping + `}`}
	}
	const service = `"org/service"`
	for name, c := range map[string]struct {
		method
		want []string
	}{
		"several faults": {on(service, `{"identifier":"a b","title":7,"properties":{"tier":"tin","n":"1","no":1}}`), []string{
			"with 5 faults", "identifier: ", "title: ", "properties.tier: ", "properties.n: ", "properties.no: the blueprint has no such property",
		}},
		"one fault":        {on(service, `{"identifier":"a","properties":{"n":1}}`), []string{"the catalog refused the entity: properties.tier: is required"}},
		"unknown relation": {on(service, `{"properties":{"tier":"gold"},"relations":{"no":"shop"}}`), []string{"relations.no: the blueprint has no such relation"}},
		"unknown target":   {on(service, `{"properties":{"tier":"gold"},"relations":{"system":"nowhere"}}`), []string{`relations.system: the blueprint system has no entity "nowhere"`}},
		"search of none": {on(service, `{"identifier":{"combinator":"and","rules":[{"property":"$title","operator":"=","value":"x"}]},"properties":{"tier":"gold"}}`),
			[]string{"identifier: the search must yield exactly one entity, it yields 0"}},
		"unknown blueprint":     {on(`"nothing"`, `{}`), []string{`there is no blueprint "nothing"`}},
		"blueprint is null":     {on(`null`, `{}`), []string{"blueprintIdentifier must be the identifier of a blueprint"}},
		"blueprint is a number": {on(`7`, `{}`), []string{"blueprintIdentifier must be"}},
		"mapping is null":       {on(service, `null`), []string{"mapping must be an object"}},
		"mapping is a list":     {on(service, `[]`), []string{"mapping must be an object"}},
		"no mapping":            {method{`{"type":"UPSERT_ENTITY","blueprintIdentifier":"org/service"}`}, []string{"mapping must be an object"}},
		"no object":             {method{`"x"`}, []string{"the invocation cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onStores(t, func(t *testing.T, w *world) {
				i := upsert(`{}`)
				i.Payload = json.RawMessage(c.payload)
				r := w.start(t, i)
				if w.deliver(t, w.dispatcher(w.backend), r) {
					t.Fatal("the message comes again")
				}
				got, lines := w.read(t, r), w.lines(t, r)
				if got.Status != run.Failure || got.StatusLabel != "delivery failed" || got.Link != nil || len(got.Attempts) != 1 {
					t.Errorf("run is %s %q, link %s, %d attempts", got.Status, got.StatusLabel, got.Link, len(got.Attempts))
				}
				all := strings.Join(lines, "\n")
				for _, part := range c.want {
					if !strings.Contains(all, part) {
						t.Errorf("log is %q, want %q in it", lines, part)
					}
				}
				if len(lines) != len(c.want) || got.Attempts[0].Error == "" {
					t.Errorf("log has %d lines, want %d: %q; attempt %+v", len(lines), len(c.want), lines, got.Attempts[0])
				}
				if left := w.all(t); len(left) != 0 {
					t.Errorf("entities %q were written", left)
				}
			})
		})
	}
}

// failing is a catalog that only fails.
type failing struct{ err error }

func (f failing) CreateEntity(ctx context.Context, _ string, _ json.RawMessage, _ catalog.EntityWrite) (*catalog.Saved, error) {
	if f.err == nil {
		<-ctx.Done()
		return nil, fmt.Errorf("write entity: %w", ctx.Err())
	}
	return nil, f.err
}

// What may pass by itself is tried again. Why the catalog failed is for the log of the process alone.
func TestFailuresThatPass(t *testing.T) {
	t.Parallel()
	cause := errors.New("table of account 123456789012 throttled")
	for name, c := range map[string]struct {
		err         error
		want, cause string
	}{
		"the store is busy":    {fmt.Errorf("write entity: %w", fault.Busy(cause, time.Second, "the store is busy")), "the catalog cannot be used now", "write entity: the store is busy: " + cause.Error()},
		"a fault of ours":      {cause, "the catalog cannot be used now", cause.Error()},
		"another one writes":   {fault.Wrap(fault.Conflict, cause, "somebody else is writing the entity %q", "a"), `somebody else is writing the entity "a"`, ""},
		"a migration is on":    {fault.New(fault.Conflict, "blueprint_deleting", "the blueprint service is being deleted"), "the blueprint service is being deleted", ""},
		"no answer in the end": {nil, "the catalog did not answer in time", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := upsertentity.New(upsertentity.Config{Entities: failing{c.err}, BaseURL: func() string { return base }})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				want := backend.Outcome{Verdict: run.Retry, Error: c.want, Cause: c.cause, StatusLabel: backend.DeliveryFailed}
				got := b.Call(ctx, backend.Call{RunID: "r_1", Invocation: upsert(`{}`)})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An invocation of another type is not carried out.
func TestOtherInvocations(t *testing.T) {
	t.Parallel()
	b := upsertentity.New(upsertentity.Config{Entities: failing{errors.New("asked")}})
	for _, i := range []*invocation.Invocation{nil, {Type: "KAFKA", Payload: upsert(`{}`).Payload}} {
		if o := b.Call(t.Context(), backend.Call{RunID: "r_1", Invocation: i}); o.Verdict != run.Fail || o.Error == "" {
			t.Errorf("%+v: got %+v, want it refused", i, o)
		}
	}
}

// An address that is longer than a link may be is left out.
func TestLongLink(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		for name, long := range map[string]bool{strings.Repeat("a", 900): false, strings.Repeat("ü", 900): true} {
			r := w.start(t, upsert(`{"identifier":"`+name+`","properties":{"tier":"gold"}}`))
			w.deliver(t, w.dispatcher(w.backend), r)
			if got := w.read(t, r); got.Status != run.Success || (got.Link == nil) != long {
				t.Errorf("run is %s, link %s", got.Status, got.Link)
			}
		}
	})
}

// backendFunc is a backend made of a function.
type backendFunc func(context.Context, backend.Call) backend.Outcome

// Call implements backend.Backend.
func (f backendFunc) Call(ctx context.Context, c backend.Call) backend.Outcome { return f(ctx, c) }

// A process that dies before, during or after its call leaves a run whose next attempt writes the same
// entity; of a run that waits for the store nothing is written meanwhile.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(w *world) backendFunc{
		"before the write": func(*world) backendFunc {
			return func(context.Context, backend.Call) backend.Outcome { panic("died") }
		},
		"after the write": func(w *world) backendFunc {
			return func(ctx context.Context, c backend.Call) backend.Outcome {
				if o := w.backend.Call(ctx, c); o.Verdict != run.Succeed {
					t.Errorf("got %+v", o)
				}
				panic("died")
			}
		},
		"store unavailable": func(*world) backendFunc {
			return upsertentity.New(upsertentity.Config{
				Entities: failing{fault.Busy(errors.New("throttled"), time.Second, "busy")}, BaseURL: func() string { return base },
			}).Call
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onStores(t, func(t *testing.T, w *world) {
				for _, mapping := range []string{`{"identifier":"a","properties":{"tier":"gold"}}`, `{"properties":{"tier":"gold"}}`} {
					before := len(w.all(t))
					r := w.start(t, upsert(mapping))
					w.deliver(t, w.dispatcher(die(w)), r)
					// A duplicate finds the lease, or is too early.
					w.deliver(t, w.dispatcher(w.backend), r)
					if got := w.read(t, r); got.Status != run.InProgress || len(got.Attempts) != 1 {
						t.Fatalf("run is %s after %d attempts", got.Status, len(got.Attempts))
					}
					w.pass(queue.Visibility)
					w.deliver(t, w.dispatcher(w.backend), r)
					got := w.read(t, r)
					if got.Status != run.Success || len(got.Attempts) != 2 || got.Link == nil {
						t.Errorf("run is %s, attempts %+v, link %s", got.Status, got.Attempts, got.Link)
					}
					if n := len(w.all(t)) - before; n != 1 {
						t.Errorf("%d entities were written, want one", n)
					}
				}
			})
		})
	}
}

// A run that failed for what its blueprint lacks can be delivered again once that is there.
func TestRedeliver(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		r := w.start(t, upsert(`{"identifier":"a","properties":{"tier":"gold"},"relations":{"system":"late"}}`))
		w.deliver(t, w.dispatcher(w.backend), r)
		by := catalog.Author{ID: "client_1", Origin: "API", At: w.clock()}
		if _, err := w.entities.CreateEntity(t.Context(), "system", json.RawMessage(`{"identifier":"late"}`), catalog.EntityWrite{By: by}); err != nil {
			t.Fatal(err)
		}
		r, err := w.runs.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
			closed, err := r.Redeliver(w.clock(), "client_1")
			return &run.Write{Closed: closed, ClosedGeneration: r.Generation - 1}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(t, w.dispatcher(w.backend), r)
		if got := w.read(t, r); got.Status != run.Success {
			t.Errorf("run is %s, log %q", got.Status, w.lines(t, r))
		}
	})
}

// A secret is written into the entity that the mapping has it for, and is in nothing that is kept of the
// run, whatever the catalog says of it.
func TestSecretsStayOutOfTheRun(t *testing.T) {
	t.Parallel()
	const word = "s3cr3t-w0rd/é"
	onStores(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			mapping string
			want    run.Status
		}{
			"in the title":      {`{"identifier":"a","title":"` + word + `","properties":{"tier":"gold"}}`, run.Success},
			"in the identifier": {`{"identifier":"` + word + `","properties":{"tier":"gold"}}`, run.Success},
			"in a relation":     {`{"identifier":"a","properties":{"tier":"gold"},"relations":{"system":"` + word + `"}}`, run.Failure},
			"in many faults":    {`{"identifier":"a","properties":{"` + word + `":1,"x ` + word + `":2,"tier":"` + word + `"}}`, run.Failure},
		} {
			r := w.start(t, upsert(c.mapping), word)
			if w.deliver(t, w.dispatcher(w.backend), r) {
				t.Fatalf("%s: the message comes again", name)
			}
			got := w.read(t, r)
			if got.Status != c.want {
				t.Errorf("%s: run is %s, want %s", name, got.Status, c.want)
			}
			kept := fmt.Sprintf("%+v %+v %s %q %s", *got.Run, got.Attempts, got.Link, w.lines(t, r), got.Invocation.Payload)
			for _, spelling := range []string{word, url.PathEscape(word), "s3cr3t"} {
				if strings.Contains(kept, spelling) {
					t.Errorf("%s: what is kept has %s: %s", name, spelling, kept)
				}
			}
		}
		if content, _ := w.content(t, "a"); !strings.Contains(content, word) {
			t.Errorf("the entity is %s, want the secret in it", content)
		}
	})
}
