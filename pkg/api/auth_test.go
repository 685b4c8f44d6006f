package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAccessToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g := f.call("POST", "/v1/auth/access_token", encodedObject("clientId", clientID, "clientSecret", clientSecret), "Authorization", "")
	g.want(http.StatusOK)
	if g.at("ok") != true || g.at("expiresIn") != 10800.0 || g.at("tokenType") != "Bearer" {
		t.Errorf("got %s", g.text)
	}
	token := g.at("accessToken").(string)
	for _, header := range []string{"Bearer " + token, "bearer " + token, "BEARER   " + token} {
		f.call("GET", "/v1/actions", "", "Authorization", header).want(http.StatusOK)
	}
	if log := f.log.String(); strings.Contains(log, token) || strings.Contains(log, clientSecret) {
		t.Errorf("the log holds the token or the secret: %s", log)
	}
}

func encodedObject(members ...string) string {
	o := map[string]string{}
	for i := 0; i < len(members); i += 2 {
		o[members[i]] = members[i+1]
	}
	text, _ := json.Marshal(o)
	return string(text)
}

func TestAccessTokenRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := map[string]struct {
		body    string
		status  int
		word    string
		message string
	}{
		"wrong secret": {encodedObject("clientId", clientID, "clientSecret", "x"), 401, "unauthorized", "the client id or the client secret is wrong"},
		"wrong client": {encodedObject("clientId", "x", "clientSecret", clientSecret), 401, "unauthorized", "the client id or the client secret is wrong"},
		"no secret":    {encodedObject("clientId", clientID), 422, "invalid_request", "clientSecret: is required and must be a string"},
		"empty object": {`{}`, 422, "invalid_request", "clientId: is required and must be a string\nclientSecret: is required and must be a string"},
		"a number":     {`{"clientId":1,"clientSecret":null}`, 422, "invalid_request", "clientId: must be a string\nclientSecret: is required and must be a string"},
		"a list":       {`[]`, 422, "invalid_request", "the body must be a JSON object"},
		"no body":      {``, 422, "invalid_request", "malformed JSON at byte 0: unexpected end, wanted a value"},
		"one more":     {`{"clientId":"a","clientSecret":"b","scope":"c"}`, 422, "invalid_request", "scope: is not a member of this body; it takes clientId, clientSecret"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			got := f.call("POST", "/v1/auth/access_token", test.body, "Authorization", "").fault(test.status, test.word)
			if diff := cmp.Diff(test.message, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrongTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start()
	before := f.snapshot()
	expired, err := newTokens(t, func() time.Time { return time.Now().Add(-4 * time.Hour) }).Sign()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(f.token, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	const (
		invalid = "the access token is not valid"
		form    = "the Authorization header must take the form: Bearer <access token>"
	)
	tests := map[string]struct{ header, message string }{
		"missing":           {"", "the Authorization header is missing; it takes the form: Bearer <access token>"},
		"no scheme":         {f.token, form},
		"another scheme":    {"Basic " + f.token, form},
		"only the scheme":   {"Bearer", form},
		"empty":             {"Bearer ", invalid},
		"malformed":         {"Bearer abc", invalid},
		"expired":           {"Bearer " + expired, "the access token has expired"},
		"cut off":           {"Bearer " + f.token[:len(f.token)-4], invalid},
		"alg none":          {"Bearer " + none, invalid},
		"claims of another": {"Bearer " + parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "." + parts[2], invalid},
		"the client secret": {"Bearer " + clientSecret, invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			for _, target := range []struct{ method, path, body string }{
				{"GET", "/v1/actions", ""},
				{"POST", "/v1/actions", kafka},
				{"POST", "/v1/actions/deploy/runs", `{"properties":{"service":"x"}}`},
				{"DELETE", "/v1/actions/deploy", ""},
			} {
				got := f.call(target.method, target.path, target.body, "Authorization", test.header).fault(401, "unauthorized")
				if diff := cmp.Diff(test.message, got); diff != "" {
					t.Errorf("%s %s: message (-want +got):\n%s", target.method, target.path, diff)
				}
			}
			f.unchanged(before)
		})
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := httptest.NewRequest("GET", "/v1/actions", nil)
	r.Header["Authorization"] = []string{"Bearer " + f.token, "Bearer x"}
	f.do(r, nil).fault(401, "unauthorized")
}
