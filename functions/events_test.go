package functions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/schedule"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

// settings is the one file in events/ that is no event: an --env-vars file.
const settings = "env.json"

// function is a function of the template.
type function struct {
	// Name is its logical id, folder that of its code in functions/.
	name, folder string
	// sources are the types of its events, routes those of its HTTP API events as ServeMux reads them.
	sources, routes []string
}

// functions returns the functions of the template by name.
func functions(t *testing.T) []function {
	t.Helper()
	var list []function
	for name, r := range resources(t, "AWS::Serverless::Function") {
		f := function{name: name, folder: filepath.Base(at(r, "Properties", "CodeUri").(string))}
		events, _ := at(r, "Properties", "Events").(map[string]node)
		for _, e := range events {
			source, _ := at(e, "Type").(string)
			f.sources = append(f.sources, source)
			if path, given := at(e, "Properties", "Path").(string); given {
				f.routes = append(f.routes, at(e, "Properties", "Method").(string)+" "+path)
			}
		}
		slices.Sort(f.sources)
		f.sources = slices.Compact(f.sources)
		slices.Sort(f.routes)
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b function) int { return strings.Compare(a.name, b.name) })
	return list
}

// eventsOf returns the event files of a function: their names begin with its folder's.
func eventsOf(t *testing.T, f function) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir("../events")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if stem := strings.TrimSuffix(e.Name(), ".json"); e.Name() != settings && (stem == f.folder || strings.HasPrefix(stem, f.folder+"-")) {
			names = append(names, e.Name())
		}
	}
	return names
}

func readEvent(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../events", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEachEventIsOneThatItsFunctionTakes(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("../events")
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string]bool{}
	for _, e := range entries {
		unused[e.Name()] = e.Name() != settings
	}
	list := functions(t)
	starts := http.NewServeMux()
	for _, f := range list {
		for _, route := range f.routes {
			if f.folder == "trigger" {
				starts.HandleFunc(route, func(http.ResponseWriter, *http.Request) {})
			}
		}
	}
	for _, f := range list {
		files := eventsOf(t, f)
		if len(files) == 0 {
			t.Errorf("%s has no event in events/", f.name)
		}
		for _, file := range files {
			unused[file] = false
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				taken := false
				var handler awsevent.Handler
				switch {
				case slices.Equal(f.sources, []string{"HttpApi"}):
					handler = awsevent.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						taken = true
						w.WriteHeader(http.StatusNoContent)
						if _, route := starts.Handler(r); (route != "") != (f.folder == "trigger") {
							t.Errorf("%s %s is a route of the other function", r.Method, r.URL.Path)
						}
					}))
				case slices.Equal(f.sources, []string{"SQS"}):
					handler = awsevent.SQS(func(_ context.Context, messages []awsevent.Message) []string {
						taken = len(messages) > 0
						for _, m := range messages {
							checkMessage(t, m.Body)
						}
						return nil
					})
				case slices.Equal(f.sources, []string{"DynamoDB"}):
					handler = awsevent.Stream(func(ctx context.Context, records []awsevent.Record) int {
						taken = len(records) > 0
						checkChanges(t, ctx, records)
						return -1
					})
				case slices.Equal(f.sources, []string{"ScheduleV2"}):
					handler = awsevent.Clock(func(context.Context) error { taken = true; return nil })
				default:
					t.Fatalf("no adapter for events of %v", f.sources)
				}
				if f.folder == "trigger" {
					// EventBridge Scheduler invokes it too.
					handler = awsevent.Beside(handler, func(_ context.Context, text json.RawMessage) (bool, error) {
						_, is, err := schedule.ParseDue(text)
						taken = is
						return is, err
					})
				}
				if _, err := handler(t.Context(), readEvent(t, file)); err != nil {
					t.Fatal(err)
				}
				if !taken {
					t.Error("nothing in it reached the handler")
				}
			})
		}
	}
	for name, is := range unused {
		if is {
			t.Errorf("events/%s belongs to no function", name)
		}
	}
}

// checkChanges reports records of which none is a change.
func checkChanges(t *testing.T, ctx context.Context, records []awsevent.Record) {
	t.Helper()
	decoder := dynamofeed.Decoder{
		Runs: unreadRuns{}, Actions: dynamocatalog.NewActions(nil, ""), Catalog: dynamocatalog.NewCatalog(nil, "", time.Now),
	}
	changes := 0
	for _, r := range records {
		if r.Err != nil {
			t.Error(r.Err)
		}
		c, err := decoder.Change(ctx, dynamofeed.Record{Old: r.Old, New: r.New})
		if err != nil {
			t.Error(err)
		}
		if c != nil {
			changes++
		}
	}
	if changes == 0 {
		t.Error("nothing in it is a change")
	}
}

// unreadRuns has every head for one of a run that changed, since there is no table here.
type unreadRuns struct{}

func (unreadRuns) Changed(_ context.Context, _, next map[string]types.AttributeValue) (before, after *run.Record, err error) {
	return nil, &run.Record{}, nil
}

// checkMessage reports a message that this version would not write.
func checkMessage(t *testing.T, body string) {
	t.Helper()
	m, err := queue.Decode([]byte(body))
	if err != nil {
		t.Error(err)
		return
	}
	want, err := queue.Encode(m)
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff(string(want), body); diff != "" {
		t.Errorf("message (-as it is written +in the file):\n%s", diff)
	}
}

// The gateway sends to trigger what starts a run, and everything else to api.
func TestRoutesOfTheTemplateAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	parameter := regexp.MustCompile(`\{[^}]+\}`)
	plain := func(route string) string { return parameter.ReplaceAllString(route, "{}") }
	var want, got []string
	served := map[string]bool{}
	for _, r := range api.Routes() {
		served[plain(r.Method+" "+r.Pattern)] = true
		if r.Starts {
			want = append(want, plain(r.Method+" "+r.Pattern))
		}
	}
	for _, f := range functions(t) {
		for _, route := range f.routes {
			switch {
			case f.folder == "trigger":
				got = append(got, plain(route))
			case !served[plain(route)]:
				t.Errorf("%s has the route %s, which the API has not", f.name, route)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes that start runs (-API +template):\n%s", diff)
	}
}

// asked notes the work outside that events are about.
type asked []string

func (a *asked) List(_ context.Context, f run.Filter) (*run.Page, error) {
	*a = append(*a, f.ExternalRunID)
	return &run.Page{}, nil
}

func (a *asked) Sealed(context.Context, string) ([]byte, error) {
	return nil, errors.New("there is no run")
}

func (a *asked) Update(context.Context, string, func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	return nil, errors.New("there is no run")
}

// The events of other systems have the secrets of the --env-vars file, which may end with a line break, and
// nothing else gets in.
func TestEventsOfOtherSystemsAreSigned(t *testing.T) {
	var file struct{ Parameters map[string]string }
	if err := json.Unmarshal(readEvent(t, settings), &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LONGSHORE_GITHUB_WEBHOOK_SECRET", "LONGSHORE_GITLAB_WEBHOOK_TOKEN"} {
		t.Setenv(name, file.Parameters[name]+"\n")
	}
	var about asked
	e := &boot.Env{Log: slog.New(slog.DiscardHandler)}
	systems, err := apifunction.Systems(e, &about)
	if err != nil {
		t.Fatal(err)
	}
	c := api.Config{Log: e.Log}
	systems(&c)
	handle := awsevent.HTTP(api.New(c))
	send := func(event []byte) int {
		t.Helper()
		got, err := handle(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		return a.StatusCode
	}
	github, gitlab := readEvent(t, "api-webhook-github.json"), readEvent(t, "api-webhook-gitlab.json")
	for name, event := range map[string][]byte{"GitHub": github, "GitLab": gitlab} {
		if got := send(event); got != http.StatusAccepted {
			t.Errorf("%s: got %d, want 202", name, got)
		}
	}
	slices.Sort(about)
	if diff := cmp.Diff(asked{"31", "9000000001"}, about); diff != "" {
		t.Errorf("work that was looked for (-want +got):\n%s", diff)
	}
	for name, event := range map[string][]byte{
		"GitHub": bytes.Replace(github, []byte("9000000001"), []byte("9000000002"), 1),
		"GitLab": bytes.Replace(gitlab, []byte("token for this"), []byte("token for that"), 1),
	} {
		if got := send(event); got != http.StatusUnauthorized {
			t.Errorf("%s, changed: got %d, want 401", name, got)
		}
	}
}

// SAM drops the variables of an --env-vars file that the template does not declare.
func TestEnvFileSetsWhatTheTemplateDeclares(t *testing.T) {
	t.Parallel()
	var file struct{ Parameters map[string]string }
	if err := json.Unmarshal(readEvent(t, settings), &file); err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	declare := func(n node) {
		variables, _ := at(n, "Environment", "Variables").(map[string]node)
		for name := range variables {
			declared[name] = true
		}
	}
	declare(at(template(t)["Globals"], "Function"))
	for _, r := range resources(t, "AWS::Serverless::Function") {
		declare(at(r, "Properties"))
	}
	for name := range file.Parameters {
		if !declared[name] {
			t.Errorf("no function of the template declares %s", name)
		}
	}
}
