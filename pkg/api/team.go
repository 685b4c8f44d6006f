package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"longshore/pkg/catalog"
	"longshore/pkg/jqtemplate"
)

// enveloped is a payload under its key.
func enveloped(status int, key string, payload any) (*answer, error) {
	o := new(jqtemplate.Object)
	o.Set("ok", true)
	o.Set(key, payload)
	return &answer{status: status, text: jqtemplate.Encode(o)}, nil
}

// narrow leaves those members of a view that fields name: "a" and, of the objects in a list, "a.b".
// No fields leave all of it.
func narrow(view *jqtemplate.Object, fields []string) *jqtemplate.Object {
	if len(fields) == 0 {
		return view
	}
	narrowed := new(jqtemplate.Object)
	for name, value := range view.All() {
		var below []string
		for _, field := range fields {
			if rest, ok := strings.CutPrefix(field, name+"."); ok {
				below = append(below, rest)
			}
		}
		whole := slices.Contains(fields, name)
		if !whole && below == nil {
			continue
		}
		if list, isList := value.([]any); isList && !whole {
			part := make([]any, len(list))
			for i, item := range list {
				part[i] = item
				if o, isObject := item.(*jqtemplate.Object); isObject {
					part[i] = narrow(o, below)
				}
			}
			value = part
		}
		narrowed.Set(name, value)
	}
	return narrowed
}

// listUsers answers GET /v1/users.
func (s *server) listUsers(r *request) (*answer, error) {
	teams, users, err := s.Catalog.Teams(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	fields, views := r.query().list("fields"), []any{}
	for _, u := range users {
		views = append(views, narrow(u.View(teams), fields))
	}
	return enveloped(http.StatusOK, "users", views)
}

// getUser answers GET /v1/users/{user_email}.
func (s *server) getUser(r *request) (*answer, error) {
	u, teams, err := s.Catalog.User(r.Context(), r.params["user_email"])
	if err != nil {
		return nil, err
	}
	return enveloped(http.StatusOK, "user", u.View(teams))
}

// listTeams answers GET /v1/teams.
func (s *server) listTeams(r *request) (*answer, error) {
	teams, users, err := s.Catalog.Teams(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list teams: %w", err)
	}
	fields, views := r.query().list("fields"), []any{}
	for _, t := range teams {
		views = append(views, narrow(t.View(users), fields))
	}
	return enveloped(http.StatusOK, "teams", views)
}

// createTeam answers POST /v1/teams.
func (s *server) createTeam(r *request) (*answer, error) {
	t, users, err := s.Catalog.CreateTeam(r.Context(), r.body, s.author(r))
	return writtenTeam(http.StatusCreated, t, users, err)
}

// getTeam answers GET /v1/teams/{name}.
func (s *server) getTeam(r *request) (*answer, error) {
	t, users, err := s.Catalog.Team(r.Context(), r.params["name"])
	if err != nil {
		return nil, err
	}
	return enveloped(http.StatusOK, "team", narrow(t.View(users), r.query().list("fields")))
}

// replaceTeam answers PUT /v1/teams/{name}.
func (s *server) replaceTeam(r *request) (*answer, error) {
	t, users, err := s.Catalog.ReplaceTeam(r.Context(), r.params["name"], r.body, s.author(r))
	return writtenTeam(http.StatusOK, t, users, err)
}

// patchTeam answers PATCH /v1/teams/{name}.
func (s *server) patchTeam(r *request) (*answer, error) {
	t, users, err := s.Catalog.PatchTeam(r.Context(), r.params["name"], r.body, s.author(r))
	return writtenTeam(http.StatusOK, t, users, err)
}

// writtenTeam answers with a team that was written: its users are e-mails, as clients send them.
func writtenTeam(status int, t *catalog.Team, users []*catalog.User, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	view, emails := t.View(users), []any{}
	for _, u := range users {
		if t.Has(u) {
			emails = append(emails, u.Email)
		}
	}
	view.Set("users", emails)
	return enveloped(status, "team", view)
}

// deleteTeam answers DELETE /v1/teams/{name}.
func (s *server) deleteTeam(r *request) (*answer, error) {
	if err := s.Catalog.DeleteTeam(r.Context(), r.params["name"], s.author(r)); err != nil {
		return nil, err
	}
	return ok(okOnly{true})
}
