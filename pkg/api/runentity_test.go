package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/run"
)

func TestStartRunOnAnEntity(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := catalog.NewService(f.catalog, nil)
	by := catalog.Author{ID: clientID, At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := s.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"service","title":"Service","schema":{"properties":{"tier":{"type":"string"}}}}`), false, by); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"identifier":"org/cart","properties":{"tier":"gold"}}`, `{"identifier":"till","properties":{"tier":"silver"}}`,
	} {
		if _, err := s.CreateEntity(t.Context(), "service", json.RawMessage(body), catalog.EntityWrite{By: by}); err != nil {
			t.Fatal(err)
		}
	}
	f.define(`{"identifier":"restart","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service",
		"condition":{"type":"SEARCH","combinator":"and","rules":[{"property":"tier","operator":"=","value":"gold"}]}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","body":{"tier":"{{ .entity.properties.tier }}"}}}`)
	const runs = "/v1/actions/restart/runs"

	f.call("POST", runs, `{}`).fault(http.StatusUnprocessableEntity, "invalid_request")
	f.call("POST", runs, `{"entity":""}`).fault(http.StatusUnprocessableEntity, "invalid_request")
	f.call("POST", runs, `{"entity":"cart"}`).fault(http.StatusNotFound, "not_found")
	f.call("POST", runs, `{"entity":"till"}`).fault(http.StatusUnprocessableEntity, "condition_not_met")
	f.call("POST", runs+"?dry_run=true", `{"entity":"till"}`).fault(http.StatusUnprocessableEntity, "condition_not_met")
	page, err := f.runs.List(t.Context(), run.Filter{Limit: 10})
	if err != nil || len(page.Runs) != 0 || f.sent.count() != 0 {
		t.Fatalf("%d runs, %d messages, %v after what was refused", len(page.Runs), f.sent.count(), err)
	}

	started := f.call("POST", runs, `{"entity":"org/cart"}`).want(http.StatusAccepted).at("run").(map[string]any)
	for name, want := range map[string]string{"entity": "org/cart", "blueprint": "service"} {
		if named, _ := started[name].(map[string]any); named["identifier"] != want {
			t.Errorf("%s is %v, want %s", name, started[name], want)
		}
	}
	payload := started["payload"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"tier": "gold"}, payload["body"]); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for entity, want := range map[string]int{"org%2Fcart": 1, "till": 0} {
		if got := f.call("GET", "/v1/actions/runs?entity="+entity, "").want(http.StatusOK).at("runs").([]any); len(got) != want {
			t.Errorf("%d runs of %s, want %d", len(got), entity, want)
		}
	}
	data := f.call("POST", runs+"?dry_run=true", `{"entity":"org/cart"}`).want(http.StatusOK).at("triggerData").(map[string]any)
	if entity, _ := data["entity"].(map[string]any); entity["identifier"] != "org/cart" || entity["blueprint"] != "service" {
		t.Errorf("trigger data has the entity %v", data["entity"])
	}
}
