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

	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/event"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func TestTemplateIsValid(t *testing.T) {
	t.Parallel()
	s := newSAM(t)
	s.run(t, "validate", "--lint", "--template", filepath.Join(s.root, "template.yaml"))
}

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
	// received are the deliveries whose signature is right.
	received chan delivery
}

type delivery struct{ Key, Body string }

// TestFunctionsUnderSAMLocal follows runs through every function as sam local runs them.
func TestFunctionsUnderSAMLocal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	action := w.event(t, "api-action-create.json", "").Body
	call(t, w.token, http.MethodPost, w.api+"/v1/actions", action, http.StatusCreated, nil)
	// start-api hands the path over decoded; one with a slash too many would have no route.
	var refused struct{ Message string }
	call(t, w.token, http.MethodGet, w.api+"/v1/actions/org%2Frepo", "", http.StatusNotFound, &refused)
	if !strings.Contains(refused.Message, `"org/repo"`) {
		t.Errorf("an action whose identifier has a slash: got %q, want it to be named", refused.Message)
	}

	t.Run("a run that is started through the API is delivered", func(t *testing.T) {
		id := w.start(t)
		m := w.take(t, id)
		if m.Count != 1 || !strings.Contains(m.Body, `"invocation":`) {
			t.Errorf("message received %d times: %s", m.Count, m.Body)
		}
		w.dispatch(t, m)
		w.checkDelivered(t, id)
	})

	t.Run("tick replaces a message that was lost", func(t *testing.T) {
		id := w.start(t)
		w.take(t, id)
		w.change(t, id, func(r *run.Run) { r.Due = time.Now().Add(-time.Second) })
		var nothing any
		logs := w.invoke(t, "TickFunction", readEvent(t, "tick.json"), &nothing)
		if nothing != nil {
			t.Errorf("tick answered %v", nothing)
		}
		if !strings.Contains(logs, `"sweep_lag":`) {
			t.Errorf("no sweep_lag in the log:\n%s", logs)
		}
		m := w.take(t, id)
		if strings.Contains(m.Body, "invocation") {
			t.Errorf("a message that is sent again carries its invocation: %s", m.Body)
		}
		w.dispatch(t, m)
		w.checkDelivered(t, id)
	})

	t.Run("the dispatcher takes its event", func(t *testing.T) {
		id := w.start(t)
		w.take(t, id)
		w.invokeQueue(t, "DispatchWebhookFunction", w.text(t, "dispatch-webhook.json", id))
		if got, want := w.delivery(t), (delivery{id, `{"service":"checkout"}`}); got != want {
			t.Errorf("got delivery %+v, want %+v", got, want)
		}
	})

	t.Run("a dead letter ends its run, which can be redelivered", func(t *testing.T) {
		id := w.start(t)
		w.take(t, id)
		w.change(t, id, func(r *run.Run) {
			for n := range run.MaxAttempts {
				r.Attempts = append(r.Attempts, run.Attempt{Generation: 1, Number: n + 1, StartedAt: time.Now(), Interrupted: true})
			}
		})
		w.invokeQueue(t, "DeadLetterFunction", w.text(t, "deadletter.json", id))
		if got := w.read(t, id); got.Status != string(run.Failure) {
			t.Errorf("after the dead letter: got %+v", got)
		}
		var redelivered answer
		w.invoke(t, "TriggerFunction", w.text(t, "trigger-redeliver.json", id), &redelivered)
		if redelivered.StatusCode != http.StatusAccepted {
			t.Fatalf("redeliver: got %d, want 202: %s", redelivered.StatusCode, redelivered.Body)
		}
		w.dispatch(t, w.take(t, id))
		w.checkDelivered(t, id)
	})

	t.Run("a run that waits for approval is approved", func(t *testing.T) {
		body := `{"identifier":"drop","requiredApproval":true,"trigger":{"type":"self-service","operation":"CREATE"},
			"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/drop"}}`
		var created struct{ OK bool }
		call(t, w.token, http.MethodPost, w.api+"/v1/actions", body, http.StatusCreated, &created)
		var started struct{ Run struct{ ID, Status string } }
		call(t, w.token, http.MethodPost, w.api+"/v1/actions/drop/runs", `{}`, http.StatusAccepted, &started)
		if started.Run.Status != string(run.WaitingForApproval) {
			t.Errorf("got %+v, want it to wait", started)
		}
		var approved answer
		w.invoke(t, "TriggerFunction", w.text(t, "trigger-approval.json", started.Run.ID), &approved)
		if approved.StatusCode != http.StatusOK || !strings.Contains(approved.Body, `"status":"IN_PROGRESS"`) {
			t.Fatalf("approve: got %d, want 200: %s", approved.StatusCode, approved.Body)
		}
		w.take(t, started.Run.ID)
	})

	t.Run("a schedule that has come starts its automation, once", func(t *testing.T) {
		body := `{"identifier":"nightly","trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":"cron(0 9 ? * MON-FRI *)","timezone":"Europe/Amsterdam"}},
			"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/nightly"}}`
		var created struct{ Action struct{ ID string } }
		call(t, w.token, http.MethodPost, w.api+"/v1/actions", body, http.StatusCreated, &created)
		at := time.Now().UTC().Truncate(time.Minute)
		due := strings.NewReplacer("action_0123456789abcdef", created.Action.ID, "2026-01-01T08:00:00Z", at.Format(time.RFC3339)).
			Replace(string(readEvent(t, "trigger-schedule.json")))
		id := run.DerivedID(at, event.ScheduleID(created.Action.ID, at), created.Action.ID)
		var nothing any
		for range 2 {
			if w.invoke(t, "TriggerFunction", []byte(due), &nothing); nothing != nil {
				t.Errorf("trigger answered %v", nothing)
			}
		}
		w.take(t, id)
		if got := w.read(t, id); got.Status != string(run.InProgress) {
			t.Errorf("got %+v, want it in progress", got)
		}
	})

	w.addCheckout(t)
	t.Run("the dispatcher of entities takes its events", func(t *testing.T) {
		body := `{"identifier":"name_service","trigger":{"type":"self-service","operation":"CREATE"},
			"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"checkout","title":"Checkout"}}}`
		var created struct{ OK bool }
		call(t, w.token, http.MethodPost, w.api+"/v1/actions", body, http.StatusCreated, &created)
		var started struct{ Run struct{ ID string } }
		call(t, w.token, http.MethodPost, w.api+"/v1/actions/name_service/runs", `{}`, http.StatusAccepted, &started)
		w.invokeQueue(t, "DispatchUpsertEntityFunction", w.text(t, "dispatch-upsertentity-run.json", started.Run.ID))
		if got := w.read(t, started.Run.ID); got.Status != string(run.Success) {
			t.Errorf("got %+v, want SUCCESS", got)
		}
		// There is no such migration: the message is dropped.
		w.invokeQueue(t, "DispatchUpsertEntityFunction", readEvent(t, "dispatch-upsertentity.json"))
	})
	// No automation waits for these changes.
	for _, file := range []string{"automate-entity.json", "automate-run.json", "automate-timer.json"} {
		t.Run(file, func(t *testing.T) {
			var got struct{ BatchItemFailures []any }
			w.invoke(t, "AutomateFunction", readEvent(t, file), &got)
			if len(got.BatchItemFailures) > 0 {
				t.Errorf("some records come again: %v", got.BatchItemFailures)
			}
		})
	}
	for file, want := range map[string]struct {
		status int
		part   string
	}{
		"api-token.json":          {http.StatusOK, `"accessToken":"`},
		"api-action-create.json":  {http.StatusConflict, `"error":"identifier_taken"`},
		"api-runs.json":           {http.StatusOK, `"runs":[{`},
		"api-path-escaped.json":   {http.StatusNotFound, `there is no action \"org/repo\"`},
		"api-path-decoded.json":   {http.StatusNotFound, `there is no action \"org/re po?100%\"`},
		"trigger-run.json":        {http.StatusAccepted, `"status":"IN_PROGRESS"`},
		"trigger-run-entity.json": {http.StatusAccepted, `"entity":{"identifier":"checkout"`},
		"trigger-jq.json":         {http.StatusOK, `"result":"CHECKOUT"`},
	} {
		t.Run(file, func(t *testing.T) {
			name := "ApiFunction"
			if strings.HasPrefix(file, "trigger-") {
				name = "TriggerFunction"
			}
			var got answer
			w.invoke(t, name, w.text(t, file, ""), &got)
			if got.StatusCode != want.status || !strings.Contains(got.Body, want.part) {
				t.Errorf("got %d %s, want %d and %s", got.StatusCode, got.Body, want.status, want.part)
			}
		})
	}
}

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

	// The settings are those that the documentation uses, but for the ports.
	text := strings.NewReplacer(
		":8000", tables.Endpoint[strings.LastIndexByte(tables.Endpoint, ':'):],
		":9324", messages.Endpoint[strings.LastIndexByte(messages.Endpoint, ':'):],
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
		lambda: l, received: make(chan delivery, 100),
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

// take receives the message of a run and acknowledges it.
func (w *world) take(t *testing.T, id string) queue.Received {
	t.Helper()
	ctx := within(t, patience)
	for {
		received, err := w.queues.Receive(ctx, invocation.BackendWebhook, 1, 10*time.Second)
		if err != nil {
			t.Fatalf("wait for the message of %s: %v", id, err)
		}
		for _, m := range received {
			if err := w.queues.Ack(ctx, invocation.BackendWebhook, m.Receipt); err != nil {
				t.Fatal(err)
			}
			if decoded, err := queue.Decode([]byte(m.Body)); err != nil || decoded.PK != id {
				t.Fatalf("got message %s, %v, want one of %s", m.Body, err, id)
			}
			return m
		}
	}
}

// dispatch gives the dispatcher a message as its event source would.
func (w *world) dispatch(t *testing.T, m queue.Received) {
	t.Helper()
	var batch map[string][]map[string]any
	if err := json.Unmarshal(readEvent(t, "dispatch-webhook.json"), &batch); err != nil {
		t.Fatal(err)
	}
	maps.Copy(batch["Records"][0], map[string]any{"messageId": m.ID, "receiptHandle": m.Receipt, "body": m.Body})
	text, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	w.invokeQueue(t, "DispatchWebhookFunction", text)
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
