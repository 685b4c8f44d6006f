package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// Own is how calls of this deployment's own API are made: with a token of the organization's client that
// is good for that one call, so that no definition needs credentials for them.
type Own struct {
	// Addresses are those of the API: scheme, host and port, and whatever path is in front of /v1/.
	Addresses func() []string
	// Token makes the token of a call, which goes out at once; it is kept nowhere.
	Token func(context.Context, identity.Call) (string, error)
	// Handler is the API where it is in this process; nil where calls go out as any other.
	Handler http.Handler
}

// authorize gives a call of this deployment's own API its token and returns its path there, decoded, empty
// for any other call. An Authorization header of the action stays.
func (o *Own) authorize(ctx context.Context, c backend.Call, w *invocation.Webhook, req *http.Request) (path string, err error) {
	if o == nil {
		return "", nil
	}
	path, own := w.OwnPath(o.Addresses())
	if !own {
		return "", nil
	}
	if _, given := req.Header["Authorization"]; given {
		return path, nil
	}
	token, err := o.Token(ctx, identity.Call{Method: w.Method, Path: path, Cause: c.By.Cause})
	if err != nil {
		return path, fmt.Errorf("make the token of a call: %w", err)
	}
	req.Header["Authorization"] = []string{"Bearer " + token}
	return path, nil
}

// do sends a request: to the API in this process where it has a path there, else through the guarded
// client.
func (b *Backend) do(req *http.Request, path string) (*http.Response, error) {
	if path == "" || b.c.Own.Handler == nil {
		return b.c.Client.Do(req)
	}
	return serve(b.c.Own.Handler, req, path)
}

// serve answers a request by a handler of this process, which knows its path. The request is made anew, as
// it would have come in by the network. Errors are of type *egress.Error, as those of the client.
func serve(h http.Handler, req *http.Request, path string) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.Host = req.URL.Host
	in.URL.Fragment, in.URL.RawFragment = "", ""
	// What is in front of /v1/ is of whoever forwards requests to the API.
	before := url.URL{Path: strings.TrimSuffix(req.URL.Path, path)}
	in.URL.Path, in.URL.RawPath = path, strings.TrimPrefix(req.URL.EscapedPath(), before.EscapedPath())
	in.RequestURI = in.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	a := &answer{header: http.Header{}}
	done := make(chan bool, 1)
	go func() {
		finished := false
		defer func() {
			_ = recover() // http.ErrAbortHandler, by which a handler gives an answer up.
			done <- finished
		}()
		h.ServeHTTP(a, in)
		finished = true
	}()
	late := &egress.Error{Sentence: "this deployment's own API did not answer in time"}
	select {
	case finished := <-done:
		switch {
		case !finished:
			return nil, &egress.Error{Sentence: "this deployment's own API gave its answer up"}
		case a.status == 0 && req.Context().Err() != nil:
			return nil, late
		}
	case <-req.Context().Done():
		return nil, late
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: req,
	}, nil
}

// why returns the word by which our own API says why it refused a call, empty where it has none. What was
// read of the answer can be read again.
func why(resp *http.Response) string {
	if resp.StatusCode < 400 {
		return ""
	}
	text, _, _ := egress.ReadUpTo(resp.Body, run.MaxResponse)
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), resp.Body))
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &refusal) != nil || refusal.Error == "" || len(refusal.Error) > 60 ||
		strings.Trim(refusal.Error, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return ""
	}
	return ": " + refusal.Error
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
