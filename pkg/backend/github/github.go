// Package github starts workflows of GitHub Actions: types GITHUB and INTEGRATION_ACTION.
//
// It promises that GitHub is looked up before a second dispatch when nobody knows whether the first one
// arrived, that no redirect is followed and no answer over 8 MiB is read, and that no credential reaches
// an error, a finding or a log.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gogithub "github.com/google/go-github/v62/github"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate/value"
	"longshore/pkg/run"
)

// DefaultURL is github.com's API.
const DefaultURL = "https://api.github.com"

// Config is what a Backend needs. All but APIURL, CallTimeout, Now and Pause is required.
type Config struct {
	// APIURL is the API's address; empty means DefaultURL. Enterprise Server has it at
	// https://<host>/api/v3.
	APIURL string
	// Credentials are asked for at each call; the function caches by itself.
	Credentials func(context.Context) (Credentials, error)
	Client      *egress.Client
	// Taken tells workflow runs that belong to other runs from those that may be adopted.
	Taken backend.Taken
	// Version is Longshore's, for User-Agent.
	Version string
	// CallTimeout is backend.DefaultCallTimeout if it is 0.
	CallTimeout time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
	// Pause waits between two looks for a workflow run that was just started; nil waits for real.
	Pause func(ctx context.Context, d time.Duration)
}

// Backend starts workflows and says how they end. It is safe for concurrent use.
type Backend struct {
	c    Config
	base *url.URL
	// details says whether the server knows return_run_details.
	details atomic.Int32

	mu    sync.Mutex
	known *access
}

// What is known of return_run_details.
const (
	untried int32 = iota
	understood
	refused
)

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
	_ backend.Lookuper = (*Backend)(nil)
	_ backend.Hoster   = (*Backend)(nil)
)

// New returns a backend; its error says what is wrong with the URL.
func New(c Config) (*Backend, error) {
	if c.CallTimeout == 0 {
		c.CallTimeout = backend.DefaultCallTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pause == nil {
		c.Pause = pause
	}
	base, err := parseURL(c.APIURL)
	if err != nil {
		return nil, err
	}
	return &Backend{c: c, base: base}, nil
}

func parseURL(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultURL
	}
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("the URL of GitHub's API must be http or https with a host, without credentials and query")
	}
	base.Path = strings.TrimRight(base.Path, "/") + "/"
	return base, nil
}

// Allow adds the host of GitHub's API to an egress allow list, as ParseAllow reads it: an operator who
// names a private host for this backend wants it called, by this backend alone. A URL that is none adds
// nothing; New says so.
func Allow(list, apiURL string) string {
	base, err := parseURL(apiURL)
	if err != nil || apiURL == "" {
		return list
	}
	return list + "," + egress.HostPort(base)
}

// Host implements backend.Hoster.
func (b *Backend) Host() string { return backend.HostOf(b.base) }

// Prepare implements backend.Preparer: without credentials nothing is called.
func (b *Backend) Prepare(ctx context.Context) error {
	credentials, err := b.c.Credentials(ctx)
	if err == nil && !credentials.Given() {
		err = errors.New("there are none")
	}
	if err != nil {
		return fmt.Errorf("read the credentials of GitHub: %w", err)
	}
	return nil
}

// workflow is what an invocation asks for, checked.
type workflow struct {
	org, repo string
	// file is a workflow's file name or number.
	file string
	// ref is empty for the default branch.
	ref    string
	inputs *value.Object
	report bool
}

// read takes an invocation apart. Its error is a sentence for people.
func read(i *invocation.Invocation) (workflow, error) {
	if i == nil {
		return workflow{}, errors.New("the run's invocation is none of GitHub")
	}
	given, ok := i.Workflow()
	if !ok {
		return workflow{}, errors.New("the run's invocation is none of GitHub")
	}
	w := workflow{org: given.Org, repo: given.Repo, report: given.Report == nil || *given.Report, inputs: new(value.Object)}
	var err error
	if w.file, err = text(given.Workflow); err != nil {
		return workflow{}, errors.New("the invocation's workflow is neither a file name nor a number")
	}
	for _, name := range []struct{ field, value string }{{"org", w.org}, {"repo", w.repo}, {"workflow", w.file}} {
		if name.value == "" || name.value == "." || name.value == ".." {
			return workflow{}, fmt.Errorf("the invocation's %s is no name", name.field)
		}
	}
	if len(given.Inputs) == 0 {
		return w, nil
	}
	v, err := value.Decode(given.Inputs)
	if err != nil {
		return workflow{}, errors.New("the invocation's workflowInputs cannot be read")
	}
	inputs, ok := v.(*value.Object)
	if !ok && v != nil {
		return workflow{}, errors.New("the invocation's workflowInputs are no object")
	}
	for name, v := range inputs.All() {
		given, ok := v.(string)
		switch {
		case v == nil:
			continue
		case !ok:
			given = string(value.Encode(v))
		}
		if name == "ref" {
			w.ref = given
			continue
		}
		w.inputs.Set(name, given)
	}
	return w, w.check()
}

// text reads a JSON string, or a number as it is written.
func text(raw []byte) (string, error) {
	v, err := value.Decode(raw)
	if s, ok := v.(string); ok || err != nil {
		return s, err
	}
	n := string(value.Encode(v))
	_, err = strconv.ParseUint(n, 10, 63)
	return n, err
}

// GitHub's limits ("Create a workflow dispatch event"; "Events that trigger workflows",
// workflow_dispatch).
const (
	maxInputs     = 25
	maxCharacters = 65_535
)

// check finds what GitHub would refuse without saying what to do.
func (w workflow) check() error {
	const advice = "put what belongs together into one input as JSON, and read it in the workflow with fromJSON"
	if n := w.inputs.Len(); n > maxInputs {
		return fmt.Errorf("GitHub takes at most %d inputs, this workflow would get %d: %s", maxInputs, n, advice)
	}
	if n := len([]rune(string(value.Encode(w.inputs)))); n > maxCharacters {
		return fmt.Errorf("GitHub takes inputs of at most %d characters in all, these have %d: send less, an identifier to fetch the rest by for one", maxCharacters, n)
	}
	return nil
}

// path joins the parts of a route of GitHub's API, escaped.
func path(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	return strings.Join(escaped, "/")
}

// Call dispatches the workflow, or adopts the workflow run that an earlier attempt started.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	w, err := read(c.Invocation)
	if err != nil {
		return backend.Refuse(err.Error())
	}
	for {
		s, fresh, failed := b.session(ctx, w.org)
		if failed != nil {
			return *failed
		}
		o := b.attempt(ctx, s, w, c)
		if o.StatusCode != http.StatusUnauthorized || s.installation == nil || fresh {
			return o
		}
		// The App's token was revoked before its time: nothing was done, and a new one is to be had.
	}
}

// attempt does what Call does, with a session.
func (b *Backend) attempt(ctx context.Context, s *session, w workflow, c backend.Call) backend.Outcome {
	if !c.Uncertain.IsZero() {
		found, failed := s.find(ctx, w, c.Uncertain, c.UncertainUntil, c.RunID)
		switch {
		case failed != nil:
			return *failed
		case len(found) == 1:
			return w.delivered(0, reference(found[0].GetID(), found[0].GetHTMLURL()))
		case len(found) > 1:
			o := backend.Refuse("an earlier attempt may have started a workflow run, and " + several(found))
			o.StatusLabel = run.OutcomeUnknown
			return o
		}
	}
	if w.ref == "" {
		if failed := s.defaultBranch(ctx, &w); failed != nil {
			return *failed
		}
	}
	return b.dispatch(ctx, s, w, c.RunID)
}

// defaultBranch sets the ref to the repository's default branch.
func (s *session) defaultBranch(ctx context.Context, w *workflow) *backend.Outcome {
	repository, resp, err := s.client.Repositories.Get(ctx, url.PathEscape(w.org), url.PathEscape(w.repo))
	if err != nil {
		o := s.failure(ctx, resp, err)
		if o.StatusCode == http.StatusNotFound {
			o.Error += "; is there such a repository, and may the credentials read it?"
		}
		return &o
	}
	if w.ref = repository.GetDefaultBranch(); w.ref == "" {
		o := backend.Refuse("GitHub names no default branch of the repository; give a ref")
		return &o
	}
	return nil
}

// dispatched is the answer to a dispatch with return_run_details.
type dispatched struct {
	ID      int64  `json:"workflow_run_id"`
	RunURL  string `json:"run_url"`
	HTMLURL string `json:"html_url"`
}

// dispatch starts the workflow.
func (b *Backend) dispatch(ctx context.Context, s *session, w workflow, runID string) backend.Outcome {
	began := b.c.Now()
	details := b.details.Load()
	answer, code, failed := s.post(ctx, w, details != refused)
	if failed != nil && details == untried && (code == http.StatusBadRequest || code == http.StatusUnprocessableEntity) {
		// A server that does not know the field refuses it, and has started nothing.
		answer, code, failed = s.post(ctx, w, false)
		if failed == nil {
			b.details.Store(refused)
		}
	} else if failed == nil && answer.ID != 0 {
		b.details.Store(understood)
	}
	if failed != nil {
		return *failed
	}
	if answer.ID != 0 {
		if answer.HTMLURL == "" {
			answer.HTMLURL = answer.RunURL
		}
		return w.delivered(code, reference(answer.ID, answer.HTMLURL))
	}
	// The answer says nothing of the workflow run: it shows up in the list within seconds.
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second} {
		if wait > 0 {
			b.c.Pause(ctx, wait)
		}
		found, failed := s.find(ctx, w, began, time.Time{}, runID)
		if failed != nil || len(found) > 1 {
			break
		}
		if len(found) == 1 {
			return w.delivered(code, reference(found[0].GetID(), found[0].GetHTMLURL()))
		}
	}
	return w.delivered(code, run.Finding{})
}

// post makes the request of a dispatch. Failed is nil for a 2xx, whatever is wrong with its body.
func (s *session) post(ctx context.Context, w workflow, details bool) (answer dispatched, code int, failed *backend.Outcome) {
	body := struct {
		Ref     string  `json:"ref"`
		Inputs  rawJSON `json:"inputs,omitempty"`
		Details bool    `json:"return_run_details,omitempty"`
	}{Ref: w.ref, Details: details}
	if w.inputs.Len() > 0 {
		body.Inputs = value.Encode(w.inputs)
	}
	route := "repos/" + path(w.org, w.repo) + "/actions/workflows/" + path(w.file) + "/dispatches"
	req, err := s.client.NewRequest(http.MethodPost, route, body)
	if err != nil {
		o := backend.Refuse("the invocation names no workflow that a URL can be made of")
		return dispatched{}, 0, &o
	}
	resp, err := s.client.Do(ctx, req, &answer)
	var accepted *gogithub.AcceptedError
	if resp != nil && resp.Response != nil {
		code = resp.StatusCode
	}
	if err == nil || errors.As(err, &accepted) || code >= 200 && code <= 299 {
		return answer, code, nil
	}
	o := s.failure(ctx, resp, err)
	o.Unknown = code >= 500 || code == 0 && maybeSent(err)
	switch code {
	case http.StatusNotFound:
		o.Error += "; is the workflow's file on the default branch, is the repository's name right, and may the credentials write its actions?"
	case http.StatusUnprocessableEntity:
		o.Error += "; does the workflow have the trigger workflow_dispatch on that ref, and does it declare every input?"
	}
	return dispatched{}, code, &o
}

// rawJSON is written as it is.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// delivered is the outcome of a workflow run that was started.
func (w workflow) delivered(code int, at run.Finding) backend.Outcome {
	return backend.Outcome{
		Verdict: run.Deliver, StatusCode: code, ExternalRunID: at.ExternalRunID, Link: at.Link, Watch: w.report,
	}
}

// maxLink is the longest link that a run takes, in bytes.
const maxLink = 2_000

// reference is where a workflow run is.
func reference(id int64, link string) run.Finding {
	f := run.Finding{ExternalRunID: strconv.FormatInt(id, 10)}
	if len(link) <= maxLink && (strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://")) {
		f.Link = value.Encode(link)
	}
	return f
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
