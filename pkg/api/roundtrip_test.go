package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part is the fixture for a subtest.
func (f *fixture) part(t *testing.T) *fixture {
	part := *f
	part.t = t
	return &part
}

// Forms that actions keep apart, and what they are sent without; each stands where %s does.
const (
	selfService = `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},"invocationMethod":{"type":"KAFKA"},%s}`
	withInput   = `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"x":{%s}}}},"invocationMethod":{"type":"KAFKA"}}`
	withInputs  = `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"x":{"type":"string"}},%s}},"invocationMethod":{"type":"KAFKA"}}`
	withMethod  = `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},"invocationMethod":{%s}}`
	withTrigger = `{"identifier":"a","trigger":{%s},"invocationMethod":{"type":"KAFKA"}}`
	firstMethod = `{"identifier":"a","trigger":"CREATE","userInputs":{"properties":{}},"invocationMethod":{%s}}`
)

// actionForms are definitions, each with all that an answer must have of it: no default is added, and
// forms that mean the same come back as they were sent.
func actionForms(t *testing.T) map[string]string {
	forms := map[string]string{}
	for form, members := range map[string][]string{
		selfService: {
			`"requiredApproval":true`, `"requiredApproval":false`, `"requiredApproval":{"type":"ANY"}`, `"requiredApproval":{"type":"ALL"}`,
			`"approvalNotification":{"type":"email"}`, `"approvalNotification":{"type":"webhook","format":"json","url":"https://example.com"}`,
			`"publish":true`, `"publish":false`, `"allowAnyoneToViewRuns":true`, `"allowAnyoneToViewRuns":false`,
			`"title":"","icon":"","description":""`,
		},
		withInput: {
			`"type":"string"`, `"type":"string","encryption":"aes256-gcm"`, `"type":"string","encryption":{"algorithm":"aes256-gcm"}`,
			`"type":"string","default":""`, `"type":"string","default":{"jqQuery":".form.y"}`,
			`"type":"string","enum":["b","a"]`, `"type":"string","enum":{"jqQuery":"[\"a\"]"}`, `"type":"string","enum":[],"enumColors":{}`,
			`"type":"string","pattern":"^a"`, `"type":"string","pattern":{"jqQuery":"\"^a\""}`,
			`"type":"string","visible":true`, `"type":"string","visible":false`, `"type":"string","visible":{"jqQuery":"true"}`,
			`"type":"string","disabled":false`, `"type":"string","disabled":{"jqQuery":"false"}`, `"type":"string","dependsOn":[]`,
			`"type":"array"`, `"type":"array","items":{}`, `"type":"array","items":{"type":"string","default":"kept"},"minItems":0`,
			`"type":"array","minItems":{"jqQuery":"1"},"maxItems":{"jqQuery":"2"},"sort":{"property":"p","order":"DESC"}`,
			`"type":"string","format":"entity","blueprint":"service","dataset":{"combinator":"and","rules":[{"property":"$team","operator":"containsAny","value":{"jqQuery":"[\"a\"]"}},` +
				`{"combinator":"or","rules":[{"property":"p","operator":"=","value":["b","a"]},{"property":"p","operator":"=","value":"{{ .inputs.y }}"}]}]}`,
			`"type":"object","title":"","description":"","properties":{},"required":[]`,
			`"type":"boolean","default":false`, `"type":"number","default":0,"minimum":0,"exclusiveMaximum":1.5`,
		},
		withInputs: {
			`"required":[]`, `"required":["x"]`, `"required":{"jqQuery":"[\"x\"]"}`, `"order":[]`, `"order":["x"]`,
			`"titles":{}`, `"titles":{"t":{"title":"T","description":"","visible":{"jqQuery":"true"}}},"order":["t","x"]`,
			`"steps":[{"title":"One","order":["x"]}]`, `"steps":[{"title":"One","order":["x"],"visible":{"jqQuery":"true"}},{"title":"Two","order":[],"visible":true}]`,
		},
		withMethod: {
			`"type":"WEBHOOK","url":"https://example.com"`,
			`"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{}`,
			`"type":"WEBHOOK","url":"https://example.com","agent":"{{ .inputs.x }}","synchronized":"true","headers":{"b":"1","a":""},"body":[]`,
			`"type":"GITHUB","org":"o","repo":"r","workflow":"w.yml"`,
			`"type":"GITHUB","org":"o","repo":"r","workflow":"w.yml","workflowInputs":{},"reportWorkflowStatus":true`,
			`"type":"INTEGRATION_ACTION","installationId":"1","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w.yml"}`,
			`"type":"GITLAB","projectName":"p","groupName":"g"`, `"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"","pipelineVariables":{}`,
			`"type":"AZURE_DEVOPS","webhook":"w","org":"o"`, `"type":"AZURE_DEVOPS","webhook":"w","org":"o","payload":{}`,
			`"type":"KAFKA"`, `"type":"KAFKA","payload":[]`, `"type":"KAFKA","payload":{"{{ .a }}":"{{ .b }}"}`,
			`"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{}`,
			`"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"i","title":"","team":"{{ .inputs.team }}","icon":"","properties":{},"relations":{}}`,
			`"type":"UPSERT_ENTITY","blueprintIdentifier":"{{ .inputs.x }}","mapping":{"team":["{{ .inputs.team }}"],"properties":{"p":"{{ .inputs }}"}}`,
		},
		withTrigger: {
			`"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service","userInputs":{"properties":{}}`,
			`"type":"self-service","operation":"DELETE","blueprintIdentifier":"service","userInputs":{"properties":{}},"condition":{"type":"SEARCH","rules":[],"combinator":"or"}`,
			`"type":"self-service","operation":"DELETE","userInputs":{"properties":{}},"actionCardButtonText":"Do","executeActionButtonText":"Go"`,
			`"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":"service"}`,
			`"type":"automation","event":{"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"},"condition":{"type":"JQ","expressions":[]}`,
			`"type":"automation","event":{"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"service","propertyIdentifier":"p"},"condition":{"type":"JQ","expressions":["true","b"],"combinator":"or"}`,
			`"type":"automation","event":{"type":"RUN_UPDATED","actionIdentifier":"a"}`,
		},
		firstMethod: {
			`"type":"WEBHOOK","url":"https://example.com"`, `"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":true,"method":"PUT"`,
			`"type":"GITHUB","org":"o","repo":"r","workflow":"w.yml"`, `"type":"GITHUB","org":"o","repo":"r","workflow":"w.yml","omitPayload":false,"omitUserInputs":false,"reportWorkflowStatus":true`,
			`"type":"GITLAB","projectName":"p","groupName":"g"`, `"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"main","omitPayload":true,"omitUserInputs":true,"agent":true`,
			`"type":"AZURE-DEVOPS","org":"o","webhook":"w"`, `"type":"KAFKA"`,
		},
	} {
		for _, m := range members {
			forms[m+" "+form[:40]] = fmt.Sprintf(form, m)
		}
	}
	files, err := filepath.Glob("../action/testdata/view/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of definitions, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		forms[filepath.Base(file)] = string(text)
	}
	return forms
}

// Each definition is answered as it was sent by each route, and a second PUT of it moves nothing but
// the time of the change.
func TestActionsRoundTrip(t *testing.T) {
	t.Parallel()
	forms := actionForms(t)
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.call("POST", "/v1/blueprints", `{"identifier":"org/repo","title":"R","schema":{"properties":{}}}`).want(201)
		for name, sent := range forms {
			f.t.Run(name, func(t *testing.T) {
				f := f.part(t)
				want := decoded(t, sent)
				// The answer always has them.
				if trigger, isObject := within(want, "trigger"); isObject && trigger["type"] == "self-service" {
					inputs, _ := within(trigger, "userInputs")
					if inputs == nil {
						inputs = map[string]any{}
						trigger["userInputs"] = inputs
					}
					if inputs["properties"] == nil {
						inputs["properties"] = map[string]any{}
					}
				}
				target := "/v1/actions/" + want["identifier"].(string)
				created := f.call("POST", "/v1/actions", sent).want(201)
				read := f.call("GET", target, "").want(200)
				listed := f.call("GET", "/v1/actions", "").want(200).list("actions")
				replaced := f.call("PUT", target, sent).want(200)
				for way, got := range map[string]any{"POST": created.at("action"), "GET": read.at("action"), "list": listed[0], "PUT": replaced.at("action")} {
					if diff := cmp.Diff(want, without(t, got)); diff != "" {
						t.Errorf("%s (-sent +got):\n%s", way, diff)
					}
				}
				for _, kept := range []string{"id", "createdAt", "createdBy"} {
					if created.at("action", kept) != replaced.at("action", kept) {
						t.Errorf("%s: got %v, want %v", kept, replaced.at("action", kept), created.at("action", kept))
					}
				}
				// A read moves nothing.
				if diff := cmp.Diff(replaced.at("action"), f.call("GET", target, "").want(200).at("action")); diff != "" {
					t.Errorf("(-PUT +GET):\n%s", diff)
				}
				f.call("DELETE", target, "").want(200)
			})
		}
	})
}

// within is the object at a path of members.
func within(v any, path ...string) (map[string]any, bool) {
	for _, name := range path {
		o, isObject := v.(map[string]any)
		if !isObject {
			return nil, false
		}
		v = o[name]
	}
	o, isObject := v.(map[string]any)
	return o, isObject
}

// A PUT may make anything of an action: another kind, generation and identifier.
func TestActionReplacedByAnother(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		created := f.define(deploy)
		identifier := "deploy"
		for _, next := range []string{automation, older, kafka, deploy} {
			want := decoded(f.t, next)
			g := f.call("PUT", "/v1/actions/"+identifier, next).want(200)
			if diff := cmp.Diff(want, without(f.t, g.at("action"))); diff != "" {
				f.t.Errorf("(-sent +got):\n%s", diff)
			}
			for _, kept := range []string{"id", "createdAt", "createdBy"} {
				if g.at("action", kept) != created.at("action", kept) {
					f.t.Errorf("%s: got %v, want %v", kept, g.at("action", kept), created.at("action", kept))
				}
			}
			f.call("GET", "/v1/actions/"+identifier, "").fault(404, "not_found")
			identifier = want["identifier"].(string)
		}
	})
}

// blueprintForms are blueprints, each with optional members in one way.
var blueprintForms = []string{
	``, `"icon":null,"description":null,"ownership":null,"teamInheritance":null,"changelogDestination":null`,
	`"icon":"","description":""`, `"relations":{},"mirrorProperties":{},"calculationProperties":{},"aggregationProperties":{}`,
	`"relations":{"system":{"target":"system","many":false,"required":false,"title":""},"all":{"target":"x","many":true,"required":false}}`,
	`"mirrorProperties":{"m":{"title":"","path":"nothing.at.all"}}`,
	`"calculationProperties":{"c":{"type":"string","calculation":".a |","title":"","colorized":true,"colors":{"a":"red"}},"d":{"type":"array","calculation":"[]","items":{"type":"string"}}}`,
	`"aggregationProperties":{"a":{"title":"A","target":"system","calculationSpec":{"func":"count","calculationBy":"entities"}}}`,
	`"ownership":{"type":"Direct"}`, `"ownership":{"type":"Direct","title":""}`, `"ownership":{"type":"Inherited","path":"system","title":"Owner"},"teamInheritance":{"path":"none"}`,
	`"includeInGlobalSearch":false`, `"includeInGlobalSearch":true`,
	`"changelogDestination":{"type":"WEBHOOK","url":"https://example.com","agent":false}`, `"changelogDestination":{"type":"KAFKA"}`,
}

// A blueprint is answered as it was sent by each route: what was not sent is not there, or null, but for
// the groups, which are empty, and for what relations are when they do not say it.
func TestBlueprintsRoundTrip(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.call("POST", "/v1/blueprints", systems).want(201)
		for _, members := range blueprintForms {
			f.t.Run(members, func(t *testing.T) {
				f := f.part(t)
				sent := `{"identifier":"x","title":"X","schema":{"properties":{"a":{"type":"string","default":"","enum":["b","a"],"enumColors":{}}},"required":[]}}`
				if members != "" {
					sent = strings.TrimSuffix(sent, "}") + "," + members + "}"
				}
				want := decoded(t, sent)
				for _, group := range []string{"relations", "mirrorProperties", "calculationProperties", "aggregationProperties"} {
					if want[group] == nil {
						want[group] = map[string]any{}
					}
				}
				created := f.call("POST", "/v1/blueprints", sent).want(201)
				read := f.call("GET", "/v1/blueprints/x", "").want(200)
				replaced := f.call("PUT", "/v1/blueprints/x", sent).want(200)
				f.call("PATCH", "/v1/blueprints/x", `{}`).want(200)
				for way, g := range map[string]*got{"POST": created, "GET": read, "PUT": replaced, "after a PATCH of nothing": f.call("GET", "/v1/blueprints/x", "").want(200)} {
					if diff := cmp.Diff(set(want), set(without(t, g.at("blueprint")))); diff != "" {
						t.Errorf("%s (-sent +got):\n%s", way, diff)
					}
				}
				f.call("DELETE", "/v1/blueprints/x", "").want(200)
			})
		}
	})
}

// set is an object without the members that are null.
func set(o map[string]any) map[string]any {
	filled := map[string]any{}
	for name, v := range o {
		if v != nil {
			filled[name] = v
		}
	}
	return filled
}

// A PUT may change a blueprint's identifier and a property's type; who made it, when, and its entities stay.
func TestBlueprintReplaced(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		created := f.call("GET", "/v1/blueprints/system", "").want(200)
		f.entity("system", `{"identifier":"shop","properties":{"tier":1}}`)
		f.entity("service", `{"identifier":"cart","relations":{"system":"shop"}}`)
		g := f.call("PUT", "/v1/blueprints/system", `{"identifier":"platform/system","title":"S","schema":{"properties":{"tier":{"type":"string"}}}}`).want(200)
		for _, kept := range []string{"createdAt", "createdBy"} {
			if g.at("blueprint", kept) != created.at("blueprint", kept) {
				f.t.Errorf("%s: got %v, want %v", kept, g.at("blueprint", kept), created.at("blueprint", kept))
			}
		}
		f.call("GET", "/v1/blueprints/system", "").fault(404, "not_found")
		if got := f.call("GET", "/v1/blueprints/service", "").want(200).at("blueprint", "relations", "system", "target"); got != "platform/system" {
			f.t.Errorf("the relation leads to %v", got)
		}
		// The value of the old type is there until somebody writes one of the new.
		const shop = "/v1/blueprints/platform%2Fsystem/entities/shop"
		holds(f.t, f.call("GET", shop, "").want(200).at("entity"), `{"blueprint":"platform/system","properties":{"tier":1}}`)
		f.call("PATCH", shop, `{"properties":{"tier":2}}`).fault(422, "invalid_request")
		holds(f.t, f.call("PATCH", shop, `{"properties":{"tier":"gold"}}`).want(200).at("entity"), `{"properties":{"tier":"gold"}}`)
		holds(f.t, f.call("GET", "/v1/blueprints/service/entities/cart", "").want(200).at("entity", "relations"), `{"system":"shop"}`)
		f.entity("service", `{"identifier":"pay","relations":{"system":"shop"}}`)
	})
}

// Whatever is read, nobody finds that anything was changed; and permissions are no part of a blueprint
// that a client compares.
func TestReadsMoveNothing(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.define(deploy)
		f.entity("service", `{"identifier":"cart","properties":{"language":"go"}}`)
		f.call("POST", "/v1/teams", `{"name":"platform"}`).want(201)
		before := f.snapshot()
		for _, target := range []string{
			"/v1/blueprints", "/v1/blueprints/service", "/v1/blueprints/service/permissions", "/v1/blueprints/system/_user/structure", "/v1/pages/service",
			serviceEntities, serviceEntities + "/cart", "/v1/blueprints/service/entities-count", "/v1/actions", "/v1/actions/deploy",
			"/v1/teams", "/v1/teams/platform", "/v1/users",
		} {
			f.call("GET", target, "").want(200)
		}
		f.call("POST", "/v1/entities/search", `{"combinator":"and","rules":[]}`).want(200)
		f.call("POST", serviceEntities+"/search", `{}`).want(200)
		f.unchanged(before)

		blueprint := f.call("GET", "/v1/blueprints/service", "").want(200)
		f.call("PATCH", "/v1/blueprints/service/permissions", `{"entities":{"update":{"roles":["Member"]}}}`).want(200)
		if diff := cmp.Diff(blueprint.body, f.call("GET", "/v1/blueprints/service", "").want(200).body); diff != "" {
			f.t.Errorf("after a change of permissions (-before +after):\n%s", diff)
		}
	})
}

// An entity is answered by each route as it was sent, with all that its blueprint has.
func TestEntitiesRoundTrip(t *testing.T) {
	t.Parallel()
	const nothing = `{"identifier":"e","title":null,"icon":null,"team":[],"blueprint":"all","properties":{"s":null,"n":null,"b":null,"a":null,"o":null},"relations":{"one":null,"many":[]}}`
	tests := map[string]struct{ sent, want string }{
		"nothing":            {`{"identifier":"e"}`, nothing},
		"nulls at the top":   {`{"identifier":"e","title":null,"icon":null,"team":null,"properties":null,"relations":null}`, nothing},
		"nulls below":        {`{"identifier":"e","properties":{"s":null,"n":null,"b":null,"a":null,"o":null},"relations":{"one":null,"many":null}}`, nothing},
		"empty":              {`{"identifier":"e","title":"","icon":"","team":[],"properties":{"s":"","n":0,"b":false,"a":[],"o":{}},"relations":{"many":[]}}`, `{"identifier":"e","title":"","icon":"","team":[],"blueprint":"all","properties":{"s":"","n":0,"b":false,"a":[],"o":{}},"relations":{"one":null,"many":[]}}`},
		"order":              {`{"identifier":"e","team":["b","a"],"properties":{"a":["b","a",null]},"relations":{"one":"y","many":["y","x"]}}`, `{"identifier":"e","title":null,"icon":null,"team":["b","a"],"blueprint":"all","properties":{"s":null,"n":null,"b":null,"a":["b","a",null],"o":null},"relations":{"one":"y","many":["y","x"]}}`},
		"nulls in an object": {`{"identifier":"e","properties":{"o":{"z":null,"a":{"b":[]}},"n":1.50}}`, `{"identifier":"e","title":null,"icon":null,"team":[],"blueprint":"all","properties":{"s":null,"n":1.5,"b":null,"a":null,"o":{"z":null,"a":{"b":[]}}},"relations":{"one":null,"many":[]}}`},
	}
	onStores(t, func(f *fixture) {
		f.call("POST", "/v1/blueprints", `{"identifier":"all","title":"All","schema":{"properties":{"s":{"type":"string"},"n":{"type":"number"},"b":{"type":"boolean"},"a":{"type":"array"},"o":{"type":"object"}}},`+
			`"relations":{"one":{"target":"all"},"many":{"target":"all","many":true}}}`).want(201)
		f.entity("all", `{"identifier":"x"}`)
		f.entity("all", `{"identifier":"y"}`)
		const entities = "/v1/blueprints/all/entities"
		for name, test := range tests {
			f.t.Run(name, func(t *testing.T) {
				f := f.part(t)
				created := f.call("POST", entities, test.sent).want(201)
				read := f.call("GET", entities+"/e", "").want(200)
				replaced := f.call("PUT", entities+"/e", test.sent).want(200)
				patched := f.call("PATCH", entities+"/e", `{}`).want(200)
				found := f.call("POST", "/v1/entities/search", `{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"e"}]}`).want(200).list("entities")
				for way, got := range map[string]any{"POST": created.at("entity"), "GET": read.at("entity"), "PUT": replaced.at("entity"), "PATCH": patched.at("entity"), "search": found[0]} {
					if diff := cmp.Diff(decoded(t, test.want), without(t, got)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", way, diff)
					}
				}
				for _, kept := range []string{"createdAt", "createdBy"} {
					if created.at("entity", kept) != patched.at("entity", kept) {
						t.Errorf("%s: got %v, want %v", kept, patched.at("entity", kept), created.at("entity", kept))
					}
				}
				f.call("DELETE", entities+"/e", "").want(200)
			})
		}
	})
}

// A PUT may rename an entity: who made it and when stay, and relations that lead to it follow.
func TestEntityReplaced(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		created := f.entity("service", `{"identifier":"cart","title":"Cart","properties":{"language":"go"},"relations":{"uses":[]}}`)
		f.entity("service", `{"identifier":"pay","relations":{"uses":["cart"]}}`)
		f.entity("bound", `{"identifier":"b","relations":{"service":"cart"}}`)
		g := f.call("PUT", serviceEntities+"/cart", `{"identifier":"org/basket","relations":{"uses":["pay","cart"]}}`).want(200)
		holds(f.t, g.at("entity"), `{"identifier":"org/basket","title":null}`)
		holds(f.t, g.at("entity", "properties"), `{"language":null}`)
		for _, kept := range []string{"createdAt", "createdBy"} {
			if g.at("entity", kept) != created.at("entity", kept) {
				f.t.Errorf("%s: got %v, want %v", kept, g.at("entity", kept), created.at("entity", kept))
			}
		}
		f.call("GET", serviceEntities+"/cart", "").fault(404, "not_found")
		holds(f.t, f.call("GET", serviceEntities+"/org%2Fbasket", "").want(200).at("entity", "relations"), `{"uses":["pay","org/basket"]}`)
		holds(f.t, f.call("GET", serviceEntities+"/pay", "").want(200).at("entity", "relations"), `{"uses":["org/basket"]}`)
		holds(f.t, f.call("GET", "/v1/blueprints/bound/entities/b", "").want(200).at("entity", "relations"), `{"service":"org/basket"}`)
	})
}

// A team is answered by each route as it was sent.
func TestTeamsRoundTrip(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ sent, want string }{
		"a name":            {`{"name":"the team"}`, `{"name":"the team","description":null,"provider":"port"}`},
		"spaces":            {`{"name":"The A-team (1)"}`, `{"name":"The A-team (1)","description":null,"provider":"port"}`},
		"nulls":             {`{"name":"the team","description":null}`, `{"name":"the team","description":null,"provider":"port"}`},
		"empty":             {`{"name":"the team","description":"","users":[]}`, `{"name":"the team","description":"","provider":"port"}`},
		"users and a story": {`{"name":"the team","description":"d","users":["b@x.example","a@x.example"]}`, `{"name":"the team","description":"d","provider":"port"}`},
	}
	onStores(t, func(f *fixture) {
		f.people()
		for name, test := range tests {
			f.t.Run(name, func(t *testing.T) {
				f := f.part(t)
				sent := decoded(t, test.sent)
				target := "/v1/teams/" + url.PathEscape(sent["name"].(string))
				created := f.call("POST", "/v1/teams", test.sent).want(201)
				read := f.call("GET", target, "").want(200)
				replaced := f.call("PUT", target, test.sent).want(200)
				for way, g := range map[string]*got{"POST": created, "GET": read, "PUT": replaced, "PATCH": f.call("PATCH", target, `{}`).want(200)} {
					holds(t, g.at("team"), test.want)
					want := strings.Split(map[bool]string{true: "a b"}[name == "users and a story"], " ")
					if got := strings.Split(g.emails(), " "); !slices.Equal(got, want) {
						t.Errorf("%s: got users %v, want %v", way, got, want)
					}
				}
				f.call("DELETE", target, "").want(200)
			})
		}
	})
}

// What stands in the way of a deletion or a new identifier is named.
func TestConflictsNameByWhom(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.entity("service", `{"identifier":"cart"}`)
		f.entity("service", `{"identifier":"pay"}`)
		f.entity("bound", `{"identifier":"b1","relations":{"service":"cart"}}`)
		f.entity("bound", `{"identifier":"b2","relations":{"service":"cart"}}`)
		f.define(deploy)
		f.define(kafka)
		f.call("POST", "/v1/teams", `{"name":"platform"}`).want(201)
		f.call("POST", "/v1/teams", `{"name":"data"}`).want(201)
		tests := map[string]struct {
			method, target, body, word string
			names                      []string
		}{
			"a blueprint with entities":  {"DELETE", "/v1/blueprints/bound", "", "has_dependents", []string{"bound", "b1", "b2"}},
			"a target of relations":      {"DELETE", "/v1/blueprints/system", "", "has_dependents", []string{"system", "service"}},
			"an entity that others need": {"DELETE", serviceEntities + "/cart", "", "has_dependents", []string{"cart", "bound/b1", "bound/b2"}},
			"a new blueprint":            {"POST", "/v1/blueprints", systems, "identifier_taken", []string{"system"}},
			"a renamed blueprint":        {"PUT", "/v1/blueprints/bound", systems, "identifier_taken", []string{"system"}},
			"a new entity":               {"POST", serviceEntities, `{"identifier":"cart"}`, "identifier_taken", []string{"service", "cart"}},
			"a renamed entity":           {"PUT", serviceEntities + "/pay", `{"identifier":"cart"}`, "identifier_taken", []string{"service", "cart"}},
			"a new action":               {"POST", "/v1/actions", deploy, "identifier_taken", []string{"deploy"}},
			"a renamed action":           {"PUT", "/v1/actions/publish", deploy, "identifier_taken", []string{"deploy"}},
			"a new team":                 {"POST", "/v1/teams", `{"name":"platform"}`, "identifier_taken", []string{"platform"}},
			"a renamed team":             {"PUT", "/v1/teams/data", `{"name":"platform"}`, "identifier_taken", []string{"platform"}},
			"a built-in blueprint":       {"DELETE", "/v1/blueprints/_user", "", "system_blueprint", []string{"_user"}},
			"an entity of a bulk":        {"POST", serviceEntities + "/bulk", `{"entities":[{"identifier":"cart"}]}`, "", []string{"service", "cart"}},
		}
		before := f.snapshot()
		for name, test := range tests {
			f.t.Run(name, func(t *testing.T) {
				f := f.part(t)
				g := f.call(test.method, test.target, test.body)
				var message string
				if test.word == "" {
					failed := g.want(207).list("errors")[0].(map[string]any)
					message, _ = failed["message"].(string)
				} else {
					message = g.fault(409, test.word)
				}
				for _, name := range test.names {
					if !strings.Contains(message, name) {
						t.Errorf("got message %q, want it to name %s", message, name)
					}
				}
				f.unchanged(before)
			})
		}
	})
}

// Changes at once of different parts are all there afterwards, whichever came first.
func TestPatchesAtOnce(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.call("POST", "/v1/blueprints", `{"identifier":"wide","title":"Wide","schema":{"properties":{"p0":{"type":"number"},"p1":{"type":"number"}}}}`).want(201)
		f.entity("wide", `{"identifier":"e"}`)
		for what, target := range map[string]string{"entity": "/v1/blueprints/wide/entities/e", "blueprint": "/v1/blueprints/wide", "permissions": "/v1/blueprints/wide/permissions"} {
			body := map[string]string{"entity": `{"properties":{"p%d":1}}`, "blueprint": `{"mirrorProperties":{"p%d":{"path":"x.y"}}}`, "permissions": `{"entities":{"updateProperties":{"p%d":{"users":["a"]}}}}`}[what]
			answers := make(chan *got, 2)
			for i := range 2 {
				go func() { answers <- f.call("PATCH", target, fmt.Sprintf(body, i)) }()
			}
			for range 2 {
				(<-answers).want(200)
			}
			o := f.call("GET", target, "").want(200).at(what)
			path := map[string][]string{"entity": {"properties"}, "blueprint": {"mirrorProperties"}, "permissions": {"entities", "updateProperties"}}[what]
			members, _ := within(o, path...)
			for _, name := range []string{"p0", "p1"} {
				text, err := json.Marshal(members[name])
				if err != nil {
					f.t.Fatal(err)
				}
				want := map[string]string{"entity": `1`, "blueprint": `{"path":"x.y"}`, "permissions": `{"ownedByTeam":false,"roles":["Admin"],"teams":[],"users":["a"]}`}[what]
				if string(text) != want {
					f.t.Errorf("%s: got %s %s, want %s", what, name, text, want)
				}
			}
		}
	})
}
