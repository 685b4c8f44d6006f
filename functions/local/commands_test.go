package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api/client"
)

// lines splits an output.
func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// decoded reads one JSON value that fills an output.
func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

func TestRunSendsInputs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, accept)
	w.webhook("act", r.URL, "")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"none":                      {nil, `{}`},
		"a string":                  {[]string{"--input", "name=checkout"}, `{"name":"checkout"}`},
		"an empty string":           {[]string{"--input", "name="}, `{"name":""}`},
		"with = , and ;":            {[]string{"--input", "name=a=b,c;d=e"}, `{"name":"a=b,c;d=e"}`},
		"a string like a number":    {[]string{"--input", "name=1.10"}, `{"name":"1.10"}`},
		"a string that is quoted":   {[]string{"--input", `name="7"`}, `{"name":"7"}`},
		"a string with {{ }}":       {[]string{"--input", "name={{ .secrets }}"}, `{"name":"{{ .secrets }}"}`},
		"JSON":                      {[]string{"--input", "count=3", "--input", "on=true", "--input", `tags=["a"]`}, `{"count":3,"on":true,"tags":["a"]}`},
		"a file":                    {[]string{"--inputs", write(t, "in.json", `{"count":1.50,"name":"file"}`)}, `{"count":1.5,"name":"file"}`},
		"a file, single ones above": {[]string{"--inputs", write(t, "in.json", `{"name":"file","count":1}`), "--input", "name=flag"}, `{"name":"flag","count":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.must(append([]string{"run", "act", "--dry-run"}, c.args...)...)
			inputs := decoded(t, got.out)["body"].(map[string]any)["inputs"]
			if diff := cmp.Diff(decoded(t, c.want), inputs); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := call(t, `{"name":"stdin"}`, "run", "act", "--dry-run", "--inputs", "-", "--url", w.url, "--data", w.data)
	if !strings.Contains(got.out, `"inputs":{"name":"stdin"}`) {
		t.Errorf("from standard input: %+v", got)
	}
	select {
	case <-r.requests:
		t.Error("a dry run delivered something")
	default:
	}
}

func TestRunFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.webhook("act", "http://127.0.0.1:9", `,"headers":{"X":"{{ .inputs.name | error }}"}`)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such action":         {[]string{"run", "nothing"}, 1, "nothing"},
		"an input of no kind":    {[]string{"run", "act", "--input", "count=many"}, 1, "properties.count"},
		"inputs that are none":   {[]string{"run", "act", "--inputs", write(t, "in.json", `[1]`)}, 2, "--inputs: expected a JSON object"},
		"inputs that are torn":   {[]string{"run", "act", "--inputs", write(t, "in.json", `{"a":`)}, 2, "in.json: "},
		"a secret that is wrong": {[]string{"run", "act", "--client-secret", strings.Repeat("x", 40)}, 1, "log in: "},
		"no such run":            {[]string{"logs", "r_0000000000000000"}, 1, "r_0000000000000000"},
		"approve no such run":    {[]string{"approve", "r_0000000000000000"}, 1, "r_0000000000000000"},
		"decline no such run":    {[]string{"decline", "r_0000000000000000"}, 1, "r_0000000000000000"},
		"run for nobody":         {[]string{"run", "act", "--run-as", "eve@example.com"}, 1, "run_as: there is no active user"},
		"redeliver no such run":  {[]string{"redeliver", "r_0000000000000000"}, 1, "r_0000000000000000"},
		"follow no such run":     {[]string{"logs", "../../actions", "--follow"}, 1, "longshore: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(c.args...)
			if got.code != c.code || got.out != "" || !strings.Contains(got.err, c.want) || strings.Contains(got.err, "xxxxxxxx") {
				t.Errorf("exit status %d, output %q, error %q; want %d and %q", got.code, got.out, got.err, c.code, c.want)
			}
		})
	}
	// A dry run says which expression failed, and goes on.
	got := w.must("run", "act", "--input", "name=no", "--dry-run")
	if !strings.Contains(got.err, "invocationMethod.headers.X: .inputs.name | error yields null: jq: error: no\n") {
		t.Errorf("the failed expression is not said: %q", got.err)
	}
	got = w.must("run", "act", "--input", "name=no", "--dry-run", "--json")
	if failed := decoded(t, got.out)["failedExpressions"].([]any); len(failed) != 1 {
		t.Errorf("failed expressions: %v", failed)
	}
}

func TestRunWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := newReceiver(t, func(rw http.ResponseWriter, key string) {
		if _, err := w.client.AppendLog(context.Background(), key, client.Line{Message: "cluster is up"}); err != nil {
			t.Errorf("append log: %v", err)
		}
		rw.WriteHeader(http.StatusOK)
	})
	bad := newReceiver(t, func(rw http.ResponseWriter, _ string) { rw.WriteHeader(http.StatusTeapot) })
	w.webhook("good", good.URL, synchronized)
	w.webhook("bad", bad.URL, synchronized)

	got := w.must("run", "good", "--wait")
	said := lines(got.out)
	if len(said) != 3 || !strings.HasSuffix(said[0], " IN_PROGRESS") || !strings.HasSuffix(said[1], " cluster is up") ||
		!strings.HasSuffix(said[2], " good SUCCESS") {
		t.Errorf("printed %q", got.out)
	}
	got = w.must("run", "good", "--wait", "--json")
	if run := decoded(t, got.out); run["status"] != "SUCCESS" || !strings.Contains(got.err, "cluster is up") {
		t.Errorf("printed %q, and on standard error %q", got.out, got.err)
	}
	got = w.call("run", "bad", "--wait")
	if got.code != 1 || !strings.Contains(got.out, " bad FAILURE ") || !strings.Contains(got.out, "418") ||
		!strings.HasSuffix(got.err, " ended with FAILURE\n") {
		t.Errorf("exit status %d, output %q, error %q", got.code, got.out, got.err)
	}
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, accept)
	w.webhook("act", r.URL, "")
	id := decoded(t, w.must("run", "act", "--json").out)["id"].(string)
	r.next(t)

	out := newBuffer()
	code := make(chan int)
	go func() {
		code <- execute(t.Context(), []string{"logs", id, "--follow", "--url", w.url, "--data", w.data}, &streams{strings.NewReader(""), out, newBuffer()})
	}()
	say := func(l client.Line) {
		t.Helper()
		if _, err := w.client.AppendLog(t.Context(), id, l); err != nil {
			t.Fatal(err)
		}
	}
	say(client.Line{Message: "first"})
	out.await(t, " first\n")
	say(client.Line{Message: "second"})
	out.await(t, " second\n")
	say(client.Line{Message: "last", TerminationStatus: "FAILURE"})
	if got := <-code; got != 0 {
		t.Errorf("exit status %d", got)
	}
	if got := lines(out.String()); len(got) != 3 || !strings.HasSuffix(got[2], " last") {
		t.Errorf("printed %q", out)
	}
	var messages []string
	for _, line := range lines(w.must("logs", id, "--json").out) {
		messages = append(messages, decoded(t, line)["message"].(string))
	}
	if diff := cmp.Diff([]string{"first", "second", "last"}, messages); diff != "" {
		t.Error(diff)
	}
}

func TestFollowIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, accept)
	w.webhook("act", r.URL, "")
	ctx, cancel := context.WithCancel(t.Context())
	out := newBuffer()
	errs := newBuffer()
	code := make(chan int)
	go func() {
		code <- execute(ctx, []string{"run", "act", "--wait", "--url", w.url, "--data", w.data}, &streams{strings.NewReader(""), out, errs})
	}()
	out.await(t, " IN_PROGRESS\n")
	cancel()
	if got := <-code; got != 1 || errs.String() != "longshore: interrupted\n" {
		t.Errorf("exit status %d, error %q", got, errs)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, func(rw http.ResponseWriter, _ string) { rw.WriteHeader(http.StatusOK) })
	w.webhook("ended", r.URL, synchronized)
	w.webhook("open", r.URL, "")
	var ids []string
	for _, action := range []string{"ended", "open", "open"} {
		id := decoded(t, w.must("run", action, "--json").out)["id"].(string)
		ids = append(ids, id)
		r.next(t)
	}
	w.must("logs", ids[0], "--follow")
	list := func(args ...string) []string {
		t.Helper()
		got := []string{}
		out := w.must(append([]string{"runs", "--json"}, args...)...).out
		if out == "" {
			return got
		}
		for _, line := range lines(out) {
			got = append(got, decoded(t, line)["id"].(string))
		}
		return got
	}
	id := w.server.Credentials().ClientID
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"all, newest first": {nil, []string{ids[2], ids[1], ids[0]}},
		"active":            {[]string{"--active"}, []string{ids[2], ids[1]}},
		"ended":             {[]string{"--no-active"}, []string{ids[0]}},
		"of an action":      {[]string{"--action", "ended"}, []string{ids[0]}},
		"of a user":         {[]string{"--user-id", id, "--limit", "1"}, []string{ids[2]}},
		"of another user":   {[]string{"--user-id", "client_x"}, []string{}},
		"of an entity":      {[]string{"--entity", "x"}, []string{}},
		"of a blueprint":    {[]string{"--blueprint", "x"}, []string{}},
		"from a source":     {[]string{"--source", "API"}, []string{ids[2], ids[1], ids[0]}},
		"from sources":      {[]string{"--source", "UI,AUTOMATION"}, []string{}},
		"with external id":  {[]string{"--external-run-id", "x"}, []string{}},
		"the next page":     {[]string{"--from", ids[2], "--limit", "1"}, []string{ids[1]}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, list(c.args...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	got := w.must("runs", "--limit", "2")
	said := lines(got.out)
	if len(said) != 3 || strings.Join(strings.Fields(said[0]), " ") != "RUN ACTION STATUS STARTED BY" || !strings.HasPrefix(said[1], ids[2]+"  open    IN_PROGRESS  ") {
		t.Errorf("printed %q", got.out)
	}
	if want := "longshore: there are more: --from " + ids[1] + "\n"; got.err != want {
		t.Errorf("got %q, want %q", got.err, want)
	}
}

func TestRedeliver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refuse := make(chan bool, 1)
	refuse <- true
	r := newReceiver(t, func(rw http.ResponseWriter, _ string) {
		select {
		case <-refuse:
			rw.WriteHeader(http.StatusBadRequest)
		default:
			rw.WriteHeader(http.StatusOK)
		}
	})
	w.webhook("act", r.URL, synchronized)
	run := decoded(t, w.call("run", "act", "--wait", "--json").out)
	id := run["id"].(string)
	if run["status"] != "FAILURE" {
		t.Fatalf("the run is %v", run["status"])
	}
	got := w.must("redeliver", id)
	if !strings.HasPrefix(got.out, id+" act IN_PROGRESS") {
		t.Errorf("printed %q", got.out)
	}
	w.must("logs", id, "--follow")
	first, second := r.next(t), r.next(t)
	if first.key != id || second.key != id || first.body != second.body {
		t.Errorf("delivered %+v, then %+v", first, second)
	}
	if got := w.call("redeliver", id); got.code != 1 || !strings.Contains(got.err, id) {
		t.Errorf("a run that succeeded: exit status %d, error %q", got.code, got.err)
	}
}

func TestApproveAndDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, accept)
	w.must("apply", write(t, "a.yaml", fmt.Sprintf("{blueprint: _user, identifier: ada@example.com}\n---\n"+
		"identifier: act\nrequiredApproval: {type: ALL}\ntrigger: {type: self-service, operation: CREATE}\n"+
		"invocationMethod: {type: WEBHOOK, url: %q, synchronized: true, body: {by: '{{ .trigger.by.user.email }}'}}\n", r.URL)))
	start := func() string {
		t.Helper()
		run := decoded(t, w.must("run", "act", "--run-as", "ada@example.com", "--json").out)
		if run["status"] != "WAITING_FOR_APPROVAL" || run["impersonatedBy"] == nil {
			t.Fatalf("the run is %v", run)
		}
		return run["id"].(string)
	}
	id := start()
	if got := w.must("approve", id, "--description", "go on"); !strings.HasPrefix(got.out, id+" act IN_PROGRESS") {
		t.Errorf("printed %q", got.out)
	}
	w.must("logs", id, "--follow")
	if got := r.next(t); got.key != id || !strings.Contains(got.body, "ada@example.com") {
		t.Errorf("delivered %+v, want it by ada", got)
	}
	if got := w.call("decline", id); got.code != 1 || !strings.Contains(got.err, "does not wait for approval") {
		t.Errorf("a decline afterwards: exit status %d, error %q", got.code, got.err)
	}
	id = start()
	declined := decoded(t, w.must("decline", id, "--description", "no", "--json").out)
	if last, _ := declined["approval"].(map[string]any); declined["status"] != "DECLINED" || last["description"] != "no" {
		t.Errorf("the run is %v", declined)
	}
}
