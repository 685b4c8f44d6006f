package gitlabtest

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// name is what a variable may be called (Ci::HasVariable).
var name = regexp.MustCompile(`\A[a-zA-Z0-9_]{1,255}\z`)

// body reads a request's JSON object.
func body(w http.ResponseWriter, r *http.Request) (map[string]json.RawMessage, bool) {
	if r.Header.Get("Content-Type") != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "error", "The provided content-type is not supported.")
		return nil, false
	}
	text, err := io.ReadAll(r.Body)
	var members map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &members) != nil {
		refuse(w, http.StatusBadRequest, "message", "400 Bad request - Invalid JSON")
		return nil, false
	}
	return members, true
}

// ref takes the branch or tag of a request.
func ref(w http.ResponseWriter, members map[string]json.RawMessage) (string, bool) {
	raw, found := members["ref"]
	var ref string
	switch {
	case !found:
		refuse(w, http.StatusBadRequest, "error", "ref is missing")
	case json.Unmarshal(raw, &ref) != nil:
		refuse(w, http.StatusBadRequest, "error", "ref is invalid")
	case ref == "":
		refuse(w, http.StatusBadRequest, "error", "ref is empty")
	default:
		return ref, true
	}
	return "", false
}

// run starts a pipeline if the project's configuration makes one.
func (s *Server) run(w http.ResponseWriter, project Project, p Pipeline) {
	for key := range p.Variables {
		if !name.MatchString(key) {
			answer(w, http.StatusBadRequest, map[string]any{"message": map[string]any{"variables.key": []string{"can contain only letters, digits and '_'."}}})
			return
		}
	}
	switch {
	case !slices.Contains(project.Branches, p.Ref):
		invalid(w, "Reference not found")
		return
	case project.Broken != "":
		invalid(w, project.Broken)
		return
	}
	p.Project, p.Status = project.Path, "created"
	id := s.Add(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, started := range s.pipelines {
		if started.ID == id {
			answer(w, http.StatusCreated, s.view(started))
		}
	}
}

// trigger is POST /projects/:id/trigger/pipeline ("Pipeline trigger tokens API").
func (s *Server) trigger(w http.ResponseWriter, r *http.Request) {
	members, ok := body(w, r)
	if !ok {
		return
	}
	branch, ok := ref(w, members)
	if !ok {
		return
	}
	var token string
	if raw, found := members["token"]; !found || json.Unmarshal(raw, &token) != nil {
		refuse(w, http.StatusBadRequest, "error", "token is missing")
		return
	}
	var variables map[string]any
	if raw, found := members["variables"]; found && json.Unmarshal(raw, &variables) != nil {
		refuse(w, http.StatusBadRequest, "error", "variables is invalid")
		return
	}
	texts := map[string]string{}
	for key, v := range variables {
		text, isText := v.(string)
		if !isText {
			refuse(w, http.StatusBadRequest, "message", "400 Bad request - variables needs to be a map of key-valued strings")
			return
		}
		texts[key] = text
	}
	for _, p := range s.Projects {
		owner, known := p.Triggers[token]
		if !known || !strings.EqualFold(p.Path, r.PathValue("project")) {
			continue
		}
		payload := map[string]json.RawMessage{}
		for key, v := range members {
			// Ci::PipelineTriggerService hides these.
			if key != "token" {
				payload[key] = v
			}
		}
		text, err := json.Marshal(payload)
		if err != nil {
			panic(err) // JSON that was read
		}
		s.run(w, p, Pipeline{Ref: branch, Source: "trigger", Username: owner, Variables: texts, Payload: string(text)})
		return
	}
	refuse(w, http.StatusNotFound, "message", "404 Not Found")
}

// create is POST /projects/:id/pipeline ("Pipelines API").
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	u, known, ok := s.who(w, r)
	if !ok {
		return
	}
	if !known {
		refuse(w, http.StatusUnauthorized, "message", "401 Unauthorized")
		return
	}
	project, found := s.find(w, r, known)
	if !found {
		return
	}
	if u.Guest {
		refuse(w, http.StatusForbidden, "message", "403 Forbidden")
		return
	}
	members, ok := body(w, r)
	if !ok {
		return
	}
	branch, ok := ref(w, members)
	if !ok {
		return
	}
	var variables []struct {
		Key   *string `json:"key"`
		Value any     `json:"value"`
	}
	if raw, given := members["variables"]; given && json.Unmarshal(raw, &variables) != nil {
		refuse(w, http.StatusBadRequest, "error", "variables is invalid")
		return
	}
	texts := map[string]string{}
	for _, v := range variables {
		text, isText := v.Value.(string)
		if v.Key == nil || !isText {
			refuse(w, http.StatusBadRequest, "error", "variables[0][value] is invalid")
			return
		}
		if _, twice := texts[*v.Key]; twice {
			invalid(w, "Variables have duplicate values ("+*v.Key+")")
			return
		}
		texts[*v.Key] = text
	}
	s.run(w, project, Pipeline{Ref: branch, Source: "api", Username: u.Name, Variables: texts})
}
