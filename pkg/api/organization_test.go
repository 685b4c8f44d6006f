package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/logline"
	"longshore/pkg/organization"
	sealing "longshore/pkg/secret"
)

func newSealer(t testing.TB) *sealing.Sealer {
	t.Helper()
	key, err := sealing.NewKey("one", bytes.Repeat([]byte{7}, sealing.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return sealing.NewSealer(sealing.Ring{key})
}

func TestOrganizationIsChangedInParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/v1/organization"
	is := func(want string) {
		t.Helper()
		text, err := json.Marshal(f.call("GET", path, "").want(200).body["organization"])
		if err != nil {
			t.Fatal(err)
		}
		var got, wanted any
		_ = json.Unmarshal(text, &got)
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("organization (-want +got):\n%s", diff)
		}
	}
	is(`{"id":"org_1","name":"org_1","featureFlags":[],"settings":{}}`)
	g := f.call("PATCH", path, `{"settings":{"portalTitle":"Harbour","more":{"deep":[1.50]}}}`).want(200)
	if g.at("organization", "settings", "portalTitle") != "Harbour" {
		t.Errorf("answered %s", g.text)
	}
	f.call("PATCH", path, `{"name":"Acme","settings":{"hiddenBlueprints":["a"]}}`).want(200)
	f.call("PATCH", path, `{"announcement":{"enabled":true,"content":"hi","link":null},"isOnboarded":true}`).want(200)
	f.call("PATCH", path, `{"announcement":{"color":"red"},"toolSelectionProvisioning":{"status":"DONE"}}`).want(200)
	f.call("PATCH", path, `{}`).want(200)
	is(`{"id":"org_1","name":"Acme","featureFlags":[],"settings":{"portalTitle":"Harbour","more":{"deep":[1.5]},"hiddenBlueprints":["a"]},
		"announcement":{"enabled":true,"content":"hi","link":null,"color":"red"},"isOnboarded":true,"toolSelectionProvisioning":{"status":"DONE"}}`)
	if text := f.call("GET", path, "").text; !bytes.Contains(text, []byte("1.5")) {
		t.Errorf("got %s", text)
	}
}

func TestSecretsAreKeptAndNeverReturned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/v1/organization/secrets"
	const value, other = "hunter2-hunter2", "correct-horse-battery"
	var answers strings.Builder
	call := func(method, target, body string, status int) *got {
		t.Helper()
		g := f.call(method, target, body).want(status)
		answers.Write(g.text)
		return g
	}
	if got := call("GET", path, "", 200).list("secrets"); len(got) != 0 {
		t.Errorf("an organization without secrets lists %v", got)
	}
	g := call("POST", path, `{"secretName":"TOKEN","secretValue":"`+value+`","description":"of CI"}`, 201)
	if g.at("secret", "secretName") != "TOKEN" || g.at("secret", "description") != "of CI" || g.at("secret", "createdBy") != clientID {
		t.Errorf("created %s", g.text)
	}
	call("POST", path, `{"secretName":"a_B-9","secretValue":""}`, 201)
	call("PATCH", path+"/TOKEN", `{"secretValue":"`+other+`"}`, 200)
	if g := call("GET", path+"/TOKEN", "", 200); g.at("secret", "description") != "of CI" {
		t.Errorf("the description is gone: %s", g.text)
	}
	g = call("PATCH", path+"/TOKEN", `{"description":""}`, 200)
	if _, there := g.at("secret").(map[string]any)["description"]; there {
		t.Errorf("the description is still there: %s", g.text)
	}
	call("PATCH", path+"/TOKEN", `{}`, 200)
	if got := call("GET", path, "", 200).list("secrets"); len(got) != 2 {
		t.Errorf("%d secrets are listed, want 2", len(got))
	}
	values, err := organization.NewVault(f.organization, newSealer(t)).Values(t.Context(), nil, true)
	if err != nil || len(values) != 2 || values[0].Text.Reveal() != other || values[1].Text.Reveal() != "" {
		t.Errorf("a vault opens %v, %v", values, err)
	}
	call("DELETE", path+"/TOKEN", "", 200)
	call("GET", path+"/TOKEN", "", 404)
	call("POST", path, `{"secretName":"TOKEN","secretValue":"`+value+`"}`, 201)
	everything := answers.String() + f.log.String()
	if mask := sealing.NewMask([]string{value, other}); mask.Text(everything) != everything {
		t.Errorf("a value shows: %s", mask.Text(everything))
	}
}

func TestBadSecretsAndSettings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const secrets, one, org = "/v1/organization/secrets", "/v1/organization/secrets/TOKEN", "/v1/organization"
	const value = "hunter2-hunter2"
	f.call("POST", secrets, `{"secretName":"TOKEN","secretValue":"the first value"}`).want(201)
	before := f.snapshot()
	for name, test := range map[string]struct {
		method, target, body string
		status               int
		word, path, holds    string
	}{
		"malformed":                {"POST", secrets, `{"secretName":"A","secretValue":"` + value + `"`, 422, "invalid_request", "", "malformed JSON"},
		"a list":                   {"POST", secrets, `["` + value + `"]`, 422, "invalid_request", "", "JSON object"},
		"nothing":                  {"POST", secrets, `{}`, 422, "invalid_request", "secretName", ""},
		"no value":                 {"POST", secrets, `{"secretName":"A"}`, 422, "invalid_request", "secretValue", ""},
		"value is a list":          {"POST", secrets, `{"secretName":"A","secretValue":["` + value + `"]}`, 422, "invalid_request", "secretValue", "string"},
		"value is null":            {"POST", secrets, `{"secretName":"A","secretValue":null}`, 422, "invalid_request", "secretValue", "string"},
		"value too long":           {"POST", secrets, `{"secretName":"A","secretValue":"` + value + strings.Repeat("x", 32<<10) + `"}`, 422, "invalid_request", "secretValue", "32768"},
		"name with a dot":          {"POST", secrets, `{"secretName":"a.b","secretValue":"` + value + `"}`, 422, "invalid_request", "secretName", ""},
		"empty name":               {"POST", secrets, `{"secretName":"","secretValue":"` + value + `"}`, 422, "invalid_request", "secretName", ""},
		"name of 101":              {"POST", secrets, `{"secretName":"` + strings.Repeat("a", 101) + `","secretValue":"` + value + `"}`, 422, "invalid_request", "secretName", "100"},
		"description of 201":       {"POST", secrets, `{"secretName":"A","secretValue":"` + value + `","description":"` + strings.Repeat("é", 201) + `"}`, 422, "invalid_request", "description", "200"},
		"unknown member":           {"POST", secrets, `{"secretName":"A","secretValue":"` + value + `","x":1}`, 422, "invalid_request", "x", ""},
		"all at once":              {"POST", secrets, `{"secretName":"a b","secretValue":1,"y":2}`, 422, "invalid_request", "y", "secretValue: "},
		"taken":                    {"POST", secrets, `{"secretName":"TOKEN","secretValue":"` + value + `"}`, 409, "identifier_taken", "", "TOKEN"},
		"PATCH with a name":        {"PATCH", one, `{"secretName":"TOKEN","secretValue":"` + value + `"}`, 422, "invalid_request", "secretName", ""},
		"PATCH of a number":        {"PATCH", one, `{"secretValue":12345678}`, 422, "invalid_request", "secretValue", "string"},
		"PATCH of null":            {"PATCH", one, `{"description":null}`, 422, "invalid_request", "description", ""},
		"PATCH of none":            {"PATCH", secrets + "/none", `{"secretValue":"` + value + `"}`, 404, "not_found", "", ""},
		"PATCH of an odd name":     {"PATCH", secrets + "/a%2Fb", `{}`, 404, "not_found", "", ""},
		"GET of none":              {"GET", secrets + "/none", ``, 404, "not_found", "", ""},
		"GET of 5,000 bytes":       {"GET", secrets + "/" + strings.Repeat("a", 5000), ``, 404, "not_found", "", ""},
		"DELETE of none":           {"DELETE", secrets + "/none", ``, 404, "not_found", "", ""},
		"PUT":                      {"PUT", one, `{}`, 405, "method_not_allowed", "", ""},
		"organization malformed":   {"PATCH", org, `{"name":`, 422, "invalid_request", "", "malformed JSON"},
		"organization is a list":   {"PATCH", org, `[]`, 422, "invalid_request", "", "JSON object"},
		"id":                       {"PATCH", org, `{"id":"org_2"}`, 422, "invalid_request", "id", ""},
		"feature flags":            {"PATCH", org, `{"featureFlags":[]}`, 422, "invalid_request", "featureFlags", ""},
		"name of a number":         {"PATCH", org, `{"name":1}`, 422, "invalid_request", "name", "string"},
		"title of 31":              {"PATCH", org, `{"settings":{"portalTitle":"` + strings.Repeat("t", 31) + `"}}`, 422, "invalid_request", "settings.portalTitle", "30"},
		"unknown TTL":              {"PATCH", org, `{"settings":{"supportUserTTL":"EVER"}}`, 422, "invalid_request", "settings.supportUserTTL", ""},
		"no time":                  {"PATCH", org, `{"settings":{"supportUserExpiresAt":"tomorrow"}}`, 422, "invalid_request", "settings.supportUserExpiresAt", ""},
		"settings null":            {"PATCH", org, `{"settings":null}`, 422, "invalid_request", "settings", ""},
		"blue green":               {"PATCH", org, `{"announcement":{"color":"green"}}`, 422, "invalid_request", "announcement.color", ""},
		"empty announcement":       {"PATCH", org, `{"announcement":{"content":""}}`, 422, "invalid_request", "announcement.content", ""},
		"provisioning and more":    {"PATCH", org, `{"toolSelectionProvisioning":{"status":"DONE","x":1}}`, 422, "invalid_request", "toolSelectionProvisioning.x", ""},
		"provisioning of nothing":  {"PATCH", org, `{"toolSelectionProvisioning":{}}`, 422, "invalid_request", "toolSelectionProvisioning.status", ""},
		"settings too large":       {"PATCH", org, `{"settings":{"more":"` + strings.Repeat("x", 351<<10) + `"}}`, 422, "invalid_request", "", "358400"},
		"number beyond the double": {"PATCH", org, `{"settings":{"more":1e400}}`, 422, "invalid_request", "settings.more", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call(test.method, test.target, test.body)
			message := g.fault(test.status, test.word)
			found := test.path == ""
			if details, _ := g.body["details"].([]any); !found {
				for _, d := range details {
					found = found || d.(map[string]any)["path"] == test.path
				}
			}
			if !found || !strings.Contains(message, test.holds) {
				t.Errorf("got %.400s, want a detail of %q and %q in its message", g.text, test.path, test.holds)
			}
			if bytes.Contains(g.text, []byte(value)) {
				t.Errorf("the answer holds the value: %.400s", g.text)
			}
			f.unchanged(before)
		})
	}
	if strings.Contains(f.log.String(), value) {
		t.Error("the log holds the value")
	}
}

// Without a sealing key a deployment serves everything else, and says what is missing.
func TestSecretsWithoutASealingKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) {
		// The store is the fixture's, the service one without a key.
		c.Organization = nil
	})
	f.call("GET", "/v1/organization", "").fault(http.StatusNotFound, "not_found")
	var service *organization.Service
	f = newFixture(t)
	f.call("POST", "/v1/organization/secrets", `{"secretName":"TOKEN","secretValue":"x"}`).want(201)
	service = organization.NewService(f.organization, nil)
	f.handler = api.New(api.Config{Tokens: f.tokens, Actions: f.actions, Runs: f.runs, Organization: service, Log: newFixtureLog(f)})
	f.call("POST", "/v1/organization/secrets", `{"secretName":"B","secretValue":"x"}`).fault(503, "sealing_key_missing")
	f.call("PATCH", "/v1/organization/secrets/TOKEN", `{"secretValue":"y"}`).fault(503, "sealing_key_missing")
	f.call("PATCH", "/v1/organization/secrets/TOKEN", `{}`).fault(503, "sealing_key_missing")
	f.call("PATCH", "/v1/organization/secrets/TOKEN", `{"description":"still there"}`).want(200)
	if got := f.call("GET", "/v1/organization/secrets", "").want(200).list("secrets"); len(got) != 1 {
		t.Errorf("%d secrets are listed, want 1", len(got))
	}
	f.call("PATCH", "/v1/organization", `{"name":"Acme"}`).want(200)
	f.call("DELETE", "/v1/organization/secrets/TOKEN", "").want(200)
}

// No route shows a secret that a run was started with.
func TestNoRouteShowsASecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const value = `hunter2/"hunter2" é`
	text, _ := json.Marshal(map[string]string{"secretName": "TOKEN", "secretValue": value})
	f.call("POST", "/v1/organization/secrets", string(text)).want(201)
	f.define(`{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"WEBHOOK",
		"url":"https://example.com/{{ .secrets.TOKEN | @uri }}","headers":{"Authorization":"Basic {{ (\"u:\" + .secrets.TOKEN) | @base64 }}"},
		"body":{"t":"{{ .secrets.TOKEN }}","all":"{{ .secrets }}","fails":"{{ .secrets.TOKEN | fromjson }}"}}}`)
	g := f.call("POST", "/v1/actions/deploy/runs", `{}`).want(202)
	id := g.at("run", "id").(string)
	shown := string(g.text) + string(f.call("POST", "/v1/actions/deploy/runs?dry_run=true", `{}`).want(200).text)
	for _, path := range []string{"/v1/actions/runs", "/v1/actions/runs/" + id, "/v1/actions/runs/" + id + "/logs", "/v1/actions/runs/" + id + "/attempts",
		"/v1/actions/deploy", "/v1/actions", "/v1/organization/secrets", "/v1/organization/secrets/TOKEN", "/v1/organization", "/v1/audit-log"} {
		shown += string(f.call("GET", path, "").want(200).text)
	}
	shown += string(f.call("POST", "/v1/jq", `{"expression":".secrets","data":{}}`).want(200).text) + f.log.String()
	for _, m := range f.sent.messages {
		line, _ := json.Marshal(m)
		shown += string(line)
	}
	if got := f.call("GET", "/v1/actions/runs/"+id, "").text; !bytes.Contains(got, []byte(sealing.Hidden)) {
		t.Errorf("the run does not show that there was a secret: %s", got)
	}
	for _, sight := range []string{value, url.QueryEscape(value), url.PathEscape(value), base64.StdEncoding.EncodeToString([]byte(value)), string(text[len(text)-20:])} {
		if strings.Contains(shown, sight) {
			t.Errorf("%q shows in %s", sight, shown)
		}
	}
	if mask := sealing.NewMask([]string{value}); mask.Text(shown) != shown {
		t.Errorf("the secret shows: %s", mask.Text(shown))
	}
}

func newFixtureLog(f *fixture) *slog.Logger {
	return slog.New(logline.Handler(slog.NewJSONHandler(f.log, nil)))
}
