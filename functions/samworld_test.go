package functions_test

import (
	"debug/elf"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend/github/githubtest"
	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// What stands in the files of events/ for what is only known when they are used.
const (
	eventToken = "TOKEN"
	eventRun   = "r_0Ulb3v7wXhQ2kZ9a"
	eventPort  = ":9999"
)

// world is the functions on DynamoDB Local and ElasticMQ, and a receiver of webhooks.
type world struct {
	*lambda
	api, token string
	// port is the receiver's, as ":" and digits.
	port    string
	runs    *dynamostore.Runs
	queues  *sqsqueue.Queue
	catalog *catalog.Service
	// github starts workflows.
	github *githubtest.Server
	// received are the deliveries whose signature is right.
	received chan delivery
}

type delivery struct{ Key, Body string }

func newWorld(t *testing.T) *world {
	t.Helper()
	l := &lambda{samCLI: newSAM(t), gateway: bridge(t), functions: functions(t)}
	ctx := within(t, samTimeout)
	tables, err := emulator.StartDynamoDB(ctx, l.gateway)
	if err != nil {
		missing(t, "DynamoDB Local", err)
	}
	t.Cleanup(func() { _ = tables.Stop() })
	messages, err := emulator.StartSQS(ctx, l.gateway)
	if err != nil {
		missing(t, "ElasticMQ", err)
	}
	t.Cleanup(func() { _ = messages.Stop() })

	table := dynamodb.NewFromConfig(emulator.Config(tables.Endpoint))
	if err := dynamostore.CreateTables(ctx, table, "longshore-runs", "longshore-catalog"); err != nil {
		t.Fatal(err)
	}
	client := sqs.NewFromConfig(emulator.Config(messages.Endpoint))
	urls, err := sqsqueue.CreateQueues(ctx, client, map[string]string{
		invocation.BackendWebhook: "longshore-webhook", invocation.BackendUpsertEntity: "longshore-upsertentity",
		invocation.BackendKafka: "longshore-kafka", invocation.BackendAzureDevOps: "longshore-azuredevops",
		invocation.BackendGitHub: "longshore-github", invocation.BackendGitLab: "longshore-gitlab",
		queue.DeadLetter: "longshore-deadletter",
	}, queue.Visibility)
	if err != nil {
		t.Fatal(err)
	}

	github := (&githubtest.Server{
		Host: l.gateway, Tokens: map[string]string{"token-for-this-machine-only": "longshore"}, Details: true,
		Repositories: map[string]githubtest.Repository{"acme/checkout": {
			DefaultBranch: "main", Workflows: map[string]githubtest.Workflow{"deploy.yml": {ID: 1, Inputs: []string{"run"}}},
		}},
	}).Open(t)

	// The settings are those that the documentation uses, but for the ports.
	text := strings.NewReplacer(
		":8000", tables.Endpoint[strings.LastIndexByte(tables.Endpoint, ':'):],
		":9324", messages.Endpoint[strings.LastIndexByte(messages.Endpoint, ':'):],
		"http://"+hostName+":9998/api/v3", strings.Replace(github.URL(), l.gateway, hostName, 1),
	).Replace(string(readEvent(t, settings)))
	var given struct{ Parameters map[string]string }
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		t.Fatal(err)
	}
	l.settings = filepath.Join(t.TempDir(), settings)
	if err := os.WriteFile(l.settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	l.buildAll(t)
	l.checkBuilt(t)
	t.Cleanup(func() { l.removeContainers(t) })

	w := &world{
		lambda: l, github: github, received: make(chan delivery, 100),
		runs: dynamostore.NewRuns(table, "longshore-runs", 365*24*time.Hour, time.Now), queues: sqsqueue.New(client, urls),
		catalog: catalog.NewService(dynamocatalog.NewCatalog(table, "longshore-catalog", time.Now), time.Now),
	}
	w.port = w.receive(t, given.Parameters["LONGSHORE_CLIENT_SECRET"])
	w.api = l.startAPI(t)
	var token struct {
		AccessToken string `json:"accessToken"`
	}
	call(t, "", http.MethodPost, w.api+"/v1/auth/access_token", w.event(t, "api-token.json", "").Body, http.StatusOK, &token)
	w.token = token.AccessToken
	return w
}

// addCheckout makes an entity and an action that runs on it.
func (w *world) addCheckout(t *testing.T) {
	t.Helper()
	by := catalog.Author{ID: "client", At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := w.catalog.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"service","title":"Service","schema":{"properties":{}}}`), false, by); err != nil {
		t.Fatal(err)
	}
	if _, err := w.catalog.CreateEntity(t.Context(), "service", json.RawMessage(`{"identifier":"checkout"}`), catalog.EntityWrite{By: by}); err != nil {
		t.Fatal(err)
	}
	body := `{"identifier":"restart_service","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service"},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/{{ .entity.identifier }}"}}`
	var created struct{ OK bool }
	call(t, w.token, http.MethodPost, w.api+"/v1/actions", body, http.StatusCreated, &created)
}

// checkBuilt reports functions without an executable for the containers.
func (l *lambda) checkBuilt(t *testing.T) {
	t.Helper()
	for _, f := range l.functions {
		binary, err := elf.Open(filepath.Join(l.build, f.name, "bootstrap"))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if binary.Machine != elf.EM_X86_64 {
			t.Errorf("%s is built for %v", f.name, binary.Machine)
		}
		_ = binary.Close()
	}
}

// receive starts a receiver that containers reach, and returns its port.
func (w *world) receive(t *testing.T, secret string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(w.gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the delivery: %v", err)
			return
		}
		check := signature.Check{Now: time.Now(), Tolerance: 5 * time.Minute}
		for name, err := range map[string]error{
			"Port's":           signature.VerifyPort(r.Header, secret, body, check),
			"Standard Webhook": signature.VerifyStandard(r.Header, secret, body, check),
		} {
			if err != nil {
				t.Errorf("%s signature: %v", name, err)
				out.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		w.received <- delivery{r.Header.Get("Idempotency-Key"), string(body)}
		_, _ = io.WriteString(out, `{"repository":"acme/checkout"}`)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return ":" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// text returns an event with a real token, the receiver's port, and a run's id if there is one.
func (w *world) text(t *testing.T, file, id string) []byte {
	t.Helper()
	known := []string{eventPort, w.port, eventToken, w.token}
	if id != "" {
		known = append(known, eventRun, id)
	}
	return []byte(strings.NewReplacer(known...).Replace(string(readEvent(t, file))))
}

// event returns the parts of an HTTP API event that are a request.
func (w *world) event(t *testing.T, file, id string) (request struct{ RawPath, Body string }) {
	t.Helper()
	if err := json.Unmarshal(w.text(t, file, id), &request); err != nil {
		t.Fatal(err)
	}
	return request
}

// start starts a run through the API.
func (w *world) start(t *testing.T) (id string) {
	t.Helper()
	var started struct {
		Run struct{ ID, Status string }
	}
	request := w.event(t, "trigger-run.json", "")
	call(t, w.token, http.MethodPost, w.api+request.RawPath, request.Body, http.StatusAccepted, &started)
	if started.Run.Status != string(run.InProgress) {
		t.Fatalf("got run %+v, want IN_PROGRESS", started.Run)
	}
	return started.Run.ID
}

// startOf makes an action and starts a run of it through the API.
func (w *world) startOf(t *testing.T, definition, action string) (id string) {
	t.Helper()
	call(t, w.token, http.MethodPost, w.api+"/v1/actions", definition, http.StatusCreated, nil)
	var started struct{ Run struct{ ID string } }
	call(t, w.token, http.MethodPost, w.api+"/v1/actions/"+action+"/runs", `{}`, http.StatusAccepted, &started)
	return started.Run.ID
}

// sendWebhook sends the API an event of another system as that system does.
func (w *world) sendWebhook(t *testing.T, file string) {
	t.Helper()
	var event struct {
		RawPath, Body string
		Headers       map[string]string
	}
	if err := json.Unmarshal(readEvent(t, file), &event); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(within(t, patience), http.MethodPost, w.api+event.RawPath, strings.NewReader(event.Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range event.Headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("%s: got status %d, want 202", file, response.StatusCode)
	}
}

// take receives the message of a run for a webhook and acknowledges it.
func (w *world) take(t *testing.T, id string) queue.Received {
	t.Helper()
	return w.takeFrom(t, invocation.BackendWebhook, id)
}

// takeFrom receives the message of a run from the queue of its backend and acknowledges it.
func (w *world) takeFrom(t *testing.T, backend, id string) queue.Received {
	t.Helper()
	ctx := within(t, patience)
	for {
		received, err := w.queues.Receive(ctx, backend, 1, 10*time.Second)
		if err != nil {
			t.Fatalf("wait for the message of %s: %v", id, err)
		}
		for _, m := range received {
			if err := w.queues.Ack(ctx, backend, m.Receipt); err != nil {
				t.Fatal(err)
			}
			if decoded, err := queue.Decode([]byte(m.Body)); err != nil || decoded.PK != id {
				t.Fatalf("got message %s, %v, want one of %s", m.Body, err, id)
			}
			return m
		}
	}
}

// dispatch gives the dispatcher of webhooks a message as its event source would.
func (w *world) dispatch(t *testing.T, m queue.Received) {
	t.Helper()
	w.dispatchTo(t, "DispatchWebhookFunction", "dispatch-webhook.json", m)
}

// dispatchTo gives a dispatcher a message in the place of the first of an event.
func (w *world) dispatchTo(t *testing.T, name, file string, m queue.Received) {
	t.Helper()
	var batch map[string][]map[string]any
	if err := json.Unmarshal(readEvent(t, file), &batch); err != nil {
		t.Fatal(err)
	}
	batch["Records"] = batch["Records"][:1]
	maps.Copy(batch["Records"][0], map[string]any{"messageId": m.ID, "receiptHandle": m.Receipt, "body": m.Body})
	text, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	w.invokeQueue(t, name, text)
}

// invokeQueue gives a function a batch of which no message may come again.
func (w *world) invokeQueue(t *testing.T, name string, batch []byte) {
	t.Helper()
	var got struct {
		BatchItemFailures []struct{ ItemIdentifier string } `json:"batchItemFailures"`
	}
	logs := w.invoke(t, name, batch, &got)
	if got.BatchItemFailures == nil || len(got.BatchItemFailures) > 0 {
		t.Errorf("%s wants messages again: %+v\n%s", name, got.BatchItemFailures, logs)
	}
}

// change changes a run behind the functions' backs.
func (w *world) change(t *testing.T, id string, how func(*run.Run)) {
	t.Helper()
	if _, err := w.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		how(r)
		return &run.Write{}, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// delivery returns what the receiver got last.
func (w *world) delivery(t *testing.T) delivery {
	t.Helper()
	select {
	case d := <-w.received:
		return d
	default:
		t.Fatal("the receiver got nothing")
		return delivery{}
	}
}

// seen is what the API shows of a run.
type seen struct {
	Status   string
	Response map[string]string
}

func (w *world) read(t *testing.T, id string) seen {
	t.Helper()
	var got struct{ Run seen }
	call(t, w.token, http.MethodGet, w.api+"/v1/actions/runs/"+id, "", http.StatusOK, &got)
	return got.Run
}

// checkDelivered checks what the receiver got and what the API says of the run.
func (w *world) checkDelivered(t *testing.T, id string) {
	t.Helper()
	want := delivery{id, `{"service":"checkout","requestedBy":"client_local"}`}
	if got := w.delivery(t); got != want {
		t.Errorf("got delivery %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(seen{string(run.Success), map[string]string{"repository": "acme/checkout"}}, w.read(t, id)); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	var listed struct{ Attempts []struct{ StatusCode int } }
	call(t, w.token, http.MethodGet, w.api+"/v1/actions/runs/"+id+"/attempts", "", http.StatusOK, &listed)
	if n := len(listed.Attempts); n == 0 || listed.Attempts[n-1].StatusCode != http.StatusOK {
		t.Errorf("got attempts %+v, want the last with status 200", listed.Attempts)
	}
	if len(w.received) > 0 {
		t.Errorf("delivered more than once: %+v", <-w.received)
	}
}
