package gitlab

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/run"
)

// LookUp implements backend.Lookuper: it asks how the run's pipeline goes on, or looks for it where
// GitLab did not say which it is.
func (b *Backend) LookUp(ctx context.Context, l backend.LookUp) run.Finding {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	m, refused := read(l.Invocation)
	if refused != "" {
		return run.Finding{Waiting: refused}
	}
	credentials, err := b.c.Credentials(ctx)
	if err != nil {
		return run.Finding{Waiting: "the credentials of GitLab could not be read"}
	}
	g, _ := credentials.of(m.project)
	secrets := m.secrets(g)
	if l.ExternalRunID == "" {
		return b.search(ctx, l, m, g, secrets)
	}
	// The id may have been reported by anybody.
	if id, err := strconv.ParseUint(l.ExternalRunID, 10, 63); err != nil || id == 0 {
		return run.Finding{Waiting: "the run's externalRunId is no pipeline's id"}
	}
	x := b.ask(ctx, g.access, http.MethodGet, m.path("pipelines/"+l.ExternalRunID), nil)
	o := x.outcome(b.c.Now(), secrets)
	if o.Verdict != run.Deliver {
		return unasked(o)
	}
	var p pipeline
	if json.Unmarshal(x.body, &p) != nil {
		return run.Finding{Waiting: "what answers at the URL of GitLab does not tell of a pipeline"}
	}
	return found(p)
}

// search looks for the pipeline of a run that has none yet.
func (b *Backend) search(ctx context.Context, l backend.LookUp, m method, g grant, secrets []string) run.Finding {
	if m.ref == "" {
		var o backend.Outcome
		if m.ref, o = b.defaultBranch(ctx, m, g, secrets); m.ref == "" {
			return unasked(o)
		}
	}
	all, fault := b.find(ctx, l.RunID, l.Since, time.Time{}, m, g, secrets)
	switch {
	case fault != nil:
		return unasked(*fault)
	case len(all) == 1:
		f := found(all[0])
		f.ExternalRunID = strconv.Itoa(all[0].ID)
		return f
	}
	return run.Finding{Waiting: "which pipeline the run has started is not known"}
}

// found says what a pipeline's state means for its run.
func found(p pipeline) run.Finding {
	f := run.Pipeline(p.Status)
	f.Link = p.link()
	return f
}

// unasked is the finding of a look-up that GitLab did not answer. Without an access token it may
// answer none: its events end the run then.
func unasked(o backend.Outcome) run.Finding {
	return run.Finding{Waiting: "the pipeline could not be looked up: " + o.Error, After: o.RetryAfter, NoAnswer: o.Result() == breaker.Failed}
}
