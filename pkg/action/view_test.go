package action_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

var update = flag.Bool("update", false, "write the golden files")

// TestView shows every definition of testdata/view in its own generation, as v1 and as v2, a line
// each, and compares with the golden file beside it.
func TestView(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/view/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("definitions: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			sent, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, d := record(t, string(sent)), parse(t, string(sent))
			var got strings.Builder
			for _, version := range []string{"", "v1", "v2"} {
				view, err := action.View(r, d, version)
				if err != nil {
					t.Fatalf("View(%q): %v", version, err)
				}
				own := version == "" || version == map[int]string{action.V1: "v1", action.V2: "v2"}[d.Generation]
				if text := strings.TrimSuffix(string(view), meta) + "}"; own && !strings.Contains(file, "minimal") && !strings.Contains(file, "null") {
					if diff := cmp.Diff(string(r.Definition), text); diff != "" {
						t.Errorf("View(%q) is not what was sent (-sent +view):\n%s", version, diff)
					}
				}
				got.WriteString(string(view) + "\n")
			}
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("views (-want +got):\n%s", diff)
			}
		})
	}
}

// TestViewReturnsWhatWasSent covers each form that answers keep apart from another of the same
// meaning, and each default that answers never hold.
func TestViewReturnsWhatWasSent(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"nothing but what is required":  with("top", ""),
		"approval true":                 with("top", `"requiredApproval":true`),
		"approval false":                with("top", `"requiredApproval":false`),
		"approval ANY":                  with("top", `"requiredApproval":{"type":"ANY"}`),
		"publish true":                  with("top", `"publish":true`),
		"empty title":                   with("top", `"title":""`),
		"null title":                    with("top", `"title":null`),
		"encryption as text":            input(`{"type":"string","encryption":"aes256-gcm"}`),
		"encryption as object":          input(`{"type":"string","encryption":{"algorithm":"aes256-gcm"}}`),
		"a literal default":             input(`{"type":"string","default":"x"}`),
		"a default by query":            input(`{"type":"string","default":{"jqQuery":"\"x\""}}`),
		"required by query":             with("inputs", `"required":{"jqQuery":"[]"}`),
		"an empty enum":                 input(`{"type":"string","enum":[]}`),
		"visible false":                 input(`{"type":"string","visible":false}`),
		"visible true":                  input(`{"type":"string","visible":true}`),
		"empty dependsOn":               input(`{"type":"string","dependsOn":[]}`),
		"empty enumColors":              input(`{"type":"string","enumColors":{}}`),
		"empty items":                   input(`{"type":"array","items":{}}`),
		"a default in items":            input(`{"type":"array","items":{"type":"string","default":""}}`),
		"empty titles":                  with("inputs", `"titles":{}`),
		"empty order":                   with("inputs", `"order":[]`),
		"order":                         with("inputs", `"order":["z","a","m"]`),
		"a method that is the default":  with("method", `"method":"POST"`),
		"agent false":                   with("method", `"agent":false`),
		"agent as text":                 with("method", `"agent":"false"`),
		"synchronized as text":          with("method", `"synchronized":"{{ .inputs.sync }}"`),
		"empty headers and body":        with("method", `"headers":{},"body":{}`),
		"empty body list":               with("method", `"body":[]`),
		"numbers":                       with("method", `"body":[1.0,1e3,-0,0.10,12345678901234567890,1E300]`),
		"escapes":                       with("method", `"body":["\u00e9\/\ud800 <>&"]`),
		"a repeated member below":       with("method", `"body":{"a":1,"a":2}`),
		"integer-like keys":             with("method", `"body":{"2":1,"1":2,"a":3}`),
		"an empty list of expressions":  trigger(`{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"a"},"condition":{"type":"JQ","expressions":[]}}`),
		"no condition":                  trigger(`{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"a"}}`),
		"v1 without inputs":             methodV1(`{"type":"KAFKA"}`),
		"v1 with every default":         methodV1(`{"type":"GITHUB","org":"","repo":"","workflow":"","omitPayload":false,"omitUserInputs":false,"reportWorkflowStatus":true},"publish":true,"requiredApproval":false`),
		"v1 with null for its inputs":   methodV1(`{"type":"KAFKA"},"userInputs":null`),
		"steps, their order and titles": trigger(`{"type":"self-service","operation":"CREATE","userInputs":{"properties":{},"titles":{"t":{"title":"T"}},"steps":[{"title":"B","order":["t"]},{"title":"A","order":[],"visible":true}]}}`),
	}
	for name, text := range tests {
		text = strings.Replace(text, `"operation":"CREATE"}`, `"operation":"CREATE","userInputs":{"properties":{}}}`, 1)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view, err := action.View(record(t, text), parse(t, text), "")
			if err != nil {
				t.Fatalf("View: %v", err)
			}
			if diff := cmp.Diff(strings.TrimSuffix(text, "}")+meta, string(view)); diff != "" {
				t.Errorf("view (-want +got):\n%s", diff)
			}
		})
	}
}

func TestViewOfARepeatedMember(t *testing.T) {
	t.Parallel()
	text := `{"identifier":"old","trigger":"CREATE","invocationMethod":{"type":"KAFKA"},"\u0069dentifier":"deploy"}`
	view, err := action.View(record(t, text), parse(t, text), "")
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	want := `{"identifier":"deploy","trigger":"CREATE","invocationMethod":{"type":"KAFKA"}` + meta
	if diff := cmp.Diff(want, string(view)); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

// TestViewIsReadAgain sends what was returned in another generation back, as clients do that change
// to it.
func TestViewIsReadAgain(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, version string }{
		{"WEBHOOK as v1", with("method", `"method":"PUT","headers":{"a":"b"},"body":{},"agent":true,"synchronized":false`), "v1"},
		{"KAFKA as v1", method(`{"type":"KAFKA","payload":{}}`), "v1"},
		{"GITHUB as v1", method(`{"type":"GITHUB","org":"o","repo":"r","workflow":"w","workflowInputs":{},"reportWorkflowStatus":false}`), "v1"},
		{"GITLAB as v1", method(`{"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"main","pipelineVariables":{}}`), "v1"},
		{"AZURE_DEVOPS as v1", method(`{"type":"AZURE_DEVOPS","org":"o","webhook":"w","payload":[]}`), "v1"},
		{"everything at the top as v1", with("top", `"title":"t","icon":"i","description":"d","requiredApproval":true,"approvalNotification":{"type":"email"},"publish":false,"allowAnyoneToViewRuns":false`), "v1"},
		{"WEBHOOK as v2", methodV1(`{"type":"WEBHOOK","url":"https://x","method":"PUT","agent":true,"synchronized":false},"blueprint":"b"`), "v2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := parse(t, tt.text)
			view, err := action.View(record(t, tt.text), first, tt.version)
			if err != nil {
				t.Fatalf("View: %v", err)
			}
			again := parse(t, strings.TrimSuffix(string(view), meta)+"}")
			if again.Generation == first.Generation {
				t.Errorf("generation %d as %s is %d", first.Generation, tt.version, again.Generation)
			}
			if again.Operation != first.Operation || again.Blueprint != first.Blueprint || again.Method.Type != first.Method.Type {
				t.Errorf("got %s %q %s, want %s %q %s", again.Operation, again.Blueprint, again.Method.Type, first.Operation, first.Blueprint, first.Method.Type)
			}
		})
	}
}

func TestViewOfAnUnreadableDefinition(t *testing.T) {
	t.Parallel()
	view, err := action.View(record(t, `{"a": 1.0}`), nil, "v1")
	if got, want := string(view), `{"a":1.0`+meta; err != nil || got != want {
		t.Errorf("View = %s, %v, want %s", got, err, want)
	}
	for _, text := range []string{``, `[]`, `{"a":`} {
		r := record(t, `{}`)
		r.Definition = []byte(text)
		if view, err := action.View(r, nil, ""); err == nil {
			t.Errorf("View of %q = %s, want an error", text, view)
		}
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	got, err := action.Compact([]byte(" {\n\t\"b\" : [ 1.0 , \"<&\\u00e9 \" ] , \"a\" : { } }\n"))
	if want := `{"b":[1.0,"<&\u00e9 "],"a":{}}`; err != nil || string(got) != want {
		t.Errorf("Compact = %s, %v, want %s", got, err, want)
	}
	if _, err := action.Compact([]byte(`{"a":`)); len(faultLines(t, err)) != 1 {
		t.Errorf("Compact of broken text: %v, want one fault", err)
	}
}

func TestEntryValue(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{
			"v2", trigger(`{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"b","userInputs":{"properties":{"z":{"type":"string","encryption":"aes256-gcm"},"y":{"type":"number","default":1.0},"x":{"type":"object","encryption":"aes256-gcm"}}}}`),
			`{"identifier":"deploy","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"b","userInputs":{"properties":{"z":{"type":"string","encryption":"aes256-gcm"},"y":{"type":"number","default":1},"x":{"type":"object","encryption":"aes256-gcm"}}}},"invocationMethod":{"type":"KAFKA"}` +
				strings.TrimSuffix(meta, "}") + `,"blueprint":"b","encryptedProperties":["z","x"]}`,
		},
		{
			"v1 without blueprint", methodV1(`{"type":"KAFKA"}`),
			`{"identifier":"deploy","trigger":"CREATE","invocationMethod":{"type":"KAFKA"}` + strings.TrimSuffix(meta, "}") + `,"blueprint":null,"encryptedProperties":[]}`,
		},
		{
			"v1 with blueprint", methodV1(`{"type":"KAFKA"},"blueprint":"b"`),
			`{"identifier":"deploy","trigger":"CREATE","invocationMethod":{"type":"KAFKA"},"blueprint":"b"` + strings.TrimSuffix(meta, "}") + `,"encryptedProperties":[]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := &action.Entry{Record: record(t, tt.text), Definition: parse(t, tt.text)}
			if diff := cmp.Diff(tt.want, string(jqtemplate.Encode(e.Value()))); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}
