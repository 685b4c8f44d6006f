package local_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api"
	"longshore/pkg/local"
	"longshore/pkg/secret"
)

// hunted is a deployment in which the hunt goes on.
type hunted struct {
	*caller
	routes shared
}

// ask sends a request and keeps the answer, which must have that status.
func (h *hunted) ask(status int, method, path string, body any, headers ...string) map[string]any {
	h.t.Helper()
	text, isText := body.(string)
	if !isText {
		encoded, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		text = string(encoded)
	}
	got, answer := h.send(method, path, text, headers...)
	if got != status {
		h.t.Fatalf("%s %s: %d %s, want %d", method, path, got, answer, status)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(answer), &object); err != nil {
		h.t.Fatal(err)
	}
	return object
}

// send sends a request and keeps the answer.
func (h *hunted) send(method, path, body string, headers ...string) (status int, answer string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	fmt.Fprintf(&h.routes, "%s %s: %v %s\n", method, path, response.Header, text)
	return response.StatusCode, string(text)
}

// start starts a run and returns its id.
func (h *hunted) start(action, query string, headers ...string) string {
	h.t.Helper()
	started := h.ask(202, "POST", "/v1/actions/"+action+"/runs"+query, secretInputs, headers...)
	return started["run"].(map[string]any)["id"].(string)
}

// status waits until a run has a status.
func (h *hunted) status(id string, want ...string) {
	h.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		status := h.call("GET", "/v1/actions/runs/"+id, "")["run"].(map[string]any)["status"].(string)
		if slices.Contains(want, status) {
			return
		}
		select {
		case <-again.C:
		case <-late.C:
			h.t.Fatalf("run %s is %s, want it %v", id, status, want)
		}
	}
}

var secretInputs = map[string]any{"properties": map[string]any{
	"token": huntedInput, "login": map[string]string{"password": huntedPassword}, "plain": inClear,
}}

// secretAction is an action that reads all of it; guard is what makes it need approval.
func secretAction(name, target, guard string, synchronized bool) string {
	return fmt.Sprintf(`{"identifier":%q,%s"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{
		"token":{"type":"string","encryption":"aes256-gcm","minLength":3},"login":{"type":"object","encryption":"aes256-gcm"},
		"made":{"type":"string","default":{"jqQuery":".form.token + \"!\""}},"plain":{"type":"string"}}}},
		"invocationMethod":{"type":"WEBHOOK","synchronized":%t,"url":%q,
		"headers":{"Authorization":"Basic {{ \"user:\" + .secrets.TOKEN | @base64 }}","X-Member":"{{ .secrets.CREDS | fromjson | .password }}","X-Token":"{{ .inputs.token }}"},
		"body":{"token":"{{ .secrets.TOKEN }}","all":"{{ .secrets }}","creds":"{{ .secrets.CREDS | fromjson }}","both":"{{ .secrets.TOKEN + .inputs.token }}",
		"fails":"{{ .secrets.TOKEN | tonumber }}","{{ .secrets.CREDS }}":1,"inputs":"{{ .inputs }}","failed":"{{ .inputs.token + 1 }}","trigger":"{{ .trigger }}"}}}`,
		name, guard, synchronized, target+"/"+name+"?token={{ .secrets.TOKEN | @uri }}")
}

// huntSecrets does with secrets and encrypted inputs all that a client can, against receivers that answer
// with what they get, and looks for them in all that can be read, the log, and what stored returns.
func huntSecrets(t *testing.T, c local.Config, stored func(*testing.T) map[string]string) {
	t.Helper()
	var lines, got shared
	c.Log = slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	target := echo(t, &got).URL
	_, q, _ := open(t, c)
	h := &hunted{caller: q}

	// The texts of these two requests are the only ones that hold a secret.
	for name, value := range map[string]string{"TOKEN": huntedToken, "CREDS": huntedJSON, "ADDRESS": huntedAddress} {
		h.ask(201, "POST", "/v1/organization/secrets", map[string]string{"secretName": name, "secretValue": value})
		h.ask(200, "PATCH", "/v1/organization/secrets/"+name, map[string]string{"secretValue": value, "description": "d"})
	}
	h.ask(201, "POST", "/v1/blueprints/_user/entities", `{"identifier":"ada@example.com","properties":{"port_role":"Admin"}}`)
	h.ask(201, "POST", "/v1/blueprints/_team/entities", `{"identifier":"ops"}`)
	runs := map[string]string{}
	for name, synchronized := range map[string]bool{"ok": true, "fail": true, "retry": true, "async": false} {
		h.ask(201, "POST", "/v1/actions", secretAction(name, target, "", synchronized))
		runs[name] = h.start(name, "", "Idempotency-Key", "key")
	}
	h.ask(201, "POST", "/v1/actions", secretAction("refused", "http://{{ .secrets.ADDRESS }}:8080", "", true))
	runs["refused"] = h.start("refused", "")
	h.ask(200, "POST", "/v1/actions/refused/runs?dry_run=true", secretInputs)
	for kind, format := range map[string]string{"guarded": "json", "slack": "slack"} {
		h.ask(201, "POST", "/v1/actions", secretAction(kind, target, fmt.Sprintf(
			`"requiredApproval":true,"approvalNotification":{"type":"webhook","format":%q,"url":%q},`, format, target+"/notice"), true))
	}
	for _, name := range []string{"approved", "declined", "withdrawn", "waiting"} {
		runs[name] = h.start("guarded", "")
	}
	runs["slack"] = h.start("slack", "")
	runs["run as"] = h.start("ok", "?run_as=ada@example.com")
	for _, action := range []string{"ok", "fail", "guarded"} {
		h.ask(200, "POST", "/v1/actions/"+action+"/runs?dry_run=true", secretInputs)
		h.ask(200, "POST", "/v1/actions/"+action+"/runs?dry_run=true&run_as=ada@example.com", secretInputs)
		wrong := map[string]any{"token": map[string]any{"a": secretInputs}, "login": huntedPassword, "made": []string{inClear}}
		h.ask(422, "POST", "/v1/actions/"+action+"/runs", map[string]any{"properties": wrong})
		broken := `{"properties":{"token":"` + huntedPassword + `","login":["` + huntedPassword + `":}}`
		h.ask(422, "POST", "/v1/actions/"+action+"/runs", broken)
	}
	h.ask(200, "POST", "/v1/actions/ok/runs", secretInputs, "Idempotency-Key", "key")
	h.ask(422, "POST", "/v1/actions/ok/runs", map[string]any{"properties": map[string]string{"token": huntedPassword}}, "Idempotency-Key", "key")

	for name, want := range map[string]string{"ok": "SUCCESS", "retry": "SUCCESS", "run as": "SUCCESS", "fail": "FAILURE", "refused": "FAILURE"} {
		h.status(runs[name], want)
	}
	h.ask(202, "POST", "/v1/actions/runs/"+runs["fail"]+"/redeliver", "")
	h.status(runs["fail"], "FAILURE")
	wait(t, &got, "call of /async ")
	h.ask(200, "PATCH", "/v1/actions/runs/"+runs["async"], `{"status":"SUCCESS"}`)
	for _, name := range []string{"approved", "declined", "withdrawn", "waiting", "slack"} {
		h.log(runs[name], "The notice to approvers was delivered.")
	}
	called := func(path string) int { return strings.Count(got.String(), "call of "+path+" ") }
	before := called("/guarded")
	h.ask(200, "PATCH", "/v1/actions/runs/"+runs["approved"]+"/approval", `{"status":"APPROVE","description":"fine"}`)
	h.ask(200, "PATCH", "/v1/actions/runs/"+runs["declined"]+"/approval", `{"status":"DECLINE"}`)
	h.ask(200, "PATCH", "/v1/actions/runs/"+runs["withdrawn"], `{"status":"FAILURE"}`)
	h.status(runs["approved"], "SUCCESS")
	h.ask(200, "DELETE", "/v1/actions/slack", "")

	// Every route that reads, of everything that there is.
	named := map[string][]string{
		"{action_identifier}": {"ok", "fail", "retry", "async", "refused", "guarded", "slack"}, "{blueprint_identifier}": {"_user", "_team"},
		"{entity_identifier}": {"ada@example.com", "ops"}, "{user_email}": {"ada@example.com"}, "{name}": {"ops"},
		"{secret_name}": {"TOKEN", "CREDS", "ADDRESS"}, "{page_identifier}": {"_user"}, "{migration_id}": {"m_1"},
	}
	for _, id := range runs {
		named["{run_id}"] = append(named["{run_id}"], id)
	}
	read := 0
	for _, r := range api.Routes() {
		paths := []string{r.Pattern}
		for parameter, values := range named {
			var filled []string
			for _, path := range paths {
				for _, value := range values {
					filled = append(filled, strings.Replace(path, parameter, url.PathEscape(value), 1))
					if !strings.Contains(path, parameter) {
						break
					}
				}
			}
			paths = filled
		}
		for _, path := range paths {
			if strings.Contains(path, "{") {
				t.Errorf("nothing is known to fill %s with", r.Pattern)
			}
			for _, query := range []string{"", "?version=v1", "?limit=1000&include_pending_approvers=true"} {
				if r.Method != http.MethodGet || r.Pattern == "/openapi.json" {
					continue
				}
				if status, _ := h.send("GET", path+query, ""); status == 200 {
					read++
				}
			}
		}
	}
	h.ask(200, "GET", "/v1/audit-log?limit=1000&includes=agentsFromContext&includes=webhook", "")
	h.ask(200, "POST", "/v1/jq", map[string]any{"expression": "[.secrets, .]", "data": map[string]any{"a": 1}})

	// What is looked for is there to be found: it was sent, echoed and masked, and each run was called as it had to be.
	sent := got.String()
	for _, value := range huntedSecrets {
		if seen(sent, value) == "" {
			t.Errorf("the receiver did not get %q", value)
		}
	}
	if form := seen(sent, huntedInputs...); form != "" {
		t.Errorf("the receiver got %q", form)
	}
	for path, want := range map[string]int{"/ok": 2, "/fail": 2, "/retry": 2, "/async": 1, "/guarded": 1, "/slack": 0, "/notice": 5} {
		if n := called(path); n != want {
			t.Errorf("%s was called %d times, want %d", path, n, want)
		}
	}
	for line := range strings.Lines(sent) {
		if strings.HasPrefix(line, "call of /notice ") {
			clean(t, "a notice", line)
		}
	}
	if before != 0 {
		t.Errorf("%d runs were sent before they were approved", before)
	}
	text := h.routes.String()
	if read < 60 || strings.Count(text, secret.Hidden) < 50 || !strings.Contains(text, `"response":`) || !strings.Contains(text, inClear) {
		t.Errorf("the routes show no masked echo: %d were read", read)
	}
	for line := range strings.Lines(text) {
		where, _, _ := strings.Cut(line, ":")
		clean(t, where, line)
	}
	clean(t, "the log", lines.String())
	if !strings.Contains(lines.String(), runs["ok"]) {
		t.Error("the log tells of no run")
	}
	marked := false
	for where, text := range stored(t) {
		clean(t, where, text)
		marked = marked || strings.Contains(text, inClear)
	}
	if !marked {
		t.Error("nothing that is stored holds what is in clear: the hunt looks in the wrong places")
	}
}

// wait waits until a text has been written.
func wait(t *testing.T, s *shared, text string) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !strings.Contains(s.String(), text) {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("%s was not written", text)
		}
	}
}
