package api

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

// authorize lets a request pass by an access of what was found for it. Where none is needed the caller is
// nobody, whatever the header says.
func (s *server) authorize(r *http.Request, access Access, found match) (identity.Caller, error) {
	switch {
	case access == Open, access == Loopback && onLoopback(r):
		return identity.Caller{}, nil
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return identity.Caller{}, fault.New(fault.Unauthorized, "", "the Authorization header is missing; it takes the form: Bearer <access token>")
	}
	scheme, token, two := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !two || !strings.EqualFold(scheme, "Bearer") {
		return identity.Caller{}, fault.New(fault.Unauthorized, "", "the Authorization header must take the form: Bearer <access token>")
	}
	caller, err := s.Tokens.Verify(r.Context(), strings.TrimSpace(token))
	if err != nil {
		return identity.Caller{}, fmt.Errorf("check access token: %w", err)
	}
	if err := permitCall(caller, r, found); err != nil {
		return identity.Caller{}, err
	}
	return caller, access.permit(caller, found.params)
}

// onLoopback reports whether the connection ends at a loopback address of this machine. A handler
// outside a net/http server cannot know, and says no.
func onLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// issueToken answers POST /v1/auth/access_token. It reads no store.
func (s *server) issueToken(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	clientID, clientSecret := b.required("clientId", 0), b.required("clientSecret", 0)
	if err := b.done(); err != nil {
		return nil, err
	}
	token, expiresIn, err := s.Tokens.Issue(clientID, clientSecret)
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK          bool   `json:"ok"`
		AccessToken string `json:"accessToken"`
		ExpiresIn   int64  `json:"expiresIn"`
		TokenType   string `json:"tokenType"`
	}{true, token, int64(expiresIn.Seconds()), "Bearer"})
}
