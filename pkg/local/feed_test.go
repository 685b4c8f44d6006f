package local_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/local"
)

// heard remembers what the process told of entities and runs.
type heard struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
	// refuses says that nothing is taken.
	refuses bool
}

// Handle implements feed.Handler.
func (h *heard) Handle(_ context.Context, c *feed.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var line string
	switch {
	case h.refuses:
		return fault.Busy(nil, 0, "the test refuses it")
	case c.Entity != nil && c.Entity.After == nil:
		line = "deleted " + c.Entity.Before.Identifier
	case c.Entity != nil:
		line = "written " + c.Entity.After.Identifier
	case c.Run != nil:
		line = string(c.Run.After.Status) + " " + c.Run.After.Action.Identifier
	default:
		return nil
	}
	h.lines = append(h.lines, line)
	select {
	case h.more <- struct{}{}:
	default:
	}
	return nil
}

// until waits for a line and returns all.
func (h *heard) until(t *testing.T, line string) []string {
	t.Helper()
	late := time.After(patience)
	for {
		h.mu.Lock()
		lines := slices.Clone(h.lines)
		h.mu.Unlock()
		if slices.Contains(lines, line) {
			return lines
		}
		select {
		case <-h.more:
		case <-late:
			t.Fatalf("heard %v, not %q", lines, line)
		}
	}
}

// followChanges shows that a process tells of what the API changed, and that the next one goes on where it
// stopped.
func followChanges(t *testing.T, c local.Config) {
	t.Helper()
	start := func(h *heard) (*client.Client, func()) {
		t.Helper()
		s, err := local.Open(t.Context(), local.WithChanges(c, h))
		if err != nil {
			t.Fatal(err)
		}
		stop := sync.OnceFunc(func() {
			if err := s.Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		t.Cleanup(stop)
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return connect(t, "http://"+s.Addr(), s.Credentials()), stop
	}
	put := func(api *client.Client, identifier string) {
		t.Helper()
		if _, err := api.PutEntity(t.Context(), "service", json.RawMessage(`{"identifier":"`+identifier+`","properties":{}}`)); err != nil {
			t.Fatal(err)
		}
	}
	first := &heard{more: make(chan struct{}, 1)}
	api, stop := start(first)
	if _, err := api.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"service","title":"Service","schema":{"properties":{}}}`)); err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string]string{
		"on_entities": `{"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"}`, "on_runs": `{"type":"ANY_RUN_CHANGE","actionIdentifier":"ask"}`,
	} {
		if _, err := api.CreateAction(t.Context(), json.RawMessage(`{"identifier":"`+name+`","trigger":{"type":"automation","event":`+event+`},
			"invocationMethod":{"type":"KAFKA","payload":{}}}`)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.CreateAction(t.Context(), json.RawMessage(`{"identifier":"ask","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"KAFKA","payload":{}}}`)); err != nil {
		t.Fatal(err)
	}
	put(api, "cart")
	first.until(t, "written cart")
	r, _, err := api.StartRun(t.Context(), "ask", client.Start{})
	if err != nil {
		t.Fatal(err)
	}
	first.until(t, "IN_PROGRESS ask")
	if _, err := api.Report(t.Context(), r.ID, client.Report{Status: "SUCCESS"}); err != nil {
		t.Fatal(err)
	}
	if err := api.DeleteEntity(t.Context(), "service", "cart"); err != nil {
		t.Fatal(err)
	}
	first.until(t, "SUCCESS ask")
	first.until(t, "deleted cart")
	stop()

	// This one handles nothing: what it was told of is left for the next.
	api, stop = start(&heard{refuses: true})
	put(api, "left")
	stop()
	next := &heard{more: make(chan struct{}, 1)}
	api, _ = start(next)
	put(api, "last")
	next.until(t, "written left")
	if diff := cmp.Diff([]string{"written last", "written left"}, sorted(next.until(t, "written last"))); diff != "" {
		t.Errorf("what the last process told (-want +got):\n%s", diff)
	}
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

func TestChangesOnSQLite(t *testing.T) {
	t.Parallel()
	followChanges(t, config(t.TempDir()))
}

func TestChangesOnAWS(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": emulator.DynamoDB(t), "AWS_ENDPOINT_URL_SQS": emulator.SQS(t),
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "runs-feed-"+name, "catalog-feed-"+name
	followChanges(t, c)
}
