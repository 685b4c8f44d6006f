// Package gitlabtest is a GitLab server for tests: as much of its REST API (version 4) as starts
// pipelines and tells of them. It refuses what a real one refuses, in the words of a real one.
package gitlabtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Project is a project of the server.
type Project struct {
	// Path is the full path, group/subgroup/project.
	Path string
	// Branches are its branches and tags; the first is the default branch. Without any the repository
	// is empty.
	Branches []string
	// Triggers are its pipeline trigger tokens, by token their owner's name.
	Triggers map[string]string
	// Public projects, and their pipelines, can be read by anybody.
	Public bool
	// Broken is what is wrong with its pipeline configuration, empty for nothing.
	Broken string
}

// User is the user of an access token.
type User struct {
	Name string
	// Guest may read and start nothing.
	Guest bool
	// Nameless tokens lack the scope to ask whose they are.
	Nameless bool
}

// Pipeline is one that was started.
type Pipeline struct {
	ID                   int
	Project, Ref, Source string
	Status, Username     string
	CreatedAt            time.Time
	Variables            map[string]string
	// Payload is $TRIGGER_PAYLOAD, empty without a trigger token.
	Payload string
}

// Server is a GitLab server. Its fields may be set before the first request.
type Server struct {
	// URL is the server's address, without a path.
	URL      string
	Projects []Project
	// Tokens are access tokens and their users.
	Tokens map[string]User
	// Before is asked before each request is looked at; true means that it has answered. After is asked
	// once it was carried out, before the answer.
	Before, After func(http.ResponseWriter, *http.Request) bool
	Now           func() time.Time
	// Older servers list pipelines of every source, whichever is asked for.
	Older bool

	mu        sync.Mutex
	pipelines []*Pipeline
	requests  []string
}

// New starts a server that ends with the test.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{Now: time.Now}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v4/projects/{project}/trigger/pipeline", s.trigger)
	mux.HandleFunc("POST /api/v4/projects/{project}/pipeline", s.create)
	mux.HandleFunc("GET /api/v4/projects/{project}/pipelines", s.list)
	mux.HandleFunc("GET /api/v4/projects/{project}/pipelines/{id}", s.get)
	mux.HandleFunc("GET /api/v4/projects/{project}", s.project)
	mux.HandleFunc("GET /api/v4/user", s.user)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "error", "404 Not Found") })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.RequestURI)
		s.mu.Unlock()
		if s.Before != nil && s.Before(w, r) {
			return
		}
		if s.After == nil {
			mux.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		if s.After(w, r) {
			return
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Pipelines returns those that were started, oldest first.
func (s *Server) Pipelines() []Pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Pipeline, len(s.pipelines))
	for i, p := range s.pipelines {
		all[i] = *p
	}
	return all
}

// Requests returns the requests so far, each as its method and target.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Add starts a pipeline as somebody else would and returns its id.
func (s *Server) Add(p Pipeline) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Ids are the server's, not the project's.
	p.ID = 4700 + len(s.pipelines)
	if p.CreatedAt.IsZero() {
		p.CreatedAt = s.Now()
	}
	if p.Status == "" {
		p.Status = "created"
	}
	s.pipelines = append(s.pipelines, &p)
	return p.ID
}

// Set moves a pipeline to a status and returns the event that GitLab sends of it, for
// X-Gitlab-Event: Pipeline Hook.
func (s *Server) Set(id int, status string) (event []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pipelines {
		if p.ID == id {
			p.Status = status
			return Event(*p)
		}
	}
	return nil
}

// Event is what GitLab sends of a pipeline ("Webhook events", pipeline events).
func Event(p Pipeline) []byte {
	_, name, _ := cutLast(p.Project)
	text, err := json.Marshal(map[string]any{
		"object_kind": "pipeline",
		"object_attributes": map[string]any{
			"id": p.ID, "iid": 3, "ref": p.Ref, "tag": false, "source": p.Source, "status": p.Status, "detailed_status": p.Status,
			"created_at": p.CreatedAt.UTC().Format("2006-01-02 15:04:05 UTC"), "variables": []any{},
		},
		"user":    map[string]any{"id": 1, "username": p.Username},
		"project": map[string]any{"id": 380, "name": name, "path_with_namespace": p.Project, "default_branch": "main"},
		"commit":  map[string]any{"id": "bcbb5ec396a2c0f828686f14fac9b80b780504f2"},
		"builds":  []any{},
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	return text
}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// answer writes a JSON answer.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, member, text string) {
	answer(w, status, map[string]string{member: text})
}

// invalid refuses a pipeline as its model's validation does.
func invalid(w http.ResponseWriter, text string) {
	answer(w, http.StatusBadRequest, map[string]any{"message": map[string]any{"base": []string{text}}})
}

// who returns the user of the request's access token; ok is false for one that is none, which is
// answered.
func (s *Server) who(w http.ResponseWriter, r *http.Request) (u User, known, ok bool) {
	token := r.Header.Get("Private-Token")
	if bearer, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		token = bearer
	}
	if token == "" {
		return User{}, false, true
	}
	if u, known = s.Tokens[token]; !known {
		refuse(w, http.StatusUnauthorized, "message", "401 Unauthorized")
		return User{}, false, false
	}
	return u, true, true
}

// find returns the project of a request, if whoever asks may see it.
func (s *Server) find(w http.ResponseWriter, r *http.Request, known bool) (Project, bool) {
	// ServeMux gives the part of the path decoded.
	path := r.PathValue("project")
	for _, p := range s.Projects {
		if strings.EqualFold(p.Path, path) && (known || p.Public) {
			return p, true
		}
	}
	refuse(w, http.StatusNotFound, "message", "404 Project Not Found")
	return Project{}, false
}

func (s *Server) user(w http.ResponseWriter, r *http.Request) {
	u, known, ok := s.who(w, r)
	switch {
	case !ok:
	case !known:
		refuse(w, http.StatusUnauthorized, "message", "401 Unauthorized")
	case u.Nameless:
		answer(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token."})
	default:
		answer(w, http.StatusOK, map[string]any{"id": 1, "username": u.Name})
	}
}

func (s *Server) project(w http.ResponseWriter, r *http.Request) {
	_, known, ok := s.who(w, r)
	if !ok {
		return
	}
	if p, found := s.find(w, r, known); found {
		var branch any
		if len(p.Branches) > 0 {
			branch = p.Branches[0]
		}
		answer(w, http.StatusOK, map[string]any{"id": 380, "path_with_namespace": p.Path, "default_branch": branch})
	}
}

// view is a pipeline as GitLab shows it.
func (s *Server) view(p *Pipeline) map[string]any {
	return map[string]any{
		"id": p.ID, "iid": 3, "project_id": 380, "status": p.Status, "source": p.Source, "ref": p.Ref,
		"sha": "bcbb5ec396a2c0f828686f14fac9b80b780504f2", "created_at": p.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		"updated_at": p.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		"web_url":    fmt.Sprintf("%s/%s/-/pipelines/%d", s.URL, p.Project, p.ID),
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	_, known, ok := s.who(w, r)
	if !ok {
		return
	}
	project, found := s.find(w, r, known)
	if !found {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pipelines {
		if strconv.Itoa(p.ID) == r.PathValue("id") && p.Project == project.Path {
			answer(w, http.StatusOK, s.view(p))
			return
		}
	}
	refuse(w, http.StatusNotFound, "message", "404 Not found")
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	_, known, ok := s.who(w, r)
	if !ok {
		return
	}
	project, found := s.find(w, r, known)
	if !found {
		return
	}
	q := r.URL.Query()
	matches := func(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, p := range slices.Backward(s.pipelines) {
		if p.Project == project.Path && matches("ref", p.Ref) && (s.Older || matches("source", p.Source)) && matches("username", p.Username) {
			list = append(list, s.view(p))
		}
	}
	answer(w, http.StatusOK, paged(list, q))
}

func paged(list []any, q url.Values) []any {
	size, number := 20, 1
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 {
		number = n
	}
	first := min((number-1)*size, len(list))
	return list[first:min(first+size, len(list))]
}
