package githubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, needApp bool, h func(w http.ResponseWriter, r *http.Request, actor string)) {
		method, route, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+Prefix+route, func(w http.ResponseWriter, r *http.Request) {
			actor, ok := s.actor(r, needApp)
			if !ok {
				refuse(w, http.StatusUnauthorized, "Bad credentials")
				return
			}
			h(w, r, actor)
		})
	}
	handle("GET /app", true, func(w http.ResponseWriter, _ *http.Request, _ string) {
		answer(w, http.StatusOK, map[string]any{"id": 4711, "slug": AppSlug})
	})
	handle("GET /orgs/{org}/installation", true, s.installation(func() map[string]int64 { return s.Installations }))
	handle("GET /users/{org}/installation", true, s.installation(func() map[string]int64 { return s.Users }))
	handle("POST /app/installations/{id}/access_tokens", true, s.issue)
	handle("GET /user", false, func(w http.ResponseWriter, _ *http.Request, actor string) {
		if actor == AppActor {
			refuse(w, http.StatusForbidden, "Resource not accessible by integration")
			return
		}
		answer(w, http.StatusOK, map[string]any{"login": actor})
	})
	handle("GET /repos/{org}/{repo}", false, s.repository)
	handle("POST /repos/{org}/{repo}/actions/workflows/{file}/dispatches", false, s.dispatch)
	handle("GET /repos/{org}/{repo}/actions/workflows/{file}/runs", false, s.list)
	handle("GET /repos/{org}/{repo}/actions/runs/{id}", false, s.get)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "Not Found") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+strings.TrimPrefix(r.URL.Path, Prefix))
		limited := s.remaining <= 0 && s.Now().Before(s.reset)
		if s.remaining > 0 {
			s.remaining--
		}
		remaining, reset := s.remaining, s.reset
		s.mu.Unlock()
		if s.Before != nil && s.Before(w, r) {
			return
		}
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
		if !reset.IsZero() {
			w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
		}
		if limited {
			refuse(w, http.StatusForbidden, "API rate limit exceeded for user ID 1.")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// actor tells who a request is from. The routes of the App need its own signed token, all others one of
// an installation or a user.
func (s *Server) actor(r *http.Request, app bool) (string, bool) {
	kind, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if app {
		if kind != "Bearer" {
			return "", false
		}
		claims := &jwt.RegisteredClaims{}
		_, err := jwt.ParseWithClaims(given, claims, func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil },
			jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if err != nil || claims.Issuer != AppID || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > 10*time.Minute {
			return "", false
		}
		return AppActor, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if org := s.issued[given]; org != "" {
		return AppActor, r.PathValue("org") == "" || strings.EqualFold(org, r.PathValue("org"))
	}
	login, ok := s.Tokens[given]
	return login, ok
}

func (s *Server) installation(of func() map[string]int64) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, _ string) {
		id, ok := of()[r.PathValue("org")]
		if !ok {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		answer(w, http.StatusOK, map[string]any{"id": id, "app_id": 4711})
	}
}

func (s *Server) issue(w http.ResponseWriter, r *http.Request, _ string) {
	for _, all := range []map[string]int64{s.Installations, s.Users} {
		for org, id := range all {
			if fmt.Sprint(id) != r.PathValue("id") {
				continue
			}
			s.mu.Lock()
			token := fmt.Sprintf("ghs_%s%016d", strings.Repeat("x", 20), len(s.requests))
			s.issued[token] = org
			s.mu.Unlock()
			answer(w, http.StatusCreated, map[string]any{"token": token, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
			return
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
}

// find returns the repository and the workflow of a request's path, which is found by number, too.
func (s *Server) find(r *http.Request) (name, file string, repository Repository, workflow Workflow, ok bool) {
	name = r.PathValue("org") + "/" + r.PathValue("repo")
	repository, ok = s.Repositories[name]
	if !ok {
		return
	}
	file = r.PathValue("file")
	for known, w := range repository.Workflows {
		if known == file || fmt.Sprint(w.ID) == file {
			return name, known, repository, w, true
		}
	}
	return name, file, repository, workflow, file == ""
}

func (s *Server) repository(w http.ResponseWriter, r *http.Request, _ string) {
	name, _, repository, _, ok := s.find(r)
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	answer(w, http.StatusOK, map[string]any{"full_name": name, "default_branch": repository.DefaultBranch})
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, actor string) {
	name, file, repository, workflow, ok := s.find(r)
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	text, _ := io.ReadAll(r.Body)
	var body struct {
		Ref     string            `json:"ref"`
		Inputs  map[string]string `json:"inputs"`
		Details *bool             `json:"return_run_details"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	if body.Details != nil && !s.Details {
		code := s.Refusal
		if code == 0 {
			code = http.StatusUnprocessableEntity
		}
		refuse(w, code, `Invalid request. "return_run_details" is not a permitted key.`)
		return
	}
	var unexpected []string
	for input := range body.Inputs {
		if !slices.Contains(workflow.Inputs, input) {
			unexpected = append(unexpected, input)
		}
	}
	slices.Sort(unexpected)
	switch {
	case len(body.Inputs) > 25:
		refuse(w, http.StatusUnprocessableEntity, "you may only define up to 25 `inputs` for a `workflow_dispatch` event")
		return
	case body.Ref != repository.DefaultBranch && !slices.Contains(repository.Branches, body.Ref):
		refuse(w, http.StatusUnprocessableEntity, "No ref found for: "+body.Ref)
		return
	case workflow.NoTrigger:
		refuse(w, http.StatusUnprocessableEntity, "Workflow does not have 'workflow_dispatch' trigger")
		return
	case len(unexpected) > 0:
		list, _ := json.Marshal(unexpected)
		refuse(w, http.StatusUnprocessableEntity, "Unexpected inputs provided: "+string(list))
		return
	}
	id := s.Start(Run{Repository: name, File: file, Event: "workflow_dispatch", Actor: actor, Ref: body.Ref, Inputs: body.Inputs})
	if s.After != nil && s.After(w, r) {
		return
	}
	if body.Details == nil || !*body.Details {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"workflow_run_id": id, "run_url": s.URL() + "/repos/" + name + "/actions/runs/" + fmt.Sprint(id), "html_url": s.page(name, id),
	})
}

func (s *Server) page(name string, id int64) string {
	return fmt.Sprintf("https://github.example/%s/actions/runs/%d", name, id)
}

func (s *Server) show(r Run) map[string]any {
	shown := map[string]any{
		"id": r.ID, "event": r.Event, "status": r.Status, "conclusion": nil, "html_url": s.page(r.Repository, r.ID),
		"created_at": r.CreatedAt.UTC().Format(time.RFC3339), "actor": map[string]any{"login": r.Actor}, "path": ".github/workflows/" + r.File,
	}
	if r.Conclusion != "" {
		shown["conclusion"] = r.Conclusion
	}
	return shown
}

// list is newest first, as GitHub's, and knows the filters actor, event and created (>= and ..).
func (s *Server) list(w http.ResponseWriter, r *http.Request, _ string) {
	name, file, _, _, ok := s.find(r)
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	q := r.URL.Query()
	first, last, ranged := strings.Cut(strings.TrimPrefix(q.Get("created"), ">="), "..")
	since, _ := time.Parse(time.RFC3339, first)
	until, _ := time.Parse(time.RFC3339, last)
	var all []map[string]any
	runs := s.Runs()
	slices.Reverse(runs)
	for _, one := range runs {
		if one.Repository == name && one.File == file && (q.Get("actor") == "" || q.Get("actor") == one.Actor) &&
			(q.Get("event") == "" || q.Get("event") == one.Event) && !one.CreatedAt.Truncate(time.Second).Before(since) &&
			(!ranged || !one.CreatedAt.Truncate(time.Second).After(until)) {
			all = append(all, s.show(one))
		}
	}
	size, _ := strconv.Atoi(q.Get("per_page"))
	if s.Page > 0 || size == 0 {
		size = max(s.Page, 1)
	}
	page, _ := strconv.Atoi(q.Get("page"))
	page = max(page, 1)
	from, to := min((page-1)*size, len(all)), min(page*size, len(all))
	if to < len(all) {
		q.Set("page", strconv.Itoa(page+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, s.http.URL, r.URL.EscapedPath(), q.Encode()))
	}
	answer(w, http.StatusOK, map[string]any{"total_count": len(all), "workflow_runs": append([]map[string]any{}, all[from:to]...)})
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, _ string) {
	name := r.PathValue("org") + "/" + r.PathValue("repo")
	for _, one := range s.Runs() {
		if one.Repository == name && fmt.Sprint(one.ID) == r.PathValue("id") {
			answer(w, http.StatusOK, s.show(one))
			return
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest"})
}
