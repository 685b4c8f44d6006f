package inbound

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// GitLab takes GitLab's events at /webhooks/gitlab. A pipeline that has ended ends its run; every other
// event is accepted and forgotten.
type GitLab struct {
	Ender
	// Tokens returns the webhook's secret tokens. It is asked at each event and caches by itself.
	Tokens func(context.Context) (signature.Secrets, error)
}

var _ Receiver = (*GitLab)(nil)

// pipelineEvent is an event of the kind pipeline ("Webhook events", pipeline events).
type pipelineEvent struct {
	Kind     string `json:"object_kind"`
	Pipeline struct {
		ID     int64  `json:"id"`
		Status string `json:"status"`
	} `json:"object_attributes"`
	Project struct {
		Path string `json:"path_with_namespace"`
	} `json:"project"`
}

// Receive implements Receiver.
func (g *GitLab) Receive(ctx context.Context, h http.Header, body []byte) error {
	tokens, err := g.Tokens(ctx)
	switch {
	case err != nil:
		return fault.Busy(err, 0, "the webhook token cannot be read now")
	case tokens.Current == "" && tokens.Previous == "":
		return fault.New(fault.NotFound, "", "this deployment takes no events of GitLab")
	case !oneOf(h.Get("X-Gitlab-Token"), tokens):
		return fault.New(fault.Unauthorized, "", "the event has not this deployment's webhook token")
	}
	var event pipelineEvent
	if err := json.Unmarshal(body, &event); err != nil {
		// Events of other kinds give other types to the same names.
		var kind struct {
			Kind string `json:"object_kind"`
		}
		if json.Unmarshal(body, &kind) == nil && kind.Kind != "pipeline" {
			return nil
		}
		return fault.New(fault.Invalid, "", "the body is no event of the kind pipeline")
	}
	finding := run.Pipeline(event.Pipeline.Status)
	if event.Kind != "pipeline" || event.Pipeline.ID <= 0 || !finding.Status.Ended() {
		return nil
	}
	return g.End(ctx, End{
		Backend: invocation.BackendGitLab, ExternalRunID: strconv.FormatInt(event.Pipeline.ID, 10),
		About:   func(i *invocation.Invocation) bool { return strings.EqualFold(i.Project(), event.Project.Path) },
		Finding: finding,
	})
}

// oneOf compares in a time that depends on neither the tokens nor their lengths. Empty ones match
// nothing.
func oneOf(given string, tokens signature.Secrets) bool {
	sum := sha256.Sum256([]byte(given))
	found := 0
	for _, token := range []string{tokens.Current, tokens.Previous} {
		want := sha256.Sum256([]byte(token))
		if token != "" {
			found |= subtle.ConstantTimeCompare(sum[:], want[:])
		}
	}
	return found == 1
}
