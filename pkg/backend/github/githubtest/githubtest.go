// Package githubtest is a GitHub for tests: the routes that start and list workflow runs, with GitHub's
// ways of authorization, limits and refusal. What it answers follows GitHub's REST API documentation.
package githubtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Prefix is the path of the API, as Enterprise Server has it.
const Prefix = "/api/v3"

// Of the App that every server knows.
const (
	AppID    = "4711"
	AppSlug  = "longshore-app"
	AppActor = AppSlug + "[bot]"
)

// Workflow is a workflow file of a repository.
type Workflow struct {
	ID int64
	// Inputs are the names that it declares.
	Inputs []string
	// NoTrigger says that it has no workflow_dispatch.
	NoTrigger bool
}

// Repository is one repository.
type Repository struct {
	DefaultBranch string
	// Branches beside the default.
	Branches []string
	// Workflows are by file name.
	Workflows map[string]Workflow
}

// Run is a workflow run.
type Run struct {
	ID         int64
	Repository string
	File       string
	Event      string
	Actor      string
	Ref        string
	Inputs     map[string]string
	Status     string
	Conclusion string
	CreatedAt  time.Time
}

// Server is one GitHub. Its exported members are set before the first request.
type Server struct {
	// Host is where it listens; empty is a loopback address.
	Host string
	// Repositories are by org/repo.
	Repositories map[string]Repository
	// Tokens are personal access tokens and their users' logins.
	Tokens map[string]string
	// Installations of the App are by organization, Users those of users.
	Installations, Users map[string]int64
	// Details says that the server knows return_run_details; without, it refuses the field with
	// Refusal, 422 if it is 0.
	Details bool
	Refusal int
	// Page is how many runs a page has; 0 means as many as are asked for.
	Page int
	// Before answers a request in the server's stead and reports that; nil answers none.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// After is told of a dispatch that was made and may break its answer; nil does not.
	After func(w http.ResponseWriter, r *http.Request) bool
	// Now is time.Now if it is nil.
	Now func() time.Time

	http *httptest.Server
	key  *rsa.PrivateKey

	mu        sync.Mutex
	runs      []Run
	requests  []string
	issued    map[string]string
	remaining int
	reset     time.Time
}

// key is the App's; making one takes a while.
var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Open starts the server; it ends with the test.
func (s *Server) Open(t testing.TB) *Server {
	t.Helper()
	var err error
	if s.key, err = key(); err != nil {
		t.Fatal(err)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.issued, s.remaining = map[string]string{}, 5000
	s.http = httptest.NewUnstartedServer(s.handler())
	if s.Host != "" {
		_ = s.http.Listener.Close()
		if s.http.Listener, err = net.Listen("tcp", net.JoinHostPort(s.Host, "0")); err != nil {
			t.Fatal(err)
		}
	}
	s.http.Start()
	t.Cleanup(s.http.Close)
	return s
}

// URL is the API's address.
func (s *Server) URL() string { return s.http.URL + Prefix }

// PrivateKey is the App's, in PEM.
func (s *Server) PrivateKey() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.key)}))
}

// Limit sets how many more requests are allowed before a moment.
func (s *Server) Limit(remaining int, reset time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remaining, s.reset = remaining, reset
}

// Expire makes every installation token invalid.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = map[string]string{}
}

// Runs returns the workflow runs, oldest first.
func (s *Server) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// Requests returns the requests so far, "METHOD path" without the prefix.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests had that method and a path with that end.
func (s *Server) Count(method, end string) (n int) {
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, method+" ") && strings.HasSuffix(r, end) {
			n++
		}
	}
	return n
}

// Start adds a workflow run as somebody else would start it, and returns its id.
func (s *Server) Start(r Run) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start(r)
}

func (s *Server) start(r Run) int64 {
	r.ID = 9_000_000_001 + int64(len(s.runs))
	if r.Status == "" {
		r.Status = "queued"
	}
	if r.CreatedAt.IsZero() {
		r.CreatedAt = s.Now()
	}
	s.runs = append(s.runs, r)
	return r.ID
}

// Complete ends a workflow run.
func (s *Server) Complete(id int64, conclusion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.runs {
		if s.runs[i].ID == id {
			s.runs[i].Status, s.runs[i].Conclusion = "completed", conclusion
		}
	}
}

// Event is the body of the event workflow_run of a workflow run in its present state.
func (s *Server) Event(id int64) string {
	for _, r := range s.Runs() {
		if r.ID == id {
			action := map[bool]string{true: "completed", false: "in_progress"}[r.Status == "completed"]
			return fmt.Sprintf(`{"action":%q,"workflow_run":{"id":%d,"status":%q,"conclusion":%q},"repository":{"full_name":%q}}`,
				action, r.ID, r.Status, r.Conclusion, r.Repository)
		}
	}
	return ""
}
