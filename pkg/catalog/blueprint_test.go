package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// emptyGroups is what answers add to a blueprint that has none of the groups.
const emptyGroups = `"relations":{},"mirrorProperties":{},"calculationProperties":{},"aggregationProperties":{}`

func shown(t *testing.T, text string) string {
	t.Helper()
	definition(t, text)
	stored, err := catalog.CompactBlueprint([]byte(text), "")
	if err != nil {
		t.Fatalf("CompactBlueprint: %v", err)
	}
	view, err := catalog.BlueprintView(&catalog.Blueprint{
		Identifier: "service", Definition: stored, CreatedAt: made, UpdatedAt: made.Add(time.Minute - 6*time.Millisecond),
		CreatedBy: "client_1", UpdatedBy: "client_2",
	})
	if err != nil {
		t.Fatalf("BlueprintView: %v", err)
	}
	return string(view)
}

func TestBlueprintsComeBackAsTheyWereSent(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"as little as possible", blueprint(``, ``), blueprint(``, emptyGroups)},
		{"empty members", blueprint(`"a":{"type":"string","title":"","description":"","enum":[],"enumColors":{}}`, `"description":"","icon":"",`+emptyGroups), ""},
		{"null members", blueprint(`"a":{"type":"string","enum":null,"items":null,"format":null}`, `"description":null,"ownership":null,`+emptyGroups), ""},
		{"null groups", blueprint(``, `"relations":null,"mirrorProperties":null,"calculationProperties":null,"aggregationProperties":null`), blueprint(``, emptyGroups)},
		{"order and numbers' text", `{"schema":{"required":["b","a"],"properties":{"b":{"maximum":1.50e2,"type":"number"},"a":{"type":"string"}}},"title":"T","identifier":"service",` + emptyGroups + `}`, ""},
		{"flags of relations", blueprint(``, `"relations":{"r":{"target":"x"},"m":{"many":true,"target":"y"}}`),
			blueprint(``, `"relations":{"r":{"target":"x","required":false,"many":false},"m":{"many":true,"target":"y","required":false}},"mirrorProperties":{},"calculationProperties":{},"aggregationProperties":{}`)},
		{"members that nobody knows", blueprint(`"a":{"type":"string","x-mine":[1,{"y":null}]}`, `"x-mine":{"z":1},`+emptyGroups), ""},
		{"the times of what was read", blueprint(``, `"createdAt":"x","updatedBy":"y",`+emptyGroups), blueprint(``, emptyGroups)},
		{"every kind of property", blueprint(`"url":{"type":"string","format":"url"},"spec":{"type":"object","spec":"open-api"},`+
			`"embedded":{"type":"string","format":"url","spec":"embedded-url","specAuthentication":{"clientId":"c","authorizationUrl":"https://a.example","tokenUrl":"https://t.example","authorizationScope":[]}},`+
			`"color":{"type":"string","enum":["a"],"enumColors":{"a":"red"},"default":7},"array":{"type":"array","items":{"type":"string","enum":["x"],"enumColors":{"x":"lime"},"format":"user"},"uniqueItems":true},`+
			`"number":{"type":"number","colorized":true,"colors":{"80":"red"}},"date":{"type":"string","format":"date-time","dateFormat":"fromNow"},"timer":{"type":"string","format":"timer"},`+
			`"labeled":{"type":"string","format":"labeled-url"},"proto":{"type":"string","format":"proto"},"team":{"type":"array","format":"team","items":{"type":"string","format":"team"}}`,
			`"ownership":{"type":"Inherited","path":"no.such","title":"Owner"},"teamInheritance":{"path":"nor.this"},"includeInGlobalSearch":false,"changelogDestination":{"type":"WEBHOOK","agent":true,"url":"https://c.example"},`+
				`"relations":{"r":{"title":"R","target":"x","required":true,"many":false,"description":"d"}},"mirrorProperties":{"m":{"title":"M","path":"no.$title"}},`+
				`"calculationProperties":{"c":{"title":"C","calculation":".properties.url +","type":"number","colorized":true,"colors":{"1":"gold"}}},`+
				`"aggregationProperties":{"n":{"title":"N","type":"number","target":"x","calculationSpec":{"func":"average","averageOf":"day","calculationBy":"property","property":"p","measureTimeBy":"$createdAt"},"query":{"combinator":"and","rules":[]},"pathFilter":[{"path":["a"]}]}}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == "" {
				want = tt.text
			}
			want = strings.TrimSuffix(want, "}") + "," + entityTimes + "}"
			if diff := cmp.Diff(want, shown(t, tt.text)); diff != "" {
				t.Errorf("View (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBlueprintFaults(t *testing.T) {
	t.Parallel()
	const identifier = `must be made of letters, digits and @ _ . + : \ / -, and be neither "." nor ".."`
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no object", `[]`, []string{"a blueprint must be an object"}},
		{"nothing", `{}`, []string{"identifier: is required", "schema: is required", "title: is required"}},
		{"wrong types everywhere", `{"identifier":1,"title":null,"icon":1,"description":[],"schema":{"properties":[],"required":"a"},"relations":[],"mirrorProperties":1,` +
			`"calculationProperties":"x","aggregationProperties":true,"ownership":"Direct","teamInheritance":[],"includeInGlobalSearch":"true","changelogDestination":1}`,
			[]string{"aggregationProperties: must be an object, got a boolean", "calculationProperties: must be an object, got a string", "changelogDestination: must be an object, got a number",
				"description: must be a string, got an array", "icon: must be a string, got a number", "identifier: must be a string, got a number", "includeInGlobalSearch: must be a boolean, got a string",
				"mirrorProperties: must be an object, got a number", "ownership: must be an object, got a string", "relations: must be an object, got an array", "schema.properties: must be an object, got an array",
				"schema.required: must be an array, got a string", "teamInheritance: must be an object, got an array", "title: must be a string, got null"}},
		{"an identifier of two dots", strings.Replace(blueprint(``, ``), `"service"`, `".."`, 1), []string{"identifier: " + identifier}},
		{"an identifier that is too long", strings.Replace(blueprint(``, ``), `"service"`, `"`+strings.Repeat("é", 101)+`"`, 1), []string{"identifier: must have at most 100 characters"}},
		{"all faults at once", blueprint(`"a b":{"type":"string"},"c":{},"d":{"type":"text","minLength":-1,"pattern":"("},"e":{"type":"array","items":{"type":"string","format":"nope","pattern":"["}},"f":{"type":"object","required":true,"properties":{"g":7}}`,
			`"relations":{"r":{"many":"yes"},"s":{"target":"x","extra":1}},"mirrorProperties":{"m":{"path":"plain"}},"calculationProperties":{"c":{"calculation":1}},"ownership":{"type":"Inherited"},"changelogDestination":{"type":"WEBHOOK"}`),
			[]string{
				"calculationProperties.c.calculation: must be a string, got a number",
				"calculationProperties.c.type: is required",
				"changelogDestination.url: is required",
				"mirrorProperties.m.path: must be a relation's name, a dot and a property of what it leads to",
				"ownership.path: is required",
				"relations.r.many: must be a boolean, got a string",
				"relations.r.target: is required",
				"relations.s.extra: unknown field",
				"schema.properties.c.type: is required",
				"schema.properties.d.minLength: must be at least 0",
				"schema.properties.d.pattern: must be a regular expression: error parsing regexp: missing closing ) in `(`",
				`schema.properties.d.type: must be one of "string", "number", "boolean", "object", "array"`,
				`schema.properties.e.items.format: must be one of "date-time", "url", "email", "idn-email", "ipv4", "ipv6", "markdown", "yaml", "user", "blueprints", "team", "timer", "proto", "labeled-url"`,
				"schema.properties.e.items.pattern: must be a regular expression: error parsing regexp: unterminated [] set in `[`",
				"schema.properties.f.properties.g: must be an object, got a number",
				"schema.properties.f.required: must be an array, got a boolean",
				`schema.properties["a b"]: must be made of letters A to Z, digits and @ _ = \ -`,
			}},
		{"ownership that is direct with a path", blueprint(``, `"ownership":{"type":"Direct","path":"x"}`), []string{"ownership.path: only inherited ownership has a path"}},
		{"an aggregation that does not fit", blueprint(``, `"aggregationProperties":{"a":{"target":"x","calculationSpec":{"func":"sum","calculationBy":"entities"}}}`),
			[]string{"aggregationProperties.a.calculationSpec.func: cannot be calculated by entities"}},
		{"a color that there is not", blueprint(``, `"calculationProperties":{"c":{"type":"number","calculation":"1","colors":{"1":"mauve"}}}`),
			[]string{`calculationProperties.c.colors.1: must be one of "blue", "turquoise", "orange", "purple", "pink", "yellow", "green", "red", "gold", "silver", "paleBlue", "darkGray", "lightGray", "bronze", "lime", "olive", "brown"`}},
		{"numbers beyond the doubles", blueprint(`"a":{"type":"number","maximum":1e999}`, ``), []string{"schema.properties.a.maximum: must be a number between -1.8e308 and 1.8e308"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.ParseBlueprint(json.RawMessage(tt.text))
			if diff := cmp.Diff(tt.want, lines(t, err, fault.Invalid)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCalculationsThatDoNotCompile(t *testing.T) {
	t.Parallel()
	d := definition(t, blueprint(``, `"calculationProperties":{"good":{"type":"number","calculation":".properties.a"},"bad":{"type":"number","calculation":".a +"}}`))
	if len(d.Warnings) != 1 || d.Warnings[0].Path != "calculationProperties.bad.calculation" || d.Warnings[0].Expression != ".a +" || d.Warnings[0].Message == "" {
		t.Errorf("got warnings %+v", d.Warnings)
	}
}

func TestMergeBlueprint(t *testing.T) {
	t.Parallel()
	stored := blueprint(`"a":{"type":"string","title":"A","icon":"I"},"b":{"type":"number"}`,
		`"icon":"I","relations":{"r":{"target":"x","title":"R"}},"calculationProperties":{"c":{"type":"number","calculation":"1"}}`)
	tests := []struct{ name, patch, want string }{
		{"nothing", `{}`, stored},
		{"a member", `{"title":"New","createdAt":"ignored"}`, strings.Replace(stored, `"title":"Service"`, `"title":"New"`, 1)},
		{"null takes an optional member away", `{"icon":null}`, strings.Replace(stored, `"icon":"I","rel`, `"rel`, 1)},
		{"null for a required one stays to be refused", `{"title":null}`, strings.Replace(stored, `"title":"Service"`, `"title":null`, 1)},
		{"a property's member", `{"schema":{"properties":{"a":{"title":"B","icon":null}}}}`, strings.Replace(stored, `"title":"A","icon":"I"`, `"title":"B"`, 1)},
		{"properties more and less", `{"schema":{"properties":{"a":null,"z":{"type":"boolean"}},"required":["b"]}}`,
			strings.Replace(strings.Replace(stored, `"a":{"type":"string","title":"A","icon":"I"},`, ``, 1), `"b":{"type":"number"}}`, `"b":{"type":"number"},"z":{"type":"boolean"}},"required":["b"]`, 1)},
		{"a relation is replaced whole", `{"relations":{"r":{"target":"y"}}}`, strings.Replace(stored, `{"target":"x","title":"R"}`, `{"target":"y"}`, 1)},
		{"a wrong type stays to be refused", `{"schema":{"properties":[]}}`, strings.Replace(stored, `{"a":{"type":"string","title":"A","icon":"I"},"b":{"type":"number"}}`, `[]`, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := catalog.MergeBlueprint(json.RawMessage(stored), json.RawMessage(tt.patch))
			if err != nil {
				t.Fatalf("MergeBlueprint: %v", err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := catalog.MergeBlueprint(json.RawMessage(stored), json.RawMessage(`[]`)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a patch that is no object: %v", err)
	}
}

func TestSystemBlueprints(t *testing.T) {
	t.Parallel()
	for _, identifier := range []string{catalog.UserBlueprint, catalog.TeamBlueprint} {
		own, err := catalog.SystemBlueprint(identifier)
		if err != nil {
			t.Fatalf("SystemBlueprint: %v", err)
		}
		if d := definition(t, string(own)); d.Identifier != identifier {
			t.Errorf("%s is called %s", identifier, d.Identifier)
		}
		same, err := catalog.CompleteSystem(identifier, own)
		if diff := cmp.Diff(string(own), string(same)); err != nil || diff != "" {
			t.Errorf("what was read and sent back: %v (-want +got):\n%s", err, diff)
		}
	}
	if _, err := catalog.SystemBlueprint("service"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of another blueprint: %v", err)
	}
	got, err := catalog.CompleteSystem("_team", json.RawMessage(`{"title":"Squad","schema":{"properties":{"size":{"type":"number"},"description":{"type":"number"}},"required":["size"]},"relations":{"lead":{"target":"_user"}}}`))
	want := `{"title":"Squad","schema":{"properties":{"size":{"type":"number"},"description":{"type":"string","title":"Description"}},"required":["size"]},"relations":{"lead":{"target":"_user"}},` +
		`"identifier":"_team","icon":"Team","mirrorProperties":{},"calculationProperties":{},"aggregationProperties":{}}`
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("CompleteSystem: %v (-want +got):\n%s", err, diff)
	}
	_, err = catalog.CompleteSystem("_team", json.RawMessage(`{"identifier":"team"}`))
	if diff := cmp.Diff([]string{"identifier: a system blueprint cannot be renamed"}, lines(t, err, fault.Invalid)); diff != "" {
		t.Errorf("renamed (-want +got):\n%s", diff)
	}
	broken, err := catalog.CompleteSystem("_user", json.RawMessage(`{"schema":null,"relations":7}`))
	if err != nil {
		t.Fatalf("CompleteSystem: %v", err)
	}
	if _, err := catalog.ParseBlueprint(broken); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a broken one: %v", err)
	}
}
