package action_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

func TestParseCompiles(t *testing.T) {
	t.Parallel()
	type summary struct {
		Generation                         int
		Identifier, Title, Icon            string
		Kind, Operation, Blueprint         string
		RequiredApproval                   string
		ApprovalRequired, Publish          bool
		Method                             string
		HasTemplate, HasType, HasRawMember bool
	}
	tests := []struct {
		name, text string
		want       summary
	}{
		{
			"v2", `{"identifier":"deploy","title":"Deploy","icon":"Rocket","publish":false,"requiredApproval":{"type":"ANY"},
			"trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service"},"invocationMethod":{"type":"AZURE_DEVOPS","org":"{{ .inputs.o }}","webhook":"w"}}`,
			summary{
				Generation: 2, Identifier: "deploy", Title: "Deploy", Icon: "Rocket", Kind: "self-service", Operation: "DAY-2", Blueprint: "service",
				RequiredApproval: `{"type":"ANY"}`, ApprovalRequired: true, Method: "AZURE_DEVOPS", HasTemplate: true, HasType: true, HasRawMember: true,
			},
		},
		{
			"v1", `{"identifier":"deploy","blueprint":"service","requiredApproval":false,"trigger":"DELETE","invocationMethod":{"type":"AZURE-DEVOPS","org":"o","webhook":"w"}}`,
			summary{
				Generation: 1, Identifier: "deploy", Kind: "self-service", Operation: "DELETE", Blueprint: "service", RequiredApproval: "false", Publish: true,
				Method: "AZURE_DEVOPS", HasType: true, HasRawMember: true,
			},
		},
		{
			"automation", `{"identifier":"deploy","requiredApproval":true,"trigger":{"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":"service"}},"invocationMethod":{"type":"KAFKA"}}`,
			summary{
				Generation: 2, Identifier: "deploy", Kind: "automation", RequiredApproval: "true", ApprovalRequired: true, Publish: true, Method: "KAFKA", HasTemplate: true, HasType: true,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := parse(t, tt.text)
			_, hasType := d.Method.Raw.Get("type")
			_, hasOrg := d.Method.Raw.Get("org")
			got := summary{
				d.Generation, d.Identifier, d.Title, d.Icon, d.Kind, d.Operation, d.Blueprint, string(d.RequiredApproval), d.ApprovalRequired, d.Publish,
				d.Method.Type, d.Method.Template != nil, hasType, hasOrg,
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("definition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMethodTemplateLeavesTypeOut(t *testing.T) {
	t.Parallel()
	d := parse(t, method(`{"type":"WEBHOOK","url":"https://x/{{ .inputs.a }}","agent":"{{ .inputs.b }}"}`))
	data := decode(t, `{"inputs":{"a":"1","b":false}}`)
	r, err := d.Method.Template.Render(t.Context(), jqtemplate.NewData(data), jqtemplate.Options{})
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	if got, want := string(jqtemplate.Encode(r.Value)), `{"url":"https://x/1","agent":false}`; got != want {
		t.Errorf("rendered %s, want %s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		// want holds path and expression of each.
		want [][2]string
	}{
		{"in a payload", with("method", `"body":{"a":["{{ .x | }}","{{ .y }}"]}`), [][2]string{{"invocationMethod.body.a[0]", ".x |"}}},
		{"in a condition", trigger(`{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"a"},"condition":{"type":"JQ","expressions":["true",".a ||"]}}`), [][2]string{{"trigger.condition.expressions[1]", ".a ||"}}},
		{"in an input", input(`{"type":"string","default":{"jqQuery":".form | | .x"}}`), [][2]string{{"trigger.userInputs.properties.alpha.default.jqQuery", ".form | | .x"}}},
		{"in a v1 input", methodV1(`{"type":"KAFKA"},"userInputs":{"properties":{"a":{"type":"string","visible":{"jqQuery":"("}}}}`), [][2]string{{"userInputs.properties.a.visible.jqQuery", "("}}},
		{"in a step", with("inputs", `"steps":[{"title":"x","visible":{"jqQuery":"["}}]`), [][2]string{{"trigger.userInputs.steps[0].visible.jqQuery", "["}}},
		{"in the required list", with("inputs", `"required":{"jqQuery":"}"}`), [][2]string{{"trigger.userInputs.required.jqQuery", "}"}}},
		{"single quotes are quotes", input(`{"type":"string","visible":{"jqQuery":".form.a == 'x'"}}`), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got [][2]string
			for _, w := range parse(t, tt.text).Warnings {
				got = append(got, [2]string{w.Path, strings.TrimSpace(w.Expression)})
				if w.Message == "" {
					t.Errorf("warning %v without a message", w)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"identifier":"deploy","title":"Deploy","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"service":{"type":"string","pattern":"^[a-z]+$"},"replicas":{"type":"number","minimum":1,"default":2},"tags":{"type":"array","items":{"type":"string"}}},"required":["service"],"order":["service","replicas","tags"]}},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/{{ .inputs.service }}","headers":{"X-Run":"{{ .run.id }}"},"body":{"service":"{{ .inputs.service }}","replicas":"{{ .inputs.replicas }}","tags":"{{ .inputs.tags | join(\",\") }}"}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := action.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
