package trigger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/permission"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// TestTemplateFaults: what the template layer refuses is the trigger's answer.
func TestTemplateFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, word, path string }{
		"key of the wrong type": {`{"{{ 1 }}":1}`, "invalid_request", "invocationMethod.body"},
		"spread of text":        {`{"{{ spreadValue() }}":"{{ .run.id }}"}`, "invalid_request", "invocationMethod.body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = noReserve{c.Runs, t} })
			w.actions.add(t, v2("a", `{"type":"WEBHOOK","url":"https://example.com","body":`+c.body+`}`))
			q := request(t, "a", "{}")
			q.IdempotencyKey = "k"
			_, err := w.Start(t.Context(), q)
			e := wantFault(t, err, fault.Invalid, c.word)
			if len(e.Details) == 0 || !strings.HasPrefix(e.Details[0].Path, c.path) {
				t.Errorf("details are %+v, want the path %s", e.Details, c.path)
			}
			w.wantNothing(t)
		})
	}
}

// TestTemplateLimits: a template that hits a limit is refused and leaves nothing.
func TestTemplateLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ expression, want string }{
		"output": {`\"a\" * 1100000`, "output"},
		"time":   {`last(range(1e12))`, "longer than 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = noReserve{c.Runs, t} })
			w.actions.add(t, v2("a", `{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ `+c.expression+` }}"}}`))
			q := request(t, "a", "{}")
			q.IdempotencyKey = "k"
			_, err := w.Start(t.Context(), q)
			wantFault(t, err, fault.Invalid, "template_limit", c.want)
			w.wantNothing(t)
		})
	}
}

// TestDeadline: all of a trigger together has its time, however it was spent.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, definition := range map[string]string{
		"v2": v2("a", `{"type":"WEBHOOK","url":"https://example.com/{{ .run.id }}"}`),
		"v1": `{"identifier":"a","trigger":"CREATE","userInputs":{"properties":{}},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &definitions{records: map[string]*action.Record{}}
				d.add(t, definition)
				took := trigger.Deadline - time.Millisecond
				tr := trigger.New(trigger.Config{
					Permissions: permission.New(permission.Config{}), Actions: action.NewCache(d), Accepter: nowhere{}, Configured: func(string) bool { return true },
					Log: slog.New(slog.DiscardHandler),
					// Stands for all that may be slow between the inputs and the templates.
					NewID: func(now time.Time) string {
						time.Sleep(took)
						return run.NewID(now)
					},
				})
				if _, err := tr.Start(t.Context(), request(t, "a", "{}")); err != nil {
					t.Errorf("in time: %v", err)
				}
				took = trigger.Deadline
				_, err := tr.Start(t.Context(), request(t, "a", "{}"))
				wantFault(t, err, fault.Invalid, "template_limit")
			})
		})
	}
}

// only is a definition that was not checked when it was saved.
type only struct{ entry *action.Entry }

func (o only) Get(context.Context, string) (*action.Entry, error) { return o.entry, nil }

// TestUncheckedDefinition: what a template renders is checked even where saving lets nothing wrong
// through today.
func TestUncheckedDefinition(t *testing.T) {
	t.Parallel()
	const url = `"url":"https://example.com"`
	for name, c := range map[string]struct {
		method string
		want   []fault.Detail
	}{
		"no object":      {`["WEBHOOK"]`, []fault.Detail{{Path: "invocationMethod", Message: "must be an object, but it rendered to an array"}}},
		"nothing":        {`"{{ empty }}"`, []fault.Detail{{Path: "invocationMethod", Message: "must be an object, but it rendered to null"}}},
		"headers a list": {`{` + url + `,"headers":["hunter2"]}`, one("headers", "must be an object, but it rendered to an array")},
		"header NUL":     {`{` + url + `,"headers":{"X":"\u0000"}}`, one("headers.X", "must be free of control characters, line ends included")},
		"URL NUL":        {`{"url":"https://h/\u0000"}`, one("url", "host, but it rendered to text that is no URL")},
		"body text":      {`{` + url + `,"body":"hunter2"}`, one("body", "must be an object or an array, but it rendered to other text")},
		"body number":    {`{` + url + `,"body":1}`, one("body", "must be an object or an array, but it rendered to a number")},
		"body false":     {`{` + url + `,"body":"{{ false }}"}`, one("body", "must be an object or an array, but it rendered to false")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			definition, err := action.Parse([]byte(v2("a", `{"type":"WEBHOOK",`+url+`}`)))
			if err != nil {
				t.Fatal(err)
			}
			method, err := jqtemplate.Decode([]byte(c.method))
			if err != nil {
				t.Fatal(err)
			}
			if definition.Method.Template, err = jqtemplate.Parse(method, "invocationMethod"); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, func(_ *world, c *trigger.Config) {
				c.Actions = only{&action.Entry{Record: &action.Record{Identifier: "a", ID: "action_a"}, Definition: definition}}
			})
			_, err = w.Start(t.Context(), request(t, "a", "{}"))
			if diff := cmp.Diff(c.want, wantFault(t, err, fault.Invalid, "invalid_request").Details); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
			w.wantNothing(t)
		})
	}
}

// TestOtherBackends: runs of every other type are recorded whole and wait.
func TestOtherBackends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, backend, want string }{
		"GITHUB": {
			`{"type":"GITHUB","org":"acme","repo":"{{ .inputs.r }}","workflow":"w.yml","workflowInputs":{"{{ spreadValue() }}":"{{ .inputs }}","n":1},"reportWorkflowStatus":"{{ \"false\" }}"}`,
			"github", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"w.yml","workflowInputs":{"r":"shop","n":1},"reportWorkflowStatus":false}`,
		},
		"GITHUB without the rest": {
			`{"type":"GITHUB","org":"acme","repo":"shop","workflow":"w.yml"}`,
			"github", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"w.yml"}`,
		},
		"INTEGRATION_ACTION": {
			`{"type":"INTEGRATION_ACTION","installationId":"1","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"{{ .inputs.r }}","workflow":"w","workflowInputs":{},"reportWorkflowStatus":"true"}}`,
			"agent", `{"type":"INTEGRATION_ACTION","installationId":"1","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"shop","workflow":"w","workflowInputs":{},"reportWorkflowStatus":true}}`,
		},
		"GITLAB": {
			`{"type":"GITLAB","projectName":"p","groupName":"a/b","pipelineVariables":{"A":"{{ .inputs.r }}"}}`,
			"gitlab", `{"type":"GITLAB","projectName":"p","groupName":"a/b","pipelineVariables":{"A":"shop"}}`,
		},
		"AZURE_DEVOPS": {
			`{"type":"AZURE_DEVOPS","webhook":"w","org":"o","payload":["{{ .inputs.r }}"]}`,
			"azuredevops", `{"type":"AZURE_DEVOPS","webhook":"w","org":"o","payload":["shop"]}`,
		},
		"KAFKA": {
			`{"type":"KAFKA","payload":{"k":"{{ .inputs.r }}"}}`,
			"kafka", `{"type":"KAFKA","payload":{"k":"shop"}}`,
		},
		"UPSERT_ENTITY": {
			`{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"{{ .inputs.r }}","properties":{"p":"{{ empty }}"}}}`,
			"upsertentity", `{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"shop","properties":{}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, v2("a", c.method))
			got := w.start(t, request(t, "a", `{"r":"shop"}`)).Record
			if diff := cmp.Diff(c.want, string(got.Invocation.Readable())); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
			if got.Backend != c.backend || got.Invocation.Backend != c.backend || got.Invocation.Webhook != nil {
				t.Errorf("backend %s, %s, webhook %v", got.Backend, got.Invocation.Backend, got.Invocation.Webhook)
			}
			if got.Status != "IN_PROGRESS" || got.Delivery.Waiting == "" || !got.Due.After(start) {
				t.Errorf("status %s, waiting %q, due %s", got.Status, got.Delivery.Waiting, got.Due)
			}
			if lines := w.logs(t, got.ID); len(lines) != 1 || !strings.Contains(lines[0], "waits until") {
				t.Errorf("log lines are %q", lines)
			}
			if len(w.queue.sent) != 0 {
				t.Errorf("sent %+v, want nothing", w.queue.sent)
			}
		})
	}
}

// TestConfiguredBackend: a backend that the deployment has gets its message, with the payload in it.
func TestConfiguredBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Configured = func(backend string) bool { return backend == invocation.BackendKafka }
	})
	w.actions.add(t, v2("kafka", `{"type":"KAFKA","payload":{"k":1}}`))
	w.actions.add(t, v2("webhook", `{"type":"WEBHOOK","url":"https://example.com"}`))
	w.start(t, request(t, "kafka", "{}"))
	if len(w.queue.sent) != 1 || string(w.queue.sent[0].Message.Invocation.Payload) != `{"type":"KAFKA","payload":{"k":1}}` {
		t.Fatalf("sent %+v", w.queue.sent)
	}
	got := w.start(t, request(t, "webhook", "{}")).Record
	if lines := w.logs(t, got.ID); len(w.queue.sent) != 1 || len(lines) != 1 || !strings.Contains(lines[0], "backend webhook is not configured in this deployment") {
		t.Errorf("%d messages, log lines %q", len(w.queue.sent), lines)
	}
}

// v1 is an action of the first generation with the inputs s and ref.
func v1(method string) string {
	return `{"identifier":"a","title":"A","trigger":"CREATE","blueprint":"service","userInputs":{"properties":{"s":{"type":"string"}}},"invocationMethod":` + method + `}`
}

// message is the run message of an action made by v1.
func message(method string) string {
	return `{"action":"a","resourceType":"run","status":"TRIGGERED",` +
		`"trigger":{"by":{"orgId":"org_1","userId":"client","user":` + machine + `},"origin":"API","at":"` + at + `"},` +
		`"context":{"entity":null,"blueprint":"service","runId":"` + runID(1) + `"},` +
		`"payload":{"entity":null,"action":ACTION,"properties":{"s":"{{ 1 }}","more":[1e+21]},"censoredProperties":[]}}`
}

const machine = `{"id":"client","email":null,"firstName":null,"lastName":null,"phoneNumber":null,"picture":null,` +
	`"providers":null,"status":null,"createdAt":null,"updatedAt":null}`

// TestFirstGeneration: v1 methods go as they were written, with the run message where v2 has its
// payload.
func TestFirstGeneration(t *testing.T) {
	t.Parallel()
	quoted := func(text string) string {
		out, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, c := range map[string]struct {
		method, backend string
		want            func(message string) string
	}{
		"WEBHOOK": {
			`{"type":"WEBHOOK","url":"https://example.com/{{x}}"}`, "webhook",
			func(m string) string {
				return `{"type":"WEBHOOK","url":"https://example.com/{{x}}","agent":false,"synchronized":false,"method":"POST","headers":{},"body":` + m + `}`
			},
		},
		"WEBHOOK of an agent": {
			`{"type":"WEBHOOK","url":"https://example.com","agent":true,"method":"PUT","synchronized":true}`, "agent",
			func(m string) string {
				return `{"type":"WEBHOOK","url":"https://example.com","agent":true,"synchronized":true,"method":"PUT","headers":{},"body":` + m + `}`
			},
		},
		"KAFKA": {
			`{"type":"KAFKA"}`, "kafka",
			func(m string) string { return `{"type":"KAFKA","payload":` + m + `}` },
		},
		"AZURE-DEVOPS": {
			`{"type":"AZURE-DEVOPS","org":"o","webhook":"w"}`, "azuredevops",
			func(m string) string { return `{"type":"AZURE_DEVOPS","org":"o","webhook":"w","payload":` + m + `}` },
		},
		"GITHUB": {
			`{"type":"GITHUB","org":"o","repo":"r","workflow":"w"}`, "github",
			func(m string) string {
				return `{"type":"GITHUB","org":"o","repo":"r","workflow":"w","workflowInputs":{"s":"{{ 1 }}","more":[1e+21],"port_payload":` + quoted(m) + `}}`
			},
		},
		"GITHUB without inputs": {
			`{"type":"GITHUB","org":"o","repo":"r","workflow":"w","omitUserInputs":true,"omitPayload":false}`, "github",
			func(m string) string {
				return `{"type":"GITHUB","org":"o","repo":"r","workflow":"w","omitUserInputs":true,"omitPayload":false,"workflowInputs":{"port_payload":` + quoted(m) + `}}`
			},
		},
		"GITHUB without both": {
			`{"type":"GITHUB","org":"o","repo":"r","workflow":"w","omitUserInputs":true,"omitPayload":true}`, "github",
			func(string) string {
				return `{"type":"GITHUB","org":"o","repo":"r","workflow":"w","omitUserInputs":true,"omitPayload":true,"workflowInputs":{}}`
			},
		},
		"GITLAB": {
			`{"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"main"}`, "gitlab",
			func(m string) string {
				return `{"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"main","pipelineVariables":{"s":"{{ 1 }}","more":[1e+21],"port_payload":` + m + `}}`
			},
		},
		"GITLAB of an agent": {
			`{"type":"GITLAB","projectName":"p","groupName":"g","agent":true,"omitPayload":true}`, "kafka",
			func(string) string {
				return `{"type":"GITLAB","projectName":"p","groupName":"g","agent":true,"omitPayload":true,"pipelineVariables":{"s":"{{ 1 }}","more":[1e+21]}}`
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			entry := w.actions.add(t, v1(c.method))
			got := w.start(t, request(t, "a", `{"s":"{{ 1 }}","more":[1e21]}`)).Record
			m := strings.Replace(message(c.method), "ACTION", shown(t, entry), 1)
			want := c.want(m)
			if diff := cmp.Diff(want, string(got.Invocation.Readable())); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
			if got.Backend != c.backend {
				t.Errorf("backend %s, want %s", got.Backend, c.backend)
			}
			if call := got.Invocation.Webhook; call != nil && (*call.Body != m || call.Literal != call.URL) {
				t.Errorf("body %s\nwant %s\nliteral %s", *call.Body, m, call.Literal)
			}
		})
	}
}

// TestManyFirstGeneration: each of more definitions than are kept encoded sends its own.
func TestManyFirstGeneration(t *testing.T) {
	t.Parallel()
	d := &definitions{records: map[string]*action.Record{}}
	tr := trigger.New(trigger.Config{
		Permissions: permission.New(permission.Config{}), Actions: action.NewCache(d), Accepter: nowhere{}, Configured: func(string) bool { return true },
		Log: slog.New(slog.DiscardHandler),
	})
	for n := range 300 {
		d.add(t, strings.Replace(v1(`{"type":"WEBHOOK","url":"https://example.com"}`), `"a"`, fmt.Sprintf(`"a%d"`, n), 1))
	}
	for range 2 {
		for n := range 300 {
			got, err := tr.Start(t.Context(), request(t, fmt.Sprintf("a%d", n), "{}"))
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(`"action":{"identifier":"a%d"`, n); !strings.Contains(*got.Record.Invocation.Webhook.Body, want) {
				t.Fatalf("body is %s, want %s in it", *got.Record.Invocation.Webhook.Body, want)
			}
		}
	}
}
