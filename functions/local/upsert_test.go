package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What docs/backends/upsertentity.md says: the platform's environment lives longer after a run.
func TestUpsertExample(t *testing.T) {
	t.Parallel()
	need(t, "bash")
	w := newWorld(t)
	out := w.script(blocks(t, "docs/backends/upsertentity.md", "sh")[0], "")
	if !strings.Contains(out, "entity environment/preview-42 created") || !strings.Contains(out, "SUCCESS") {
		t.Errorf("output:\n%s", out)
	}
	e, err := w.client.Entity(t.Context(), "environment", "preview-42")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Properties struct{ Kind, TTL string }
	}
	if err := json.Unmarshal(e, &got); err != nil || got.Properties.TTL != "2030-01-01T00:00:00Z" || got.Properties.Kind != "preview" {
		t.Errorf("entity is %s, %v", e, err)
	}
}
