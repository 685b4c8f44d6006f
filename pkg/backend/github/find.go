package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gogithub "github.com/google/go-github/v62/github"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/run"
)

const (
	// skew is how much the clocks of GitHub and of a dispatcher may differ.
	skew = 5 * time.Second
	// perPage and maxPages bound a look for workflow runs: GitHub lists at most 1,000.
	perPage  = 100
	maxPages = 10
)

// find lists the workflow runs that a dispatch since that time, and until the other unless it is zero, may
// have started: of this workflow, by workflow_dispatch, by our actor, and that no other run has.
func (s *session) find(ctx context.Context, w workflow, since, until time.Time, runID string) ([]*gogithub.WorkflowRun, *backend.Outcome) {
	since = since.Add(-skew).Truncate(time.Second)
	created := ">=" + since.UTC().Format(time.RFC3339)
	if !until.IsZero() {
		// Otherwise later ones, which come first, could fill the pages.
		created = since.UTC().Format(time.RFC3339) + ".." + until.UTC().Format(time.RFC3339)
	}
	actor := s.actor(ctx)
	options := &gogithub.ListWorkflowRunsOptions{
		Actor: actor, Event: "workflow_dispatch", Created: created,
		ListOptions: gogithub.ListOptions{PerPage: perPage},
	}
	var found []*gogithub.WorkflowRun
	for range maxPages {
		page, resp, err := s.client.Actions.ListWorkflowRunsByFileName(ctx,
			url.PathEscape(w.org), url.PathEscape(w.repo), url.PathEscape(w.file), options)
		if err != nil {
			o := s.failure(ctx, resp, err)
			return nil, &o
		}
		if page == nil {
			// The answer was null.
			page = &gogithub.WorkflowRuns{}
		}
		for _, r := range page.WorkflowRuns {
			// Older servers ignore a filter that they do not know.
			if r.GetEvent() != "workflow_dispatch" || r.GetCreatedAt().Before(since) || !until.IsZero() && r.GetCreatedAt().After(until) ||
				actor != "" && r.Actor != nil && !strings.EqualFold(r.Actor.GetLogin(), actor) {
				continue
			}
			taken, err := s.backend.c.Taken(ctx, strconv.FormatInt(r.GetID(), 10), runID)
			if err != nil {
				o := backend.Outcome{Verdict: run.Retry, Error: "the runs cannot be read that workflow runs belong to", StatusLabel: backend.DeliveryFailed}
				return nil, &o
			}
			if !taken {
				found = append(found, r)
			}
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	return found, nil
}

// several says which workflow runs could be one run's.
func several(found []*gogithub.WorkflowRun) string {
	ids := make([]string, 0, len(found))
	for _, r := range found {
		ids = append(ids, strconv.FormatInt(r.GetID(), 10))
	}
	return fmt.Sprintf("%d workflow runs could be it: %s", len(found), strings.Join(ids, ", "))
}

// LookUp implements backend.Lookuper: has the workflow run completed, and how?
func (b *Backend) LookUp(ctx context.Context, l backend.LookUp) run.Finding {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	w, err := read(l.Invocation)
	if err != nil {
		return run.Finding{Waiting: err.Error()}
	}
	s, _, failed := b.session(ctx, w.org)
	if failed != nil {
		return notFound(failed)
	}
	if l.ExternalRunID == "" {
		found, failed := s.find(ctx, w, l.Since, time.Time{}, l.RunID)
		switch {
		case failed != nil:
			return notFound(failed)
		case len(found) == 0:
			return run.Finding{Waiting: "GitHub lists no workflow run that the dispatch started"}
		case len(found) > 1:
			return run.Finding{Waiting: several(found)}
		}
		return conclude(found[0])
	}
	id, err := strconv.ParseInt(l.ExternalRunID, 10, 64)
	if err != nil {
		return run.Finding{Waiting: "externalRunId is not the number of a workflow run, so that GitHub cannot be asked how it ended"}
	}
	found, resp, err := s.client.Actions.GetWorkflowRunByID(ctx, url.PathEscape(w.org), url.PathEscape(w.repo), id)
	if err != nil {
		o := s.failure(ctx, resp, err)
		if o.StatusCode == http.StatusNotFound {
			o.Error += "; was the workflow run deleted, or may the credentials not read the repository's actions?"
		}
		return notFound(&o)
	}
	if found.GetID() != id {
		return run.Finding{Waiting: "the workflow run's state is not known: GitHub's answer cannot be read"}
	}
	return conclude(found)
}

// notFound is the finding of a look-up that failed.
func notFound(o *backend.Outcome) run.Finding {
	return run.Finding{Waiting: "the workflow run's state is not known: " + o.Error, After: o.RetryAfter, NoAnswer: o.Result() == breaker.Failed}
}

// conclude says what the state of a workflow run means.
func conclude(r *gogithub.WorkflowRun) run.Finding {
	at := reference(r.GetID(), r.GetHTMLURL())
	if r.GetStatus() != "completed" {
		return at
	}
	f := run.Conclusion(r.GetConclusion())
	f.ExternalRunID, f.Link = at.ExternalRunID, at.Link
	return f
}
