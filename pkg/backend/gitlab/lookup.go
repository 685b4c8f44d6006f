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

// adopt looks for the pipeline that an earlier attempt may have started: of the ref, by the API or
// the trigger, by our own user where that is known, created since that attempt began, and that no
// other run has. It reports whether that decides the attempt; if not, there is none, and the pipeline
// can be started.
func (b *Backend) adopt(ctx context.Context, c backend.Call, m method, g grant, secrets []string) (o backend.Outcome, decided bool) {
	options := &gitlabapi.ListProjectPipelinesOptions{
		ListOptions: gitlabapi.ListOptions{PerPage: page},
		Ref:         gitlabapi.Ptr(m.ref), Source: gitlabapi.Ptr("api"), OrderBy: gitlabapi.Ptr("id"), Sort: gitlabapi.Ptr("desc"),
	}
	if g.trigger != "" {
		options.Source = gitlabapi.Ptr("trigger")
	} else if name := b.user(ctx, g); name != "" {
		options.Username = &name
	}
	since := c.Uncertain.Add(-skew)
	var found []pipeline
	for options.Page = 1; options.Page <= maxPages; options.Page++ {
		x := b.ask(ctx, g.access, http.MethodGet, m.path("pipelines"), options)
		o := x.outcome(b.c.Now(), secrets)
		var listed []pipeline
		if x.answered() && json.Unmarshal(x.body, &listed) != nil {
			o = backend.Refuse("the list of pipelines cannot be read")
		}
		if o.Verdict != run.Deliver {
			return notFound(o), true
		}
		old := false
		for _, p := range listed {
			switch {
			case p.CreatedAt.Before(since):
				old = true
			case p.ID > 0 && (p.Source == "" || p.Source == *options.Source):
				taken, err := b.c.Taken(ctx, strconv.Itoa(p.ID), c.RunID)
				if err != nil {
					return backend.Outcome{Verdict: run.Retry, StatusLabel: backend.DeliveryFailed,
						Error: "whether another run has the pipeline of an earlier attempt could not be read"}, true
				}
				if !taken {
					found = append(found, p)
				}
			}
		}
		if old || len(listed) < page {
			break
		}
	}
	switch len(found) {
	case 0:
		return backend.Outcome{}, false
	case 1:
		return delivered(http.StatusOK, found[0]), true
	}
	ids := make([]string, len(found))
	for i, p := range found {
		ids[i] = strconv.Itoa(p.ID)
	}
	return unknown(fmt.Sprintf("an earlier attempt may have started one of the pipelines %s", strings.Join(ids, ", "))), true
}

// notFound is the outcome of a search that failed. A server that does not let us look leaves it
// unknown whether there is a pipeline, and a second one may be wrong.
func notFound(o backend.Outcome) backend.Outcome {
	if o.Verdict == run.Retry {
		o.Error = "look for the pipeline of an earlier attempt: " + o.Error
		return o
	}
	failed := unknown("an earlier attempt may have started a pipeline, which could not be looked for: " + o.Error)
	failed.StatusCode = o.StatusCode
	return failed
}

// outcomeUnknown is the label of runs that end because nobody can say what became of an attempt.
const outcomeUnknown = "outcome unknown"

func unknown(sentence string) backend.Outcome {
	return backend.Outcome{Verdict: run.Fail, Error: sentence, StatusLabel: outcomeUnknown}
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
