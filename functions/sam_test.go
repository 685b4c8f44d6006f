package functions_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

func TestTemplateIsValid(t *testing.T) {
	t.Parallel()
	s := newSAM(t)
	s.run(t, "validate", "--lint", "--template", filepath.Join(s.root, "template.yaml"))
}

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

	w.addCheckout(t)
	t.Run("a client of the first generation starts a run of an entity", func(t *testing.T) {
		const path = "/v1/blueprints/service/entities/%s/actions/restart_service/runs"
		call(t, w.token, http.MethodPost, w.api+fmt.Sprintf(path, "checkout"), `{}`, http.StatusAccepted, nil)
		call(t, w.token, http.MethodPost, w.api+"/v1/blueprints/service/actions/restart_service/runs", `{"entity":"checkout"}`, http.StatusAccepted, nil)
		// The gateway knows no such route once the path is decoded: the docs say so.
		call(t, w.token, http.MethodPost, w.api+fmt.Sprintf(path, "a%2Fb"), `{}`, http.StatusNotFound, nil)
	})
	t.Run("an upsert is carried out by its dispatcher", func(t *testing.T) {
		id := w.startOf(t, `{"identifier":"add_service","trigger":{"type":"self-service","operation":"CREATE"},
			"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"basket"}}}`, "add_service")
		w.dispatchTo(t, "DispatchUpsertEntityFunction", "dispatch-upsertentity-run.json", w.takeFrom(t, invocation.BackendUpsertEntity, id))
		if got := w.read(t, id); got.Status != string(run.Success) {
			t.Errorf("got %+v, want SUCCESS", got)
		}
		call(t, w.token, http.MethodGet, w.api+"/v1/blueprints/service/entities/basket", "", http.StatusOK, nil)
	})
	t.Run("a workflow is started, and its event ends the run", func(t *testing.T) {
		id := w.startOf(t, `{"identifier":"deploy_service","trigger":{"type":"self-service","operation":"CREATE"},
			"invocationMethod":{"type":"GITHUB","org":"acme","repo":"checkout","workflow":"deploy.yml","workflowInputs":{"run":"{{ .run.id }}"}}}`, "deploy_service")
		w.dispatchTo(t, "DispatchGitHubFunction", "dispatch-github.json", w.takeFrom(t, invocation.BackendGitHub, id))
		started := w.github.Runs()
		if len(started) != 1 || started[0].Inputs["run"] != id {
			t.Fatalf("got workflow runs %+v, want one of %s", started, id)
		}
		if got := w.read(t, id); got.Status != string(run.InProgress) {
			t.Errorf("before the workflow's end: got %+v", got)
		}
		// The event is about the first workflow run of this GitHub.
		w.sendWebhook(t, "api-webhook-github.json")
		if got := w.read(t, id); got.Status != string(run.Success) {
			t.Errorf("after its event: got %+v, want SUCCESS", got)
		}
	})
	t.Run("an event of a pipeline that nobody started is forgotten", func(t *testing.T) { w.sendWebhook(t, "api-webhook-gitlab.json") })
	t.Run("the dispatcher of entities takes its events", func(t *testing.T) {
		id := w.startOf(t, `{"identifier":"name_service","trigger":{"type":"self-service","operation":"CREATE"},
			"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"checkout","title":"Checkout"}}}`, "name_service")
		w.invokeQueue(t, "DispatchUpsertEntityFunction", w.text(t, "dispatch-upsertentity-run.json", id))
		if got := w.read(t, id); got.Status != string(run.Success) {
			t.Errorf("got %+v, want SUCCESS", got)
		}
		// There is no such migration: the message is dropped.
		w.invokeQueue(t, "DispatchUpsertEntityFunction", readEvent(t, "dispatch-upsertentity.json"))
	})
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
