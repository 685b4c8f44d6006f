package local_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/local"
)

// ticker is a clock that a test moves.
type ticker struct{ ahead atomic.Int64 }

func (c *ticker) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *ticker) move(d time.Duration) { c.ahead.Add(int64(d)) }

// started waits until there are so many runs of automations, and returns their actions.
func started(t *testing.T, q *caller, want map[string]int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got := map[string]int{}
		for _, r := range q.call("GET", "/v1/actions/runs?source=AUTOMATION&limit=1000", "")["runs"].([]any) {
			got[r.(map[string]any)["action"].(map[string]any)["identifier"].(string)]++
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("runs of automations: %v, want %v", got, want)
		}
	}
}

// clocked starts automations by a timer and by schedules, and again after a restart.
func clocked(t *testing.T, c local.Config) {
	t.Helper()
	clock := new(ticker)
	c = local.WithTime(c, clock.now)
	_, q, _ := open(t, c)
	q.call("POST", "/v1/blueprints", `{"identifier":"lease","title":"Lease","schema":{"properties":{"ends":{"type":"string","format":"timer"},"warns":{"type":"string","format":"timer"}}}}`)
	for identifier, event := range map[string]string{
		"ended":  `"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"lease","propertyIdentifier":"ends"`,
		"warned": `"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"lease","propertyIdentifier":"warns"`,
		"change": `"type":"ENTITY_UPDATED","blueprintIdentifier":"lease"`,
		"daily":  `"type":"SCHEDULE","expression":"rate(1 day)"`,
		"once":   `"type":"SCHEDULE","expression":"at(` + time.Now().UTC().Add(36*time.Hour).Format("2006-01-02T15:04:05") + `)","timezone":"UTC"`,
	} {
		q.call("POST", "/v1/actions", `{"identifier":"`+identifier+`","trigger":{"type":"automation","event":{`+event+`}},"invocationMethod":{"type":"KAFKA","payload":{"event":"{{ .event }}"}}}`)
	}
	at := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(time.RFC3339) }
	for i, ends := range []string{at(time.Hour), at(time.Hour), at(time.Hour), at(-time.Hour)} {
		q.call("POST", "/v1/blueprints/lease/entities", fmt.Sprintf(`{"identifier":"l%d","properties":{"ends":%q,"warns":%q}}`, i, ends, at(30*time.Minute)))
	}
	// The fourth had passed when it was written.
	started(t, q, map[string]int{"ended": 1})
	clock.move(40 * time.Minute)
	started(t, q, map[string]int{"ended": 1, "warned": 4})
	// One is put off, and one is gone before it passes.
	q.call("PATCH", "/v1/blueprints/lease/entities/l1", fmt.Sprintf(`{"properties":{"ends":%q}}`, at(3*time.Hour)))
	q.call("DELETE", "/v1/blueprints/lease/entities/l2", "")
	started(t, q, map[string]int{"ended": 1, "warned": 4, "change": 1})
	clock.move(40 * time.Minute)
	started(t, q, map[string]int{"ended": 2, "warned": 4, "change": 1})
	clock.move(2 * time.Hour)
	started(t, q, map[string]int{"ended": 3, "warned": 4, "change": 1})
	clock.move(20*time.Hour + 50*time.Minute)
	started(t, q, map[string]int{"ended": 3, "warned": 4, "change": 1, "daily": 1})
	clock.move(11*time.Hour + 55*time.Minute)
	want := map[string]int{"ended": 3, "warned": 4, "change": 1, "daily": 1, "once": 1}
	started(t, q, want)
	runs := q.call("GET", "/v1/actions/runs?source=AUTOMATION&limit=1", "")["runs"].([]any)
	text, err := json.Marshal(runs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, holds := range []string{`"action":"SCHEDULED"`, `"timezone":"UTC"`, `"diff":null`} {
		if !strings.Contains(string(text), holds) {
			t.Errorf("the run of a schedule is %s, want it to hold %s", text, holds)
		}
	}
}

func TestTimersAndSchedulesOnSQLite(t *testing.T) {
	t.Parallel()
	clocked(t, local.WithChaos(config(t.TempDir())))
}

func TestTimersAndSchedulesOnAWS(t *testing.T) { clocked(t, onAWS(t)) }

// What came while the process was down is started at its next start, once.
func TestScheduleThatCameWhileDown(t *testing.T) {
	t.Parallel()
	clock := new(ticker)
	c := local.WithTime(config(t.TempDir()), clock.now)
	c.ClientID, c.ClientSecret = "client_1", strings.Repeat("s", 32)
	first, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := &caller{t: t, url: "http://" + first.Addr()}
	login := fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, c.ClientID, c.ClientSecret)
	q.token = q.call("POST", "/v1/auth/access_token", login)["accessToken"].(string)
	q.call("POST", "/v1/actions", `{"identifier":"often","trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":"rate(10 minutes)"}},"invocationMethod":{"type":"KAFKA","payload":{}}}`)
	clock.move(11 * time.Minute)
	started(t, q, map[string]int{"often": 1})
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.move(45 * time.Minute)
	// One that came twice at a start would be seen at the next.
	for n := 2; n <= 4; n++ {
		s, err := local.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		q.url = "http://" + s.Addr()
		started(t, q, map[string]int{"often": n})
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock.move(11 * time.Minute)
	}
}
