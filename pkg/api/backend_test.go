package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/breaker"
	"longshore/pkg/fault"
)

// hosts are those of each backend.
type hosts map[string][]breaker.Host

// Hosts implements api.Hosts.
func (h hosts) Hosts(_ context.Context, backend string) ([]breaker.Host, error) {
	return h[backend], nil
}

// noStore cannot be read.
type noStore struct{}

// Hosts implements api.Hosts.
func (noStore) Hosts(context.Context, string) ([]breaker.Host, error) {
	return nil, fault.Busy(errors.New("secret cause"), time.Second, "the store is busy")
}

// Every backend is listed, and its hosts as they are at this time.
func TestBackends(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f := newFixture(t, func(c *api.Config) {
		c.Now = func() time.Time { return now }
		c.Hosts = hosts{
			"webhook": {
				{Name: "https://a.example:443", Failures: 3, Since: now},
				{Name: "https://b.example:443"},
				{Name: "https://c.example:443", Failures: 21, Opened: 2, Since: now, OpenUntil: now.Add(time.Minute), Reason: "a reason"},
				{Name: "https://d.example:443", Failures: 20, Opened: 1, Since: now, OpenUntil: now, ProbeUntil: now.Add(time.Minute)},
			},
			"kafka": {{Name: "kafka://b1:9092,b2:9092", Failures: 1, Since: now}},
		}
	})
	got := f.call("GET", "/v1/backends", "").want(200)
	want := `{"ok":true,"backends":[
		{"type":"WEBHOOK","configured":true,"hosts":[
			{"host":"https://a.example:443","state":"closed","failures":3,"openUntil":null},
			{"host":"https://b.example:443","state":"closed","failures":0,"openUntil":null},
			{"host":"https://c.example:443","state":"open","failures":21,"openUntil":"2026-03-04T05:07:07.000Z"},
			{"host":"https://d.example:443","state":"half-open","failures":20,"openUntil":"2026-03-04T05:06:07.000Z"}]},
		{"type":"GITHUB","configured":false,"hosts":[]},
		{"type":"GITLAB","configured":false,"hosts":[]},
		{"type":"AZURE_DEVOPS","configured":false,"hosts":[]},
		{"type":"KAFKA","configured":false,"hosts":[{"host":"kafka://b1:9092,b2:9092","state":"closed","failures":1,"openUntil":null}]},
		{"type":"UPSERT_ENTITY","configured":false,"hosts":[]}]}`
	var gotValue, wantValue any
	if err := errors.Join(json.Unmarshal(got.text, &gotValue), json.Unmarshal([]byte(want), &wantValue)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantValue, gotValue); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
}

func TestBackendsWithoutAStore(t *testing.T) {
	t.Parallel()
	newFixture(t, func(c *api.Config) { c.Hosts = noStore{} }).call("GET", "/v1/backends", "").fault(503, "unavailable")
	newFixture(t, func(c *api.Config) { c.Hosts = nil }).call("GET", "/v1/backends", "").fault(404, "not_found")
}
