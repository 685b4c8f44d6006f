package api_test

import (
	"strings"
	"testing"
)

// caller-bound datasets: a service of one's own team, in the language that the form or the team's name says,
// nested in groups, for a single input and for the items of a list.
const owned = `{"identifier":"own","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{` +
	`"language":{"type":"string"},"one":{"type":"string","format":"entity","blueprint":"service","dataset":DATASET},` +
	`"many":{"type":"array","items":{"type":"string","format":"entity","blueprint":"service","dataset":DATASET}},` +
	`"mail":{"type":"string","format":"email"},"code":{"type":"string","pattern":"^(?<first>[A-Z])(?=\\d)(?!0)\\d+(?<=7)\\k<first>$"},` +
	`"secret":{"type":"string","visible":{"jqQuery":".form.mail != null"}}},"required":["secret"]}},` +
	`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","body":{"i":"{{ .inputs }}"}}}`

const ownDataset = `{"combinator":"and","rules":[` +
	`{"property":"$team","operator":"containsAny","value":{"context":"user","property":"$team"}},` +
	`{"combinator":"or","rules":[{"property":"language","operator":"=","value":{"jqQuery":".form.language"}},` +
	`{"combinator":"and","rules":[{"property":"language","operator":"in","value":{"context":"userTeams","property":"$identifier"}},` +
	`{"property":"$identifier","operator":"!=","value":{"jqQuery":".user.email + 'x'"}}]}]}]}`

// What a dataset says of who asks is judged by who the run is by: the user, or the one whom run_as names.
func TestDatasetsKnowWhoAsks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	for _, team := range []string{"ops", "dev"} {
		f.call("POST", "/v1/blueprints/_team/entities", `{"identifier":"`+team+`","title":"Team `+team+`"}`).want(201)
	}
	f.entity("service", `{"identifier":"cart","team":["ops"],"properties":{"language":"Go"}}`)
	f.entity("service", `{"identifier":"named","team":["Team ops"],"properties":{"language":"ops"}}`)
	f.entity("service", `{"identifier":"till","team":["dev"],"properties":{"language":"Go"}}`)
	f.entity("service", `{"identifier":"free","properties":{"language":"Go"}}`)
	ada, bob := f.as("ada@example.com", `{}`, "ops"), f.as("bob@example.com", `{}`, "dev")
	lone := f.as("lone@example.com", `{"port_role":"Admin"}`)
	f.define(strings.ReplaceAll(owned, "DATASET", ownDataset))
	callers := map[string]func(body string) *got{}
	for name, as := range map[string]*fixture{"ada": ada, "bob": bob, "lone": lone, "machine": f} {
		callers[name] = func(body string) *got { return as.call("POST", "/v1/actions/own/runs", body) }
		if as != f {
			callers["as "+name] = func(body string) *got {
				return f.call("POST", "/v1/actions/own/runs?run_as="+name+"@example.com", body)
			}
		}
	}
	want := map[string]string{
		"ada cart Go": "in", "ada cart Rust": "", "ada named Rust": "in", "ada till Go": "", "ada free Go": "",
		"bob till Go": "in", "bob cart Go": "", "bob named Rust": "", "lone cart Go": "", "lone free Go": "", "machine cart Go": "", "machine free Go": "",
	}
	for test, in := range want {
		words := strings.Fields(test)
		for _, as := range []string{"", "as "} {
			call := callers[as+words[0]]
			if call == nil {
				continue
			}
			before := f.snapshot()
			g := call(`{"properties":{"secret":"x","language":"` + words[2] + `","one":"` + words[1] + `","many":["` + words[1] + `"]}}`)
			if in != "" {
				if g.status != 202 {
					t.Errorf("%s%s: got %d %s, want it in the dataset", as, test, g.status, g.text)
				}
				continue
			}
			g.fault(422, "invalid_request")
			g.namesAll([]string{"properties.many[0]", "properties.one"})
			f.unchanged(before)
		}
	}
	// A rule whose query fails refuses the value, and everything else that is wrong is said with it.
	f.define(strings.Replace(strings.ReplaceAll(owned, "DATASET", strings.Replace(ownDataset, ".form.language", ".form.language | keys", 1)), `"own"`, `"broken"`, 1))
	before := f.snapshot()
	g := ada.call("POST", "/v1/actions/broken/runs", `{"properties":{"language":"Go","one":"cart","many":["cart","nothing"],"mail":"a@","code":"A017A"}}`)
	g.fault(422, "invalid_request")
	g.namesAll([]string{"properties.code", "properties.mail", "properties.many[0]", "properties.many[1]", "properties.one", "properties.secret"})
	f.unchanged(before)
	// What is required is not while it cannot be seen.
	ada.call("POST", "/v1/actions/own/runs", `{"properties":{"code":"A107A"}}`).want(202)
	ada.call("POST", "/v1/actions/own/runs", `{"properties":{"mail":"a@example.com"}}`).names("properties.secret")
}
