package local_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// The same server over DynamoDB and SQS: a run that fails once and is then delivered, and what a
// second process on the same tables sees of it.
func TestAWS(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", emulator.DynamoDB(t))
	t.Setenv("AWS_ENDPOINT_URL_SQS", emulator.SQS(t))
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, times int) {
		if times == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	aws := config(t.TempDir())
	// The emulators are shared with other tests of this process.
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	aws.AWS, aws.RunsTable, aws.CatalogTable = true, "runs-"+name, "catalog-"+name

	// Without queues and tables it does not start, and says what is missing.
	if _, err := local.Open(t.Context(), aws); err == nil || !strings.HasPrefix(err.Error(), "use queue longshore-") && !strings.HasPrefix(err.Error(), "use table runs-") {
		t.Errorf("without queues and tables: %v", err)
	}
	aws.AWSCreate = true
	c, url := serve(t, aws)
	response, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %d", response.StatusCode)
	}
	save(t, c, rc.URL)
	ids := trigger(t, c, 3)
	succeed(t, c, ids)
	for _, id := range ids {
		if n := rc.counts()[id]; n != 2 {
			t.Errorf("run %s was delivered %d times, want 2", id, n)
		}
	}

	aws.AWSCreate = false
	second, _ := serve(t, aws)
	page, err := second.Runs(t.Context(), client.Filter{Action: "act"})
	if err != nil || len(page.Runs) != len(ids) {
		t.Errorf("the second process sees %d runs, want %d: %v", len(page.Runs), len(ids), err)
	}

	// Where a queue is given, backends without one are not configured, and their queues need not be there.
	aws.Queues = map[string]string{"webhook": os.Getenv("AWS_ENDPOINT_URL_SQS") + "/000000000000/longshore-webhook"}
	clock := new(ticker)
	third, _ := serve(t, local.WithTime(aws, clock.now))
	_, err = third.CreateAction(t.Context(), json.RawMessage(`{"identifier":"build","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"AZURE_DEVOPS","org":"acme","webhook":"hook"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := third.StartRun(t.Context(), "build", client.Start{}); err != nil || r.Waiting == nil || !strings.Contains(*r.Waiting, "azuredevops is not configured") {
		t.Errorf("a run of a backend without a queue: %+v, %v; want it to wait", r, err)
	}
	succeed(t, third, trigger(t, third, 1))

	// Such queues are a deployment's, which keeps the schedules itself: this process starts none of them.
	_, err = third.CreateAction(t.Context(), json.RawMessage(`{"identifier":"daily","trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":"rate(1 day)"}},
		"invocationMethod":{"type":"KAFKA","payload":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	clock.move(8 * 24 * time.Hour)
	// The second run is timed out by a later tick than the first.
	for range 2 {
		r, _, err := third.StartRun(t.Context(), "build", client.Start{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := third.Follow(ctx, r.ID, 50*time.Millisecond, func(client.Log) {}); err != nil {
			t.Fatal(err)
		}
	}
	page, err = third.Runs(t.Context(), client.Filter{Sources: []string{"AUTOMATION"}})
	if err != nil || len(page.Runs) != 0 {
		t.Errorf("%d runs of automations, want none: %v", len(page.Runs), err)
	}
}

// A machine whose clock is far from that of AWS does not start: its leases would lapse early or late.
func TestClockThatIsOff(t *testing.T) {
	c := onAWS(t)
	target, err := url.Parse(emulator.DynamoDB(t))
	if err != nil {
		t.Fatal(err)
	}
	late := httputil.NewSingleHostReverseProxy(target)
	late.Transport = &http.Transport{DisableCompression: true}
	late.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-90*time.Minute).UTC().Format(http.TimeFormat))
		return nil
	}
	tables := httptest.NewServer(late)
	t.Cleanup(tables.Close)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", tables.URL)
	if s, err := local.Open(t.Context(), c); err == nil {
		_ = s.Stop(t.Context())
		t.Error("it starts")
	} else if !strings.Contains(err.Error(), "this machine's clock is 1h30m") {
		t.Errorf("got error %v, want one that says how far the clock is off", err)
	}
}
