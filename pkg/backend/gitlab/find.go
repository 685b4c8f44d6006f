package gitlab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	gitlabapi "github.com/xanzy/go-gitlab"

	"longshore/pkg/backend"
	"longshore/pkg/run"
)

const (
	// skew is how far GitLab's clock may be behind ours.
	skew = 5 * time.Second
	// page and maxPages bound how many pipelines are read in search of one.
	page     = 100
	maxPages = 10
)

// adopt looks for the pipeline that an earlier attempt may have started. It reports whether that
// decides the attempt; if not, there is none, and one can be started. A second pipeline may do harm:
// where it cannot be known whether there is a first, the run ends.
func (b *Backend) adopt(ctx context.Context, c backend.Call, m method, g grant, secrets []string) (o backend.Outcome, decided bool) {
	found, fault := b.find(ctx, c.RunID, c.Uncertain, c.UncertainUntil, m, g, secrets)
	switch {
	case fault != nil && fault.Verdict == run.Retry:
		return *fault, true
	case fault != nil:
		fault.Error = "an earlier attempt may have started a pipeline, which could not be looked for: " + fault.Error
		fault.StatusLabel = run.OutcomeUnknown
		return *fault, true
	case len(found) == 0:
		return backend.Outcome{}, false
	case len(found) == 1:
		return delivered(http.StatusOK, found[0]), true
	}
	ids := make([]string, len(found))
	for i, p := range found {
		ids[i] = strconv.Itoa(p.ID)
	}
	return backend.Outcome{
		Verdict: run.Fail, StatusLabel: run.OutcomeUnknown,
		Error: fmt.Sprintf("an earlier attempt may have started one of the pipelines %s", strings.Join(ids, ", ")),
	}, true
}

// find returns the pipelines that an attempt may have started: of the ref, by the API or the trigger,
// by our own user where that is known, created since the attempt began, and until the other time unless
// that is zero, and that no other run has. A fault is what the run's next attempt has to know.
func (b *Backend) find(ctx context.Context, runID string, since, until time.Time, m method, g grant, secrets []string) (found []pipeline, fault *backend.Outcome) {
	options := &gitlabapi.ListProjectPipelinesOptions{
		ListOptions: gitlabapi.ListOptions{PerPage: page},
		Ref:         gitlabapi.Ptr(m.ref), Source: gitlabapi.Ptr("api"), OrderBy: gitlabapi.Ptr("id"), Sort: gitlabapi.Ptr("desc"),
	}
	if g.trigger != "" {
		options.Source = gitlabapi.Ptr("trigger")
	} else if name := b.user(ctx, g); name != "" {
		options.Username = &name
	}
	since = since.Add(-skew)
	for options.Page = 1; options.Page <= maxPages; options.Page++ {
		x := b.ask(ctx, g.access, http.MethodGet, m.path("pipelines"), options)
		o := x.outcome(b.c.Now(), secrets)
		var listed []pipeline
		if x.answered() && json.Unmarshal(x.body, &listed) != nil {
			o = backend.Refuse("what answers at the URL of GitLab is no list of pipelines")
		}
		if o.Verdict != run.Deliver {
			return nil, &o
		}
		for _, p := range listed {
			if p.CreatedAt.Before(since) {
				return found, nil
			}
			if p.ID <= 0 || p.Source != "" && p.Source != *options.Source || !until.IsZero() && p.CreatedAt.After(until) {
				continue
			}
			taken, err := b.c.Taken(ctx, strconv.Itoa(p.ID), runID)
			if err != nil {
				return nil, &backend.Outcome{
					Verdict: run.Retry, StatusLabel: backend.DeliveryFailed,
					Error: "which runs have the pipelines of the project could not be read",
				}
			}
			if !taken {
				found = append(found, p)
			}
		}
		if len(listed) < page {
			return found, nil
		}
	}
	o := backend.Refuse(fmt.Sprintf("%d pipelines or more have been started since", page*maxPages))
	return nil, &o
}

// user returns the name of the access token's user, empty where GitLab does not tell.
func (b *Backend) user(ctx context.Context, g grant) string {
	x := b.ask(ctx, g.access, http.MethodGet, "user", nil)
	var user struct {
		Username string `json:"username"`
	}
	if !x.answered() || json.Unmarshal(x.body, &user) != nil {
		return ""
	}
	return user.Username
}
