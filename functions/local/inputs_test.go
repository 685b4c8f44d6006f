package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"longshore/pkg/api/client"
)

// The page on inputs: its example is triggered, and its program decrypts what a receiver gets.
func TestInputsPage(t *testing.T) {
	t.Parallel()
	need(t, "node")
	w := newWorld(t)
	w.must("apply", root+"/testdata/examples/rotate.yaml")
	const token = `s3cr3t "token" ü`
	for _, c := range []struct {
		properties string
		want       map[string]string
		fault      string
	}{
		{`{"service":"checkout","token":"TOKEN"}`, map[string]string{"environment": "dev", "secretName": "checkout/dev"}, ""},
		{`{"service":"checkout","token":"TOKEN","environment":"production","ticket":"CHG-7"}`, map[string]string{"secretName": "checkout/production", "ticket": "CHG-7"}, ""},
		{`{"service":"test-x","token":"short","environment":"production","ticket":"7"}`, nil, "properties.service: must match the pattern ^(?!test-)[a-z][a-z0-9-]+$\n" +
			"properties.ticket: must match the pattern ^CHG-[0-9]+$\nproperties.token: must have at least 16 characters"},
		{`{"environment":"production"}`, nil, "properties.service: is required\nproperties.ticket: is required\nproperties.token: is required"},
	} {
		var properties map[string]string
		if err := json.Unmarshal([]byte(c.properties), &properties); err != nil {
			t.Fatal(err)
		}
		if properties["token"] == "TOKEN" {
			properties["token"] = token
		}
		sent, err := json.Marshal(properties)
		if err != nil {
			t.Fatal(err)
		}
		dry, err := w.client.DryRun(t.Context(), "rotate_token", client.Start{Properties: sent})
		if c.fault != "" {
			if err == nil {
				t.Errorf("%s was accepted", c.properties)
			} else {
				contains(t, err.Error(), c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.properties, err)
			continue
		}
		var data struct{ Inputs map[string]string }
		if err := json.Unmarshal(dry.TriggerData, &data); err != nil {
			t.Fatal(err)
		}
		got := data.Inputs
		for name, want := range c.want {
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		program := filepath.Join(t.TempDir(), "decrypt.cjs")
		text := blocks(t, "docs/inputs.md", "js")[0] + "\nprocess.stdout.write(decrypt(process.argv[2], process.argv[3]))\n"
		if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "node", program, got["token"], w.server.Credentials().ClientSecret).CombinedOutput()
		if err != nil || string(out) != token {
			t.Errorf("decrypted to %q, %v, want %q", out, err, token)
		}
	}
}
