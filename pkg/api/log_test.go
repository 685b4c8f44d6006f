package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
)

// messages are the messages of an answered log.
func messages(g *got) []string {
	g.t.Helper()
	var list []string
	for _, l := range g.list("runLogs") {
		list = append(list, l.(map[string]any)["message"].(string))
	}
	return list
}

func TestLogs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	path := "/v1/actions/runs/" + id + "/logs"
	var lines []any
	var want []string
	for i := range 60 {
		message := fmt.Sprintf("line %d", i)
		g := f.call("POST", path, `{"message":"`+message+`"}`).want(http.StatusCreated)
		if g.at("runLog", "runId") != id || g.at("runLog", "createdBy") != clientID || g.at("runLog", "message") != message {
			t.Fatalf("got %s", g.text)
		}
		lines = append(lines, g.at("runLog"))
		want = append(want, message)
	}
	last := func(n int) string { return lines[n].(map[string]any)["id"].(string) }
	tests := map[string]struct {
		query string
		want  []string
	}{
		"the first fifty":   {"", want[:50]},
		"a few":             {"?limit=3", want[:3]},
		"with an offset":    {"?limit=3&offset=4", want[4:7]},
		"the rest":          {"?offset=50", want[50:]},
		"behind the end":    {"?offset=60", nil},
		"far behind":        {"?offset=2147483647", nil},
		"after a line":      {"?after=" + last(54), want[55:]},
		"after, and so few": {"?limit=2&after=" + last(9), want[10:12]},
		"after the last":    {"?after=" + last(59), nil},
		"after nothing":     {"?after=&limit=1", want[:1]},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			if diff := cmp.Diff(test.want, messages(f.call("GET", path+test.query, "").want(200))); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
	all := append(f.call("GET", path, "").list("runLogs"), f.call("GET", path+"?offset=50", "").list("runLogs")...)
	if diff := cmp.Diff(lines, all); diff != "" {
		t.Errorf("lines as POST and GET answer them (-POST +GET):\n%s", diff)
	}
}

func TestLogThatEndsTheRun(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"SUCCESS", "FAILURE"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.start()
			path := "/v1/actions/runs/" + id
			f.call("POST", path+"/logs", `{"message":"the end","statusLabel":"finished","terminationStatus":"`+status+`"}`).want(201)
			g := f.call("GET", path, "").want(200)
			if g.at("run", "status") != status || g.at("run", "statusLabel") != "finished" || g.at("run", "endedAt") == nil {
				t.Errorf("got %s, want it ended", g.text)
			}
			f.call("POST", path+"/logs", `{"message":"again","terminationStatus":"`+status+`"}`).fault(422, "run_already_ended")
			f.call("POST", path+"/logs", `{"message":"a late line"}`).want(201)
			f.call("POST", path+"/logs", `{"message":"a late label","statusLabel":"late"}`).want(201)
			want := []string{"the end", "a late line", "a late label"}
			if diff := cmp.Diff(want, messages(f.call("GET", path+"/logs", "").want(200))); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			g = f.call("GET", path, "").want(200)
			if g.at("run", "statusLabel") != "finished" {
				t.Errorf("got label %v, want what the run ended with", g.at("run", "statusLabel"))
			}
		})
	}
}

func TestLogWithALabel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"half","statusLabel":"50 %"}`).want(201)
	g := f.call("GET", "/v1/actions/runs/"+id, "").want(200)
	if g.at("run", "statusLabel") != "50 %" || g.at("run", "status") != "IN_PROGRESS" {
		t.Errorf("got %s", g.text)
	}
}

// Lines of control characters are six times as long in JSON: a page ends early, and the next begins
// where it ended.
func TestLogsStayBelowTheLargestAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	path := "/v1/actions/runs/" + id + "/logs"
	long := strings.Repeat(`\u0001`, 64<<10)
	for range 16 {
		f.call("POST", path, `{"message":"`+long+`"}`).want(201)
	}
	after, lines := "", 0
	for lines < 16 {
		g := f.call("GET", path+"?after="+after, "").want(200)
		if len(g.text) > api.MaxAnswer {
			t.Fatalf("got %d bytes", len(g.text))
		}
		list := g.list("runLogs")
		if len(list) == 0 {
			t.Fatalf("got %d lines, want 16", lines)
		}
		lines += len(list)
		after = list[len(list)-1].(map[string]any)["id"].(string)
	}
}
