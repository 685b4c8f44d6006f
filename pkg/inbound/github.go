package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// GitHub takes GitHub's events at /webhooks/github. A workflow run that has completed ends its run;
// every other event is accepted and forgotten.
type GitHub struct {
	Ender
	// Secrets returns the webhook's secrets. It is asked at each event and caches by itself.
	Secrets func(context.Context) (signature.Secrets, error)
}

var _ Receiver = (*GitHub)(nil)

// workflowRun is an event of the type workflow_run ("Webhook events and payloads").
type workflowRun struct {
	Action string `json:"action"`
	Run    struct {
		ID         int64  `json:"id"`
		Conclusion string `json:"conclusion"`
	} `json:"workflow_run"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

// Receive implements Receiver.
func (g *GitHub) Receive(ctx context.Context, h http.Header, body []byte) error {
	secrets, err := g.Secrets(ctx)
	if err == nil {
		err = signature.VerifyGitHub(h, secrets, body)
	}
	switch {
	case errors.Is(err, signature.ErrNoSecret):
		return fault.New(fault.NotFound, "", "this deployment takes no events of GitHub")
	case errors.Is(err, signature.ErrMissing), errors.Is(err, signature.ErrMismatch):
		return fault.Wrap(fault.Unauthorized, err, "the event is not signed with this deployment's webhook secret")
	case err != nil:
		return fault.Busy(err, 0, "the webhook secret cannot be read now")
	case h.Get("X-GitHub-Event") != "workflow_run":
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return fault.New(fault.Invalid, "", "the body is no form")
		}
		body = []byte(form.Get("payload"))
	}
	var event workflowRun
	if err := json.Unmarshal(body, &event); err != nil {
		return fault.New(fault.Invalid, "", "the body is no event of the type workflow_run")
	}
	if event.Action != "completed" || event.Run.ID == 0 {
		return nil
	}
	return g.End(ctx, End{
		Backend: invocation.BackendGitHub, ExternalRunID: strconv.FormatInt(event.Run.ID, 10),
		About: func(i *invocation.Invocation) bool {
			return strings.EqualFold(i.Repository(), event.Repository.FullName)
		},
		Finding: run.Conclusion(event.Run.Conclusion),
	})
}
