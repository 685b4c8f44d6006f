package trigger_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/trigger"
)

func body(text string) *string { return &text }

// TestWebhook: what a rendered method becomes.
func TestWebhook(t *testing.T) {
	t.Parallel()
	const url = "https://example.com/x"
	for name, c := range map[string]struct {
		method, inputs string
		want           invocation.Webhook
	}{
		"least": {
			`{"type":"WEBHOOK","url":"` + url + `"}`, `{}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST"},
		},
		"nulls are absent": {
			`{"type":"WEBHOOK","url":"` + url + `","method":"{{ .inputs.no }}","agent":"{{ .inputs.no }}","synchronized":"{{ .inputs.no }}","headers":{"X":"{{ .inputs.no }}"}}`, `{}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST"},
		},
		"literal ends at the expression": {
			`{"type":"WEBHOOK","url":"https://{{ .inputs.host }}/a/{{ .inputs.host }}"}`, `{"host":"h:81"}`,
			invocation.Webhook{URL: "https://h:81/a/h:81", Literal: "https://", Method: "POST"},
		},
		"whole URL from a template": {
			`{"type":"WEBHOOK","url":"{{ .inputs.u }}"}`, `{"u":"HTTP://[::1]:8080?q=1#f"}`,
			invocation.Webhook{URL: "HTTP://[::1]:8080?q=1#f", Method: "POST"},
		},
		"booleans": {
			`{"type":"WEBHOOK","url":"` + url + `","synchronized":true,"agent":false}`, `{}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Synchronized: true},
		},
		"booleans from values": {
			`{"type":"WEBHOOK","url":"` + url + `","synchronized":"{{ .inputs.yes }}","agent":"{{ .inputs.no }}"}`, `{"yes":true,"no":false}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Synchronized: true},
		},
		"booleans from text": {
			`{"type":"WEBHOOK","url":"` + url + `","synchronized":"{{ .inputs.a }}{{ .inputs.b }}","agent":"{{ .inputs.no }}"}`,
			`{"a":"tr","b":"ue","no":"false"}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Synchronized: true},
		},
		"methods": {
			`{"type":"WEBHOOK","url":"` + url + `","method":"{{ .inputs.m }}"}`, `{"m":"DELETE"}`,
			invocation.Webhook{URL: url, Literal: url, Method: "DELETE"},
		},
		"headers": {
			`{"type":"WEBHOOK","url":"` + url + `","headers":{"X-Text":"a: {{ .inputs.n }}","X-Number":"{{ .inputs.n }}","X-List":"{{ .inputs.l }}","X-Null":"{{ .inputs.no }}","X-Nothing":"{{ empty }}","X-False":"{{ false }}","X-Empty":"","{{ .inputs.name }}":"tab\there ü"}}`,
			`{"n":1.50,"l":["<",{"b":1,"a":null}],"name":"x_.~!#$%&'*+-^|` + "`" + `9"}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Headers: []invocation.Header{
				{Name: "X-Text", Value: "a: 1.5"}, {Name: "X-Number", Value: "1.5"}, {Name: "X-List", Value: `["<",{"b":1,"a":null}]`},
				{Name: "X-False", Value: "false"}, {Name: "X-Empty", Value: ""}, {Name: "x_.~!#$%&'*+-^|`9", Value: "tab\there ü"},
			}},
		},
		"body as JSON.stringify writes it": {
			`{"type":"WEBHOOK","url":"` + url + `","body":{"z":"</a>&","10":"{{ .inputs.big }}","2":1e-7,"s":"{{ .inputs.s }}","d":"{{ empty }}"}}`,
			`{"big":1e21,"s":"\u2028é\u0001\""}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Body: body(`{"2":1e-7,"10":1e+21,"z":"</a>&","s":"` + "\u2028é" + `\u0001\""}`)},
		},
		"body is an array": {
			`{"type":"WEBHOOK","url":"` + url + `","body":["{{ .inputs.a }}","{{ empty }}",{}]}`, `{"a":[]}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Body: body(`[[],null,{}]`)},
		},
		"empty object is a body": {
			`{"type":"WEBHOOK","url":"` + url + `","body":{}}`, `{}`,
			invocation.Webhook{URL: url, Literal: url, Method: "POST", Body: body(`{}`)},
		},
		"GET": {
			`{"type":"WEBHOOK","url":"` + url + `","method":"GET","body":{"q":"{{ .inputs.q }}"}}`, `{"q":[1]}`,
			invocation.Webhook{URL: url, Literal: url, Method: "GET", Body: body(`{"q":[1]}`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, v2("a", c.method))
			got := w.start(t, request(t, "a", c.inputs)).Record
			if diff := cmp.Diff(&c.want, got.Invocation.Webhook); diff != "" {
				t.Errorf("webhook (-want +got):\n%s", diff)
			}
			if got.Backend != invocation.BackendWebhook || len(w.queue.sent) != 1 {
				t.Errorf("backend %s, %d messages", got.Backend, len(w.queue.sent))
			}
		})
	}
}

// TestWebhookPayload: readers see real booleans, and objects where there is nothing.
func TestWebhookPayload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, want string }{
		"least": {
			`{"url":"https://example.com","type":"WEBHOOK"}`,
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{}}`,
		},
		"all": {
			`{"type":"WEBHOOK","url":"https://example.com","agent":"false","synchronized":"true","method":"PUT","headers":{"n":"{{ 1 }}"},"body":["<"]}`,
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":true,"method":"PUT","headers":{"n":"1"},"body":["<"]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, v2("a", c.method))
			got := w.start(t, request(t, "a", "{}")).Record
			if diff := cmp.Diff(c.want, string(got.Invocation.Readable())); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAgent: a run of an agent is recorded and waits to be claimed.
func TestAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Configured = func(string) bool { return true } })
	w.actions.add(t, v2("a", `{"type":"WEBHOOK","url":"http://inside","agent":"{{ .inputs.private }}"}`))
	got := w.start(t, request(t, "a", `{"private":"true"}`)).Record
	if got.Backend != invocation.BackendAgent || !got.Invocation.Webhook.Agent || got.Delivery.Waiting == "" {
		t.Errorf("backend %s, agent %t, waiting %q", got.Backend, got.Invocation.Webhook.Agent, got.Delivery.Waiting)
	}
	want := `{"type":"WEBHOOK","url":"http://inside","agent":true,"synchronized":false,"method":"POST","headers":{},"body":{}}`
	if diff := cmp.Diff(want, string(got.Invocation.Readable())); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if len(w.queue.sent) != 0 {
		t.Errorf("sent %+v, want nothing", w.queue.sent)
	}
	if lines := w.logs(t, got.ID); len(lines) != 1 || !strings.Contains(lines[0], "claims it") {
		t.Errorf("log lines are %q", lines)
	}
}

// TestRenderedFaults: what no dispatcher could send is refused, with its path, and never repeated.
func TestRenderedFaults(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	url := func(template string) string { return `{"type":"WEBHOOK","url":"` + template + `"}` }
	with := func(rest string) string { return `{"type":"WEBHOOK","url":"https://example.com",` + rest + `}` }
	for name, c := range map[string]struct {
		method, inputs string
		want           []fault.Detail
	}{
		"URL null":           {url("{{ .inputs.no }}"), `{}`, one("url", "host, but it rendered to null")},
		"URL undefined":      {url("{{ empty }}"), `{}`, one("url", "host, but it rendered to null")},
		"URL failed":         {url("{{ .inputs.u.x }}"), `{"u":"hunter2"}`, one("url", "host, but it rendered to null")},
		"URL a number":       {url("{{ .inputs.u }}"), `{"u":7}`, one("url", "host, but it rendered to a number")},
		"URL an object":      {url("{{ .inputs }}"), `{}`, one("url", "host, but it rendered to an object")},
		"URL empty":          {url("{{ .inputs.u }}"), `{"u":""}`, one("url", "host, but its scheme is not http or https")},
		"URL relative":       {url("{{ .inputs.u }}"), `{"u":"/a?hunter2"}`, one("url", "host, but its scheme is not http or https")},
		"URL without scheme": {url("{{ .inputs.u }}"), `{"u":"//example.com/?hunter2"}`, one("url", "host, but its scheme is not http or https")},
		"URL of a file":      {url("{{ .inputs.u }}"), `{"u":"file:///etc/hunter2"}`, one("url", "host, but its scheme is not http or https")},
		"URL opaque":         {url("{{ .inputs.u }}"), `{"u":"https:hunter2"}`, one("url", "host, but it has no host")},
		"URL without host":   {url("https://{{ .inputs.u }}/p"), `{"u":""}`, one("url", "host, but it has no host")},
		"URL port only":      {url("https://{{ .inputs.u }}"), `{"u":":80/hunter2"}`, one("url", "host, but it has no host")},
		"URL user only":      {url("https://{{ .inputs.u }}"), `{"u":"hunter2@/"}`, one("url", "host, but it has no host")},
		"URL bad port":       {url("https://h:{{ .inputs.u }}"), `{"u":65536}`, one("url", "host, but its port is not 1 to 65535")},
		"URL port 0":         {url("https://h:{{ .inputs.u }}"), `{"u":0}`, one("url", "host, but its port is not 1 to 65535")},
		"URL port text":      {url("https://h:{{ .inputs.u }}"), `{"u":"hunter2"}`, one("url", "host, but it rendered to text that is no URL")},
		"URL line end":       {url("https://h/{{ .inputs.u }}"), `{"u":"a\r\nX: hunter2"}`, one("url", "host, but it rendered to text that is no URL")},
		"URL bad escape":     {url("https://h/{{ .inputs.u }}"), `{"u":"%zz"}`, one("url", "host, but it rendered to text that is no URL")},
		"URL space":          {url("https://{{ .inputs.u }}"), `{"u":"a hunter2"}`, one("url", "host, but it rendered to text that is no URL")},

		"method unknown": {with(`"method":"{{ .inputs.m }}"`), `{"m":"hunter2"}`, one("method", "must be one of POST, PUT, PATCH, DELETE, GET, but it rendered to other text")},
		"method lower":   {with(`"method":"{{ .inputs.m }}"`), `{"m":"post"}`, one("method", "must be one of POST, PUT, PATCH, DELETE, GET, but it rendered to other text")},
		"method number":  {with(`"method":"{{ 1 }}"`), `{}`, one("method", "must be one of POST, PUT, PATCH, DELETE, GET, but it rendered to a number")},

		"agent text":         {with(`"agent":"{{ .inputs.a }}"`), `{"a":"yes"}`, one("agent", "must be true or false, but it rendered to other text")},
		"agent number":       {with(`"agent":"{{ 1 }}"`), `{}`, one("agent", "must be true or false, but it rendered to a number")},
		"agent array":        {with(`"agent":"{{ [true] }}"`), `{}`, one("agent", "must be true or false, but it rendered to an array")},
		"synchronized empty": {with(`"synchronized":"{{ .inputs.s }}"`), `{"s":""}`, one("synchronized", "must be true or false, but it rendered to other text")},

		"header CR":        {with(`"headers":{"X":"{{ .inputs.v }}"}`), `{"v":"a\rhunter2"}`, one("headers.X", "must be free of control characters, line ends included")},
		"header LF":        {with(`"headers":{"X":"{{ .inputs.v }}"}`), `{"v":"a\nhunter2"}`, one("headers.X", "must be free of control characters, line ends included")},
		"header DEL":       {with(`"headers":{"X":"{{ .inputs.v }}"}`), `{"v":"\u007f"}`, one("headers.X", "must be free of control characters, line ends included")},
		"header name":      {with(`"headers":{"{{ .inputs.n }}":"v"}`), `{"n":"X y\r\n"}`, one("headers", `the header name "X y\r\n" has a character that none may have`)},
		"header name ü":    {with(`"headers":{"{{ .inputs.n }}":"v"}`), `{"n":"ü"}`, one("headers", `the header name "ü" has a character that none may have`)},
		"header name long": {with(`"headers":{"{{ .inputs.n }}":"v"}`), `{"n":" ` + strings.Repeat("a", 5000) + `"}`, one("headers", `the header name " `+strings.Repeat("a", 99)+`" has a character that none may have`)},

		"GET of a list":  {with(`"method":"{{ .inputs.m }}","body":["{{ 1 }}"]`), `{"m":"GET"}`, one("body", "must be an object for method GET, whose body goes into the query, but it rendered to an array")},
		"agent's a list": {with(`"agent":"{{ true }}","body":["{{ 1 }}"]`), `{}`, one("body", "must be an object for a run of an agent, which takes no other, but it rendered to an array")},

		"all at once": {
			`{"type":"WEBHOOK","url":"{{ .inputs.u }}","method":"{{ .inputs.u }}","agent":"{{ .inputs.u }}","headers":{"X":"{{ .inputs.u }}"}}`,
			`{"u":"hunter2\n"}`,
			[]fault.Detail{
				{Path: "invocationMethod.url", Message: "must be an absolute http or https URL with a host, but it rendered to text that is no URL"},
				{Path: "invocationMethod.method", Message: "must be one of POST, PUT, PATCH, DELETE, GET, but it rendered to other text"},
				{Path: "invocationMethod.headers.X", Message: "must be free of control characters, line ends included"},
				{Path: "invocationMethod.agent", Message: "must be true or false, but it rendered to other text"},
			},
		},
		"reportWorkflowStatus": {
			`{"type":"GITHUB","org":"o","repo":"r","workflow":"w","reportWorkflowStatus":"{{ .inputs.r }}"}`, `{"r":"hunter2"}`,
			one("reportWorkflowStatus", "must be true or false, but it rendered to other text"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = noReserve{c.Runs, t} })
			w.actions.add(t, v2("a", c.method))
			q := request(t, "a", c.inputs)
			q.IdempotencyKey = "k"
			_, err := w.Start(t.Context(), q)
			e := wantFault(t, err, fault.Invalid, "invalid_request")
			if diff := cmp.Diff(c.want, e.Details); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error()+w.log.String(), secret) {
				t.Errorf("%v repeats an input", err)
			}
			w.wantNothing(t)
		})
	}
}

func one(path, message string) []fault.Detail {
	if path == "url" {
		message = "must be an absolute http or https URL with a " + message
	}
	return []fault.Detail{{Path: "invocationMethod." + path, Message: message}}
}
