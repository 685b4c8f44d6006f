package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/fault"
)

// Bad input gets a clear answer, and nothing of it is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	ended := f.start()
	f.call("PATCH", "/v1/actions/runs/"+ended, `{"status":"SUCCESS"}`).want(200)
	f.define(automation)
	f.define(strings.Replace(deploy, `"deploy"`, `"off","publish":false`, 1))
	before := f.snapshot()

	const (
		invalid = "invalid_request"
		actions = "/v1/actions"
		runs    = "/v1/actions/deploy/runs"
	)
	one, logs := "/v1/actions/runs/"+id, "/v1/actions/runs/"+id+"/logs"
	change := func(old, new string) string {
		t.Helper()
		other := strings.Replace(deploy, `"deploy"`, `"other"`, 1)
		if !strings.Contains(other, old) {
			t.Fatalf("the definition has no %s", old)
		}
		return strings.Replace(other, old, new, 1)
	}
	tests := map[string]struct {
		method, target, body string
		status               int
		word                 string
		// path is that of one of the details, empty for none; holds is in the message.
		path, holds string
	}{
		"malformed JSON": {"POST", runs, `{"properties":{"service":"a"}`, 422, invalid, "", "at byte 29"},
		"no JSON":        {"POST", runs, `service=a`, 422, invalid, "", "malformed JSON at byte 0"},
		"no body":        {"POST", runs, ``, 422, invalid, "", "malformed JSON at byte 0"},
		"two values":     {"POST", runs, `{}{}`, 422, invalid, "", "at byte 2"},
		"invalid UTF-8":  {"POST", runs, "{\"properties\":{\"service\":\"\xff\"}}", 422, invalid, "", "invalid UTF-8"},
		"a BOM":          {"POST", runs, "\ufeff{}", 422, invalid, "", "malformed JSON at byte 0"},
		"too deep":       {"POST", runs, strings.Repeat(`{"properties":`, 100_000) + "1" + strings.Repeat("}", 100_000), 413, "payload_too_large", "", "1048576"},
		"deep":           {"POST", runs, strings.Repeat(`[`, 500_000), 422, invalid, "", "deep"},
		"a list":         {"POST", runs, `[]`, 422, invalid, "", "must be a JSON object"},
		"null":           {"POST", runs, `null`, 422, invalid, "", "must be a JSON object"},
		"unknown field":  {"POST", runs, `{"properties":{"service":"a"},"inputs":{}}`, 422, invalid, "inputs", "is not a member"},
		"long unknown field": {"POST", runs, `{"properties":{"service":"a"},"` + strings.Repeat("é", 300_000) + `":{}}`, 422, invalid,
			strings.Repeat("é", 100) + "…", "is not a member"},
		"properties of a wrong type": {"POST", runs, `{"properties":[]}`, 422, invalid, "properties", "must be an object"},
		"entity of a wrong type":     {"POST", runs, `{"properties":{"service":"a"},"entity":1}`, 422, invalid, "entity", "must be a string"},
		"body over 1 MiB":            {"POST", runs, `{"properties":{"service":"` + strings.Repeat("a", api.MaxBody) + `"}}`, 413, "payload_too_large", "", "1048576"},
		"unknown action":             {"POST", "/v1/actions/none/runs", `{"properties":{}}`, 404, "not_found", "", "none"},
		"missing required input":     {"POST", runs, `{"properties":{}}`, 422, invalid, "properties.service", "service"},
		"no properties":              {"POST", runs, `{}`, 422, invalid, "properties.service", "service"},
		"input of a wrong type":      {"POST", runs, `{"properties":{"service":1}}`, 422, invalid, "properties.service", "service"},
		"run_as of nobody":           {"POST", runs + "?run_as=a@example.com", `{"properties":{"service":"a"}}`, 422, invalid, "run_as", "no active user"},
		"run_as that is no e-mail":   {"POST", runs + "?run_as=ada", `{"properties":{"service":"a"}}`, 422, invalid, "run_as", "an e-mail address"},
		"an empty run_as":            {"POST", runs + "?run_as=", `{"properties":{"service":"a"}}`, 422, invalid, "run_as", "one e-mail address"},
		"two run_as":                 {"POST", runs + "?run_as=a@example.com&run_as=b@example.com", `{"properties":{"service":"a"}}`, 422, invalid, "run_as", "one e-mail address"},
		"an automation":              {"POST", "/v1/actions/watch/runs", `{}`, 422, invalid, "", "automation"},
		"not published":              {"POST", "/v1/actions/off/runs", `{"properties":{"service":"a"}}`, 422, invalid, "", "not published"},
		"action of 400 bytes":        {"POST", "/v1/actions/" + strings.Repeat("a", 400) + "/runs", `{}`, 404, "not_found", "", "no such action"},
		"action with a slash":        {"POST", "/v1/actions/a%2Fb/runs", `{}`, 404, "not_found", "", "a/b"},
		"action of dots":             {"POST", "/v1/actions/../runs", `{}`, 404, "not_found", "", "no such route"},

		"definition malformed":        {"POST", actions, deploy[:100], 422, invalid, "", "at byte 100"},
		"definition is a list":        {"POST", actions, `[]`, 422, invalid, "", "object"},
		"definition over 1 MiB":       {"POST", actions, change(`"Deploy"`, `"`+strings.Repeat("x", api.MaxBody)+`"`), 413, "payload_too_large", "", "1048576"},
		"definition over 350 KiB":     {"POST", actions, change(`"Deploy"`, `"`+strings.Repeat("x", 350<<10)+`"`), 422, invalid, "", "358400"},
		"definition's unknown field":  {"POST", actions, change(`"title"`, `"titel"`), 422, invalid, "titel", ""},
		"unknown field further down":  {"POST", actions, change(`"url"`, `"urls"`), 422, invalid, "invocationMethod.urls", ""},
		"title of a wrong type":       {"POST", actions, change(`"Deploy"`, `1`), 422, invalid, "title", ""},
		"unbalanced braces":           {"POST", actions, change(`"{{ .inputs.service }}"`, `"é {{ .inputs.service }"`), 422, invalid, "invocationMethod.body.service", ""},
		"nested braces":               {"POST", actions, change(`"{{ .inputs.service }}"`, `"{{ a {{ b }} }}"`), 422, invalid, "invocationMethod.body.service", ""},
		"no identifier":               {"POST", actions, change(`"identifier":"other",`, ``), 422, invalid, "identifier", ""},
		"identifier with a slash":     {"POST", actions, change(`"other"`, `"a/b"`), 422, invalid, "identifier", ""},
		"identifier of dots":          {"POST", actions, change(`"other"`, `".."`), 422, invalid, "identifier", ""},
		"identifier that is a route":  {"POST", actions, change(`"other"`, `"runs"`), 422, invalid, "identifier", ""},
		"identifier of 400 bytes":     {"POST", actions, change(`"other"`, `"`+strings.Repeat("a", 400)+`"`), 422, invalid, "identifier", ""},
		"identifier that is taken":    {"POST", actions, deploy, 409, "identifier_taken", "", "deploy"},
		"rename to one that is taken": {"PUT", "/v1/actions/off", deploy, 409, "identifier_taken", "", "deploy"},
		"PUT of an unknown action":    {"PUT", "/v1/actions/none", deploy, 404, "not_found", "", "none"},
		"PUT of 400 bytes":            {"PUT", "/v1/actions/" + strings.Repeat("a", 400), deploy, 404, "not_found", "", "no such action"},
		"PUT of a bad definition":     {"PUT", "/v1/actions/deploy", `{"identifier":"deploy"}`, 422, invalid, "trigger", ""},
		"DELETE of an unknown action": {"DELETE", "/v1/actions/none", ``, 404, "not_found", "", "none"},
		"DELETE of two dots":          {"DELETE", "/v1/actions/..", ``, 404, "not_found", "", "no such route"},
		"DELETE of 5,000 bytes":       {"DELETE", "/v1/actions/" + strings.Repeat("a", 5000), ``, 404, "not_found", "", "no such action"},

		"unknown permission":            {"PATCH", "/v1/actions/deploy/permissions", `{"delete":{}}`, 422, invalid, "delete", "execute and approve"},
		"permission of a wrong type":    {"PATCH", "/v1/actions/deploy/permissions", `{"execute":{"roles":"Admin"}}`, 422, invalid, "execute.roles", "array of strings"},
		"policy without a rule's value": {"PATCH", "/v1/actions/deploy/permissions", `{"approve":{"policy":{"queries":{"q":{"combinator":"and","rules":[{"property":"a","operator":"="}]}}}}}`, 422, invalid, "approve.policy.queries.q.rules[0].value", ""},
		"permissions of no action":      {"PATCH", "/v1/actions/none/permissions", `{}`, 404, "not_found", "", "none"},

		"run already ended":      {"PATCH", "/v1/actions/runs/" + ended, `{"status":"FAILURE"}`, 422, "run_already_ended", "", ended},
		"PATCH of no run":        {"PATCH", "/v1/actions/runs/r_0000000000000000", `{}`, 404, "not_found", "", ""},
		"unknown status":         {"PATCH", one, `{"status":"DONE"}`, 422, invalid, "status", "SUCCESS, FAILURE, IN_PROGRESS"},
		"status DECLINED":        {"PATCH", one, `{"status":"DECLINED"}`, 422, invalid, "status", ""},
		"status of a wrong type": {"PATCH", one, `{"status":true}`, 422, invalid, "status", "must be a string"},
		"empty status":           {"PATCH", one, `{"status":""}`, 422, invalid, "status", ""},
		"unknown report":         {"PATCH", one, `{"status":"SUCCESS","progress":1}`, 422, invalid, "progress", ""},
		"label too long":         {"PATCH", one, `{"statusLabel":"` + strings.Repeat("é", 150) + `x"}`, 422, invalid, "statusLabel", "300 bytes"},
		"summary too long":       {"PATCH", one, `{"summary":"` + strings.Repeat("s", 64<<10) + `s"}`, 422, invalid, "summary", "65536"},
		"external id too long":   {"PATCH", one, `{"externalRunId":"` + strings.Repeat("1", 501) + `"}`, 422, invalid, "externalRunId", "500"},
		"link is a number":       {"PATCH", one, `{"link":1}`, 422, invalid, "link", "string or an array"},
		"link is an object":      {"PATCH", one, `{"link":{}}`, 422, invalid, "link", "string or an array"},
		"link in a link":         {"PATCH", one, `{"link":["a",["b"]]}`, 422, invalid, "link[1]", "must be a string"},
		"link too long":          {"PATCH", one, `{"link":"` + strings.Repeat("é", 2001) + `"}`, 422, invalid, "link", "2000"},
		"one link too long":      {"PATCH", one, `{"link":["a","` + strings.Repeat("b", 2001) + `"]}`, 422, invalid, "link[1]", "2000"},
		"too many links":         {"PATCH", one, `{"link":[` + strings.Repeat(`"a",`, 20) + `"a"]}`, 422, invalid, "link", "20"},
		"message is a string":    {"PATCH", one, `{"message":"m"}`, 422, invalid, "message", "object"},
		"several faults at once": {"PATCH", one, `{"status":"X","link":1,"y":2}`, 422, invalid, "y", "link: must be a string or an array of strings\n"},

		"approval without status":        {"PATCH", one + "/approval", `{}`, 422, invalid, "status", "required"},
		"approval with a wrong status":   {"PATCH", one + "/approval", `{"status":"APPROVED"}`, 422, invalid, "status", "APPROVE, DECLINE"},
		"approval with a number":         {"PATCH", one + "/approval", `{"status":1}`, 422, invalid, "status", "must be a string"},
		"approval, description a list":   {"PATCH", one + "/approval", `{"status":"APPROVE","description":[]}`, 422, invalid, "description", "must be a string"},
		"approval, long description":     {"PATCH", one + "/approval", `{"status":"APPROVE","description":"` + strings.Repeat("é", 2048) + `x"}`, 422, invalid, "description", "4096"},
		"approval, unknown field":        {"PATCH", one + "/approval", `{"status":"APPROVE","by":"usr_1"}`, 422, invalid, "by", "is not a member"},
		"approval of no run":             {"PATCH", "/v1/actions/runs/r_0000000000000000/approval", `{"status":"APPROVE"}`, 404, "not_found", "", ""},
		"approval of a notice":           {"PATCH", "/v1/actions/runs/d_0000000000000000/approval", `{"status":"APPROVE"}`, 404, "not_found", "", ""},
		"approval that nobody waits for": {"PATCH", one + "/approval", `{"status":"APPROVE"}`, 422, "run_not_waiting_for_approval", "", "IN_PROGRESS"},
		"approvers of no run":            {"GET", "/v1/actions/runs/r_0000000000000000/approvers", ``, 404, "not_found", "", ""},

		"log without message":     {"POST", logs, `{}`, 422, invalid, "message", "required"},
		"log message null":        {"POST", logs, `{"message":null}`, 422, invalid, "message", "required"},
		"log message of a number": {"POST", logs, `{"message":1}`, 422, invalid, "message", "must be a string"},
		"log message too long":    {"POST", logs, `{"message":"` + strings.Repeat("m", 64<<10) + `m"}`, 422, invalid, "message", "65536"},
		"log label too long":      {"POST", logs, `{"message":"m","statusLabel":"` + strings.Repeat("l", 301) + `"}`, 422, invalid, "statusLabel", "300"},
		"log with a wrong end":    {"POST", logs, `{"message":"m","terminationStatus":"IN_PROGRESS"}`, 422, invalid, "terminationStatus", "SUCCESS, FAILURE"},
		"log with a wrong field":  {"POST", logs, `{"message":"m","level":"info"}`, 422, invalid, "level", ""},
		"log of no run":           {"POST", "/v1/actions/runs/r_0000000000000000/logs", `{"message":"m"}`, 404, "not_found", "", ""},
		"end of no run":           {"POST", "/v1/actions/runs/r_0000000000000000/logs", `{"message":"m","terminationStatus":"SUCCESS"}`, 404, "not_found", "", ""},
		"log of dots":             {"POST", "/v1/actions/runs/../logs", `{"message":"m"}`, 404, "not_found", "", "no such route"},

		"limit 0":              {"GET", "/v1/actions/runs?limit=0", ``, 422, invalid, "limit", "from 1 to 1000"},
		"limit 1001":           {"GET", "/v1/actions/runs?limit=1001", ``, 422, invalid, "limit", "from 1 to 1000"},
		"limit -1":             {"GET", "/v1/actions/runs?limit=-1", ``, 422, invalid, "limit", "from 1 to 1000"},
		"limit is no number":   {"GET", "/v1/actions/runs?limit=ten", ``, 422, invalid, "limit", "from 1 to 1000"},
		"limit is half":        {"GET", "/v1/actions/runs?limit=1.5", ``, 422, invalid, "limit", "from 1 to 1000"},
		"limit is empty":       {"GET", "/v1/actions/runs?limit=", ``, 422, invalid, "limit", "from 1 to 1000"},
		"dry run is a number":  {"POST", "/v1/actions/deploy/runs?dry_run=1", `{"properties":{},"x":1}`, 422, invalid, "dry_run", "x: "},
		"from is no run":       {"GET", "/v1/actions/runs?from=x", ``, 422, invalid, "from", "id of a run"},
		"log limit 51":         {"GET", logs + "?limit=51", ``, 422, invalid, "limit", "from 1 to 50"},
		"log offset -1":        {"GET", logs + "?offset=-1", ``, 422, invalid, "offset", "from 0"},
		"log offset too large": {"GET", logs + "?offset=99999999999999999999", ``, 422, invalid, "offset", "from 0"},
		"log after is no line": {"GET", logs + "?after=x&offset=y", ``, 422, invalid, "after", "id of a log line"},
		"logs of no run":       {"GET", "/v1/actions/runs/r_0000000000000000/logs", ``, 404, "not_found", "", ""},

		"audit limit 0":          {"GET", "/v1/audit-log?limit=0", ``, 422, invalid, "limit", "from 1 to 1000"},
		"audit limit 1001":       {"GET", "/v1/audit-log?limit=1001", ``, 422, invalid, "limit", "from 1 to 1000"},
		"audit limit a word":     {"GET", "/v1/audit-log?limit=all", ``, 422, invalid, "limit", "from 1 to 1000"},
		"audit from a day":       {"GET", "/v1/audit-log?from=2026-01-31", ``, 422, invalid, "from", "RFC 3339"},
		"audit to a word":        {"GET", "/v1/audit-log?to=now&from=2026-01-31T00:00:00Z", ``, 422, invalid, "to", "RFC 3339"},
		"audit from in February": {"GET", "/v1/audit-log?from=2026-02-30T00:00:00Z", ``, 422, invalid, "from", "RFC 3339"},
		"audit next of a run":    {"GET", "/v1/audit-log?next=r_0000000000000000", ``, 422, invalid, "next", "the next of an answer"},
		"audit next in small":    {"GET", "/v1/audit-log?next=01jd0000000000000000000000", ``, 422, invalid, "next", "the next of an answer"},
		"audit, faults together": {"GET", "/v1/audit-log?from=x&to=y&limit=z&next=n", ``, 422, invalid, "next", "to: must be"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call(test.method, test.target, test.body)
			message := g.fault(test.status, test.word)
			if !strings.Contains(message, test.holds) {
				t.Errorf("got message %.300q, want it to hold %q", message, test.holds)
			}
			g.names(test.path)
			f.unchanged(before)
		})
	}
}

// The position of a brace is in UTF-16 units of the string that it stands in.
func TestUnbalancedBracesAreShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	definition := strings.Replace(deploy, `"{{ .inputs.service }}"`, `"𝒳é {{ .inputs.service"`, 1)
	g := f.call("POST", "/v1/actions", definition)
	g.fault(422, "invalid_request")
	details := g.list("details")
	if len(details) != 1 {
		t.Fatalf("got %s, want one detail", g.text)
	}
	detail := details[0].(map[string]any)
	if detail["path"] != "invocationMethod.body.service" || detail["position"] != 4.0 {
		t.Errorf("got %v, want position 4", detail)
	}
}

func TestBadIdempotencyKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	before := f.snapshot()
	for name, keys := range map[string][]string{
		"empty": {""}, "too long": {strings.Repeat("k", 256)}, "a tab": {"a\tb"}, "two": {"a", "b"}, "invalid UTF-8": {"\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			r := request("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"a"}}`, f.token)
			r.Header["Idempotency-Key"] = keys
			g := f.do(r, nil)
			g.fault(422, "invalid_request")
			if path := g.list("details")[0].(map[string]any)["path"]; path != "Idempotency-Key" {
				t.Errorf("got path %v", path)
			}
			f.unchanged(before)
		})
	}
}

// Faults of the body and of the header come together.
func TestAllFaultsOfAStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	g := f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"count":"x"}}`, "Idempotency-Key", strings.Repeat("k", 256))
	g.fault(422, "invalid_request")
	var paths []string
	for _, d := range g.list("details") {
		paths = append(paths, d.(map[string]any)["path"].(string))
	}
	if diff := cmp.Diff([]string{"Idempotency-Key", "properties.count", "properties.service"}, sorted(paths)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

// A body that says nothing about its length is cut off at the limit as well.
func TestBodyOfUnknownLength(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := request("POST", "/v1/jq", `{"expression":"`+strings.Repeat(" ", api.MaxBody)+`."}`, f.token)
	r.ContentLength = -1
	f.do(r, nil).fault(http.StatusRequestEntityTooLarge, "payload_too_large")
	full := `{"expression":".","data":"` + strings.Repeat("x", 1000) + `"}`
	full += strings.Repeat(" ", api.MaxBody-len(full))
	f.call("POST", "/v1/jq", full).want(200)
	f.call("POST", "/v1/jq", full+" ").fault(413, "payload_too_large")
}

func TestEveryFaultHasAStatus(t *testing.T) {
	t.Parallel()
	tests := map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 422, fault.Unauthorized: 401, fault.NotFound: 404,
		fault.Conflict: 409, fault.TooLarge: 413, fault.Unavailable: 503,
	}
	for kind, status := range tests {
		s := &starter{err: fault.New(kind, "", "what went wrong")}
		f := newFixture(t, func(c *api.Config) { c.Starter = s })
		g := f.call("POST", "/v1/actions/deploy/runs", `{}`).want(status)
		want := "what went wrong"
		if kind == fault.Internal {
			want = "internal error"
		}
		if g.at("message") != want {
			t.Errorf("got message %v, want %s", g.at("message"), want)
		}
	}
}
