package api

import (
	"net/http"

	"longshore/pkg/audit"
	"longshore/pkg/organization"
	"longshore/pkg/run"
)

// withOrganization is a handler of a function that serves the organization's routes; in another one
// there is no such route.
func withOrganization(handle func(*server, *request) (*answer, error)) func(*server, *request) (*answer, error) {
	return func(s *server, r *request) (*answer, error) {
		if s.Organization == nil {
			return nil, noRoute()
		}
		return handle(s, r)
	}
}

// changer is who changes the organization.
func (s *server) changer(r *request) audit.Author {
	a := audit.Author{ID: r.caller.ID, Origin: run.SourceAPI, At: s.now()}
	if r.caller.User != nil {
		a.Email, a.Origin = r.caller.User.Email, run.SourceUI
	}
	return a
}

// getOrganization answers GET /v1/organization.
func (s *server) getOrganization(r *request) (*answer, error) {
	o, err := s.Organization.Organization(r.Context(), r.caller.OrgID)
	if err != nil {
		return nil, err
	}
	return enveloped(http.StatusOK, "organization", o)
}

// patchOrganization answers PATCH /v1/organization.
func (s *server) patchOrganization(r *request) (*answer, error) {
	o, err := s.Organization.Change(r.Context(), r.caller.OrgID, r.body, s.changer(r))
	if err != nil {
		return nil, err
	}
	return enveloped(http.StatusOK, "organization", o)
}

// listSecrets answers GET /v1/organization/secrets.
func (s *server) listSecrets(r *request) (*answer, error) {
	all, err := s.Organization.Secrets(r.Context())
	if err != nil {
		return nil, err
	}
	views := []any{}
	for _, o := range all {
		views = append(views, o.View())
	}
	return enveloped(http.StatusOK, "secrets", views)
}

// createSecret answers POST /v1/organization/secrets.
func (s *server) createSecret(r *request) (*answer, error) {
	o, err := s.Organization.CreateSecret(r.Context(), r.body, s.changer(r))
	return secretAnswer(http.StatusCreated, o, err)
}

// getSecret answers GET /v1/organization/secrets/{secret_name}.
func (s *server) getSecret(r *request) (*answer, error) {
	o, err := s.Organization.Secret(r.Context(), r.params["secret_name"])
	return secretAnswer(http.StatusOK, o, err)
}

// patchSecret answers PATCH /v1/organization/secrets/{secret_name}.
func (s *server) patchSecret(r *request) (*answer, error) {
	o, err := s.Organization.UpdateSecret(r.Context(), r.params["secret_name"], r.body, s.changer(r))
	return secretAnswer(http.StatusOK, o, err)
}

// deleteSecret answers DELETE /v1/organization/secrets/{secret_name}.
func (s *server) deleteSecret(r *request) (*answer, error) {
	if err := s.Organization.DeleteSecret(r.Context(), r.params["secret_name"], s.changer(r)); err != nil {
		return nil, err
	}
	return ok(okOnly{true})
}

func secretAnswer(status int, o *organization.Secret, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	return enveloped(status, "secret", o.View())
}
