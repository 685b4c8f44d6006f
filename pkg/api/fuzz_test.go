package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"longshore/pkg/api"
)

// Whatever is asked gets an answer that clients can read, and never an internal error.
func FuzzRequest(f *testing.F) {
	api := newFixture(f)
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	for _, seed := range seedRequests() {
		f.Add(seed.method, seed.target, seed.body)
	}
	f.Fuzz(func(t *testing.T, method uint8, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(target, "/") {
			// Net/http refuses it before we see it.
			return
		}
		r := &http.Request{
			Method: methods[int(method)%len(methods)], URL: u, Host: "localhost:8080", RemoteAddr: "192.0.2.1:1234", Proto: "HTTP/1.1",
			Header: http.Header{"Authorization": {"Bearer " + api.token}, "Content-Type": {"application/json"}}, Body: http.NoBody,
		}
		if len(body) > 0 {
			r.Body, r.ContentLength = http.MaxBytesReader(nil, readCloser{bytes.NewReader(body)}, 2<<20), int64(len(body))
		}
		w := httptest.NewRecorder()
		api.handler.ServeHTTP(w, r.WithContext(t.Context()))
		var answer struct {
			OK    *bool
			Error string
		}
		if w.Code == http.StatusInternalServerError || w.Code < 200 {
			t.Fatalf("%s %q: got %d %s", r.Method, target, w.Code, w.Body)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") || u.Path == "/openapi.json" {
			return
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.OK == nil || *answer.OK != (w.Code < 400) || !*answer.OK && answer.Error == "" {
			t.Fatalf("%s %q: got %d %s", r.Method, target, w.Code, w.Body)
		}
	})
}

type seedRequest struct {
	method uint8
	target string
	body   []byte
}

// seedRequests has each route once, with what it might take.
func seedRequests() []seedRequest {
	index := map[string]uint8{"GET": 0, "POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4}
	bodies := map[string]string{
		"POST /v1/actions": deploy, "PUT /v1/actions/{action_identifier}": deploy,
		"POST /v1/actions/{action_identifier}/runs":                  `{"properties":{"service":"cart"}}`,
		"PATCH /v1/actions/runs/{run_id}":                            `{"status":"SUCCESS","link":["https://x.example"],"statusLabel":"done"}`,
		"POST /v1/actions/runs/{run_id}/logs":                        `{"message":"m","terminationStatus":"FAILURE"}`,
		"POST /v1/blueprints":                                        `{"identifier":"service","title":"S","schema":{"properties":{"n":{"type":"number"}}}}`,
		"POST /v1/blueprints/{blueprint_identifier}/entities":        `{"identifier":"cart","properties":{"n":1},"relations":{}}`,
		"POST /v1/blueprints/{blueprint_identifier}/entities/search": `{"query":{"combinator":"and","rules":[{"property":"n","operator":">","value":1}]}}`,
		"POST /v1/entities/search":                                   `{"combinator":"or","rules":[{"property":"$identifier","operator":"contains","value":"c"}]}`,
		"POST /v1/jq":                                                `{"expression":".a","data":{"a":1}}`,
		"PATCH /v1/organization":                                     `{"settings":{"portAgentStreamerName":"KAFKA"}}`,
		"POST /v1/organization/secrets":                              `{"secretName":"TOKEN","secretValue":"value"}`,
	}
	var seeds []seedRequest
	for _, r := range api.Routes() {
		target := strings.NewReplacer("{action_identifier}", "deploy", "{run_id}", "r_0123456789abcdef", "{blueprint_identifier}", "service",
			"{entity_identifier}", "a%2Fb", "{", "", "}", "").Replace(r.Pattern)
		seeds = append(seeds, seedRequest{index[r.Method], target, []byte(bodies[r.Method+" "+r.Pattern])})
	}
	return append(seeds, seedRequest{0, "/v1/actions/runs?limit=1&active=x&from=%00", nil}, seedRequest{0, "/v1//actions/%2e%2e", nil},
		seedRequest{1, "/v1/jq", []byte(`{"expression":""}`)})
}
