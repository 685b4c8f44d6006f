package gitlab

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gitlabapi "github.com/xanzy/go-gitlab"

	"longshore/pkg/backend"
	"longshore/pkg/run"
)

// Call makes one attempt. A pipeline that was started, or that an earlier attempt turns out to have
// started, delivers the run, which is looked up then.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	m, refused := read(c.Invocation)
	if refused != "" {
		return backend.Refuse(refused)
	}
	credentials, err := b.c.Credentials(ctx)
	if err != nil {
		return backend.Outcome{Verdict: run.Retry, Error: "the credentials of GitLab could not be read", StatusLabel: backend.DeliveryFailed}
	}
	g, found := credentials.of(m.project)
	if !found {
		return backend.Refuse("no token of GitLab is configured for the run's project, nor for a group that it lies in")
	}
	secrets := m.secrets(g)
	if m.ref == "" {
		var o backend.Outcome
		if m.ref, o = b.defaultBranch(ctx, m, g, secrets); m.ref == "" {
			return o
		}
	}
	if !c.Uncertain.IsZero() {
		if o, decided := b.adopt(ctx, c, m, g, secrets); decided {
			return o
		}
	}
	return b.start(ctx, m, g, secrets)
}

// maxLink is how long a run's link may be, in bytes.
const maxLink = 2000

// secrets are what no error may hold: the tokens and what the variables were set to.
func (m method) secrets(g grant) []string {
	secrets := []string{g.trigger, g.access}
	for _, v := range m.variables {
		secrets = append(secrets, v.Value)
	}
	return secrets
}

// triggered is the body of a request with a trigger token. GitLab hands all of it but the token to
// the pipeline as $TRIGGER_PAYLOAD.
type triggered struct {
	Token     string            `json:"token"`
	Ref       string            `json:"ref"`
	Variables map[string]string `json:"variables,omitempty"`
	Message   json.RawMessage   `json:"port_payload,omitempty"`
}

// created is the body of a request with an access token.
type created struct {
	Ref       string     `json:"ref"`
	Variables []variable `json:"variables,omitempty"`
}

// tooMany is in GitLab's message when a project's commit has had its pipelines of one minute ("Rate limits on
// pipeline creation"): that comes as a 400, as what is wrong with a pipeline does.
const (
	tooMany    = "Too many pipelines created"
	tooManyFor = time.Minute
)

// start starts a pipeline.
func (b *Backend) start(ctx context.Context, m method, g grant, secrets []string) backend.Outcome {
	var x *exchange
	if g.trigger != "" {
		body := triggered{Token: g.trigger, Ref: m.ref, Message: m.message}
		if len(m.variables) > 0 {
			body.Variables = make(map[string]string, len(m.variables))
		}
		for _, v := range m.variables {
			body.Variables[v.Key] = v.Value
		}
		x = b.ask(ctx, "", http.MethodPost, m.path("trigger/pipeline"), body)
	} else {
		body := created{Ref: m.ref, Variables: m.variables}
		if m.message != nil {
			body.Variables = append(body.Variables, variable{portPayload, string(m.message)})
		}
		x = b.ask(ctx, g.access, http.MethodPost, m.path("pipeline"), body)
	}
	o := x.outcome(b.c.Now(), secrets)
	if !x.answered() {
		switch h := hint(o.StatusCode, m, g); {
		case o.StatusCode == http.StatusBadRequest && strings.Contains(o.Error, tooMany):
			o.Verdict, o.Limited, o.RetryAfter = run.Retry, true, tooManyFor
		case h != "":
			o.Error += "; " + h
		}
		o.Unknown = o.Verdict == run.Retry && x.unknown()
		return o
	}
	var started pipeline
	if len(x.body) > 0 && json.Unmarshal(x.body, &started) != nil {
		return backend.Outcome{
			Verdict: run.Fail, StatusCode: o.StatusCode, StatusLabel: backend.DeliveryFailed,
			Error: "what answers at the URL of GitLab does not tell of a pipeline; is it GitLab's API?",
		}
	}
	return delivered(o.StatusCode, started)
}

// defaultBranch asks for the project's. Without one the outcome says why.
func (b *Backend) defaultBranch(ctx context.Context, m method, g grant, secrets []string) (string, backend.Outcome) {
	x := b.ask(ctx, g.access, http.MethodGet, m.path(""), nil)
	o := x.outcome(b.c.Now(), secrets)
	if !x.answered() {
		switch {
		case g.access == "" && (o.StatusCode == http.StatusUnauthorized || o.StatusCode == http.StatusForbidden || o.StatusCode == http.StatusNotFound):
			o.Error += "; a trigger token cannot read which branch is the project's default: set defaultRef"
		case o.Verdict == run.Fail:
			o.Error = "read the project's default branch: " + o.Error
			if h := hint(o.StatusCode, method{}, grant{access: g.access}); h != "" && o.StatusCode != http.StatusBadRequest {
				o.Error += "; " + h
			}
		}
		return "", o
	}
	var project struct {
		DefaultBranch string `json:"default_branch"`
	}
	// What cannot be read has none.
	_ = json.Unmarshal(x.body, &project)
	if project.DefaultBranch == "" {
		o = backend.Refuse("the project has no default branch, and the action names no branch or tag: set defaultRef")
		o.StatusCode = x.resp.StatusCode
	}
	return project.DefaultBranch, o
}

// path is the path of something of the project below the API's own.
func (m method) path(below string) string {
	return strings.TrimSuffix("projects/"+gitlabapi.PathEscape(m.project)+"/"+below, "/")
}

// delivered is an outcome with where the pipeline is. One whose id GitLab did not tell is looked for.
func delivered(status int, p pipeline) backend.Outcome {
	o := backend.Outcome{Verdict: run.Deliver, StatusCode: status, Link: p.link(), Watch: true}
	if p.ID > 0 {
		o.ExternalRunID = strconv.Itoa(p.ID)
	}
	return o
}

// link is the pipeline's page as a run's link, nil for none.
func (p pipeline) link() json.RawMessage {
	u, err := url.Parse(p.WebURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(p.WebURL) > maxLink {
		return nil
	}
	text, err := json.Marshal(p.WebURL)
	if err != nil {
		return nil
	}
	return text
}
