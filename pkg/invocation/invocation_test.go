package invocation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/invocation"
)

var update = flag.Bool("update", false, "write the golden files of this version")

func pointer(text string) *string { return &text }

// goldens are invocations by the name of their file, which begins with the version that wrote it.
// An entry of an older version stays for ever: runs and messages of that version are read by new code.
func goldens() map[string]invocation.Invocation {
	return map[string]invocation.Invocation{
		"v1-webhook": {
			V: 1, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{
				URL: "https://example.com/hooks/7?a=%20b", Literal: "https://example.com/hooks/", Method: "PUT",
				Headers: []invocation.Header{{Name: "X-Run", Value: "r_1"}, {Name: "X-Tags", Value: `["a",1]`}},
				Body:    pointer(`{"10":1,"name":"\"ü\" & <b>","big":1e+21}`), Synchronized: true,
			},
		},
		"v1-webhook-message": {
			V: 1, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{URL: "https://example.com/", Method: "POST", Body: pointer(`[1]`)},
		},
		"v1-webhook-no-body": {
			V: 1, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{URL: "http://localhost:8080", Literal: "http://localhost:8080", Method: "GET"},
		},
		"v1-webhook-agent": {
			V: 1, Type: "WEBHOOK", Backend: invocation.BackendAgent,
			Webhook: &invocation.Webhook{
				URL: "http://inside.example", Literal: "http://inside.example", Method: "POST",
				Body: pointer(`{"a":null}`), Agent: true,
			},
		},
		"v1-email": {
			V: 1, Type: invocation.TypeEmail, Backend: invocation.BackendWebhook,
			Email: &invocation.Email{To: []string{"ada@example.com", "bo@example.com"}, Subject: "Approval needed: <a>", Text: "Run r_1\n"},
		},
		"v1-github": {
			V: 1, Type: "GITHUB", Backend: invocation.BackendGitHub,
			Payload: json.RawMessage(`{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":{"n":1},"reportWorkflowStatus":false}`),
		},
		"v1-integration": {
			V: 1, Type: "INTEGRATION_ACTION", Backend: invocation.BackendAgent,
			Payload: json.RawMessage(`{"type":"INTEGRATION_ACTION","installationId":"7","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"acme","repo":"shop","workflow":"w.yml","workflowInputs":{},"reportWorkflowStatus":true}}`),
		},
		"v1-gitlab": {
			V: 1, Type: "GITLAB", Backend: invocation.BackendGitLab,
			Payload: json.RawMessage(`{"type":"GITLAB","projectName":"p","groupName":"a/b","defaultRef":"main","pipelineVariables":{"A":"b"}}`),
		},
		"v1-gitlab-message": {
			V: 1, Type: "GITLAB", Backend: invocation.BackendGitLab, Ref: "v1", RunMessage: true,
			Payload: json.RawMessage(`{"type":"GITLAB","projectName":"p","groupName":"g","pipelineVariables":{"ref":"v1","port_payload":{"action":"a"}}}`),
		},
		"v1-gitlab-agent": {
			V: 1, Type: "GITLAB", Backend: invocation.BackendKafka,
			Payload: json.RawMessage(`{"type":"GITLAB","agent":true,"projectName":"p","groupName":"g","pipelineVariables":{"port_payload":{"action":"a"}}}`),
		},
		"v1-webhook-agent-message": {
			V: 1, Type: "WEBHOOK", Backend: invocation.BackendKafka,
			Webhook: &invocation.Webhook{URL: "http://inside.example", Method: "POST", Body: pointer(`{"action":"a"}`), Agent: true, Message: true},
		},
		"v1-gitlab-agent-message": {
			V: 1, Type: "GITLAB", Backend: invocation.BackendKafka,
			Payload: json.RawMessage(`{"type":"GITLAB","agent":true,"projectName":"p","groupName":"g","omitPayload":true,"pipelineVariables":{}}`),
			Message: json.RawMessage(`{"action":"a","payload":{"properties":{"n":1e-7}}}`),
		},
		"v1-azuredevops": {
			V: 1, Type: "AZURE_DEVOPS", Backend: invocation.BackendAzureDevOps,
			Payload: json.RawMessage(`{"type":"AZURE_DEVOPS","webhook":"w","org":"o","payload":[1]}`),
		},
		"v1-kafka": {
			V: 1, Type: "KAFKA", Backend: invocation.BackendKafka,
			Payload: json.RawMessage(`{"type":"KAFKA","payload":{"k":"v"}}`),
		},
		"v1-change": {
			V: 1, Type: invocation.TypeChange, Backend: invocation.BackendKafka, Key: "service/cart",
			Payload: json.RawMessage(`{"id":"event_1","action":"CREATE","diff":{"before":null,"after":{"n":1e-7}},"changelogDestination":{"type":"KAFKA"}}`),
		},
		"v1-upsertentity": {
			V: 1, Type: "UPSERT_ENTITY", Backend: invocation.BackendUpsertEntity,
			Payload: json.RawMessage(`{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"a","properties":{"p":1}}}`),
		},
	}
}

// TestGolden: what a version wrote is read as it was meant, and this version's writing has not
// changed.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, want := range goldens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", name+".json")
			written, err := json.MarshalIndent(want, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			written = append(written, '\n')
			if *update && want.V == invocation.Version {
				if err := os.WriteFile(path, written, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := invocation.Decode(golden)
			if err != nil {
				t.Fatal(err)
			}
			// Payloads are compared as compact text: their members' order and number text count.
			if diff := cmp.Diff(&want, got, cmp.Transformer("compact", compact)); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if want.V == invocation.Version && !bytes.Equal(golden, written) {
				t.Errorf("written (-want +got):\n%s", cmp.Diff(string(golden), string(written)))
			}
		})
	}
}

func compact(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return string(text)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(b.String())
}

// TestGoldenFilesAreCovered: no file of an older version is left without its entry.
func TestGoldenFilesAreCovered(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	known := goldens()
	if len(files) < len(known) {
		t.Errorf("%d files for %d entries", len(files), len(known))
	}
	for _, file := range files {
		if _, ok := known[strings.TrimSuffix(filepath.Base(file), ".json")]; !ok {
			t.Errorf("%s is read by no test", file)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"a newer version": {`{"v":2,"type":"WEBHOOK","backend":"webhook"}`, "version 2, this code reads 1 to 1"},
		"no version":      {`{"type":"WEBHOOK","backend":"webhook"}`, "version 0"},
		"below versions":  {`{"v":-1}`, "version -1"},
		"not an object":   {`[]`, "decode invocation"},
		"cut off":         {`{"v":1,"type":"WEB`, "decode invocation"},
		"empty":           {``, "decode invocation"},
		"wrong type":      {`{"v":1,"webhook":{"url":7}}`, "decode invocation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := invocation.Decode([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

// TestDecodeIgnoresWhatItDoesNotKnow: a member added within a version does not stop older code.
func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	got, err := invocation.Decode([]byte(`{"v":1,"type":"KAFKA","backend":"kafka","payload":{},"later":[1]}`))
	if err != nil || got.Type != "KAFKA" {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	call := func(url string) *invocation.Invocation {
		return &invocation.Invocation{Webhook: &invocation.Webhook{URL: url}}
	}
	for name, c := range map[string]struct {
		of   *invocation.Invocation
		want string
	}{
		"https":       {call("https://Example.COM/a?secret=1"), "https://example.com:443"},
		"http":        {call("http://example.com"), "http://example.com:80"},
		"port":        {call("https://user:secret@example.com:8443/x"), "https://example.com:8443"},
		"IPv6":        {call("http://[::1]:81/"), "http://[::1]:81"},
		"no webhook":  {&invocation.Invocation{Type: "KAFKA"}, ""},
		"nil":         {nil, ""},
		"no URL":      {call("http://a b"), ""},
		"long host":   {call("https://" + strings.Repeat("a", 200) + ".example/"), "sha"},
		"not in text": {call("https://exämple.com/"), "sha"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.of.Group()
			if c.want == "sha" {
				if len(got) != 64 || strings.Trim(got, "0123456789abcdef") != "" {
					t.Errorf("got %q, want 64 hexadecimal digits", got)
				}
				return
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestReadable: readers see real booleans, and objects where there is nothing.
func TestReadable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"v1-webhook":         `{"type":"WEBHOOK","url":"https://example.com/hooks/7?a=%20b","agent":false,"synchronized":true,"method":"PUT","headers":{"X-Run":"r_1","X-Tags":"[\"a\",1]"},"body":{"10":1,"name":"\"ü\" & <b>","big":1e+21}}`,
		"v1-webhook-no-body": `{"type":"WEBHOOK","url":"http://localhost:8080","agent":false,"synchronized":false,"method":"GET","headers":{},"body":{}}`,
		"v1-webhook-agent":   `{"type":"WEBHOOK","url":"http://inside.example","agent":true,"synchronized":false,"method":"POST","headers":{},"body":{"a":null}}`,
		"v1-kafka":           `{"type":"KAFKA","payload":{"k":"v"}}`,
	} {
		i := goldens()[name]
		if diff := cmp.Diff(want, string(i.Readable())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestInstallation: who claims a run.
func TestInstallation(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"v1-webhook-agent": "_PORT_EXEC_AGENT", "v1-integration": "7",
		"v1-webhook": "", "v1-webhook-agent-message": "", "v1-gitlab-agent": "", "v1-kafka": "",
	} {
		i := goldens()[name]
		if got := i.Installation(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
