// Package client is what an operator's commands speak with a Longshore server: HTTP, and nothing
// else.
//
// It logs in when it has to and keeps the token until shortly before its end. It promises that every
// call ends, that a fault of the server arrives as an *Error with the server's own sentence, and that
// only a request that may be made twice is ever repeated.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/pkg/fault"
)

const (
	// Timeout is how long one call may take with the client's own http.Client: longer than the
	// server's.
	Timeout = 35 * time.Second

	// maxAnswer is more than the server ever answers, in bytes.
	maxAnswer = 8 << 20
	// renewBefore is how long before its end a token is not used any more.
	renewBefore = time.Minute
	// tries is how often a request that may be repeated is made; maxPause is the longest wait between.
	tries    = 4
	maxPause = 5 * time.Second
)

// Config says which server, and as whom.
type Config struct {
	// URL is the server's address, http://127.0.0.1:8080 for one.
	URL                    string
	ClientID, ClientSecret string
	// HTTP makes the calls; nil means one with Timeout. It must not follow redirects.
	HTTP *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client speaks with one server. It is safe for concurrent use.
type Client struct {
	config Config
	base   string

	mu      sync.Mutex
	token   string
	expires time.Time
}

// Error is an answer of the server that is no success.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Word is the stable word of the fault; empty if the answer did not come from Longshore.
	Word    string
	Message string
	Details []fault.Detail
	// RequestID leads to the server's log.
	RequestID string

	retryAfter time.Duration
}

// Error returns the server's sentence; for a fault of the server itself also the request's id.
func (e *Error) Error() string {
	if e.Status >= http.StatusInternalServerError && e.RequestID != "" {
		return fmt.Sprintf("%s (HTTP %d, request %s)", e.Message, e.Status, e.RequestID)
	}
	return e.Message
}

// New checks the address.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a server: it takes the form http://host:port", c.URL)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{
			Timeout:       Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	// Every path begins with /v1: an address that ends in it means the same.
	return &Client{config: c, base: strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/v1")}, nil
}

// call is one request.
type call struct {
	method string
	// path is escaped.
	path  string
	query url.Values
	// body is encoded as JSON; nil sends none.
	body any
	// key is sent as Idempotency-Key; a request that has one may be repeated.
	key string
	// repeat says that a request that is no GET and has no key may be repeated nevertheless.
	repeat bool
}

// do makes a call with a token and decodes the answer's body into into. A token that the server
// does not take any more is renewed once.
func (c *Client) do(ctx context.Context, q call, into any) (http.Header, error) {
	for renewed := false; ; renewed = true {
		token, err := c.login(ctx)
		if err != nil {
			return nil, err
		}
		header, err := c.send(ctx, q, token, into)
		if refused := (*Error)(nil); renewed || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			return header, err
		}
		c.forget(token)
	}
}

// login returns a token that is valid for a while.
func (c *Client) login(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.config.Now()
	if c.token != "" && now.Before(c.expires) {
		return c.token, nil
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
		ExpiresIn   int64  `json:"expiresIn"`
	}
	credentials := map[string]string{"clientId": c.config.ClientID, "clientSecret": c.config.ClientSecret}
	if _, err := c.send(ctx, call{method: http.MethodPost, path: "/v1/auth/access_token", body: credentials, repeat: true}, "", &answer); err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	if answer.AccessToken == "" {
		return "", fmt.Errorf("log in: %w", notOurs(http.StatusOK, "it has no accessToken"))
	}
	c.token, c.expires = answer.AccessToken, now.Add(time.Duration(answer.ExpiresIn)*time.Second-renewBefore)
	return c.token, nil
}

func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// send makes a request, and makes it again after a temporary fault if it may be repeated.
func (c *Client) send(ctx context.Context, q call, token string, into any) (http.Header, error) {
	var body []byte
	switch v := q.body.(type) {
	case nil:
	case json.RawMessage:
		// As it is: what is wrong with it is for the server to say.
		body = v
	default:
		var err error
		if body, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
	}
	repeatable := q.method == http.MethodGet || q.key != "" || q.repeat
	for try := 1; ; try++ {
		header, err := c.once(ctx, q, token, body, into)
		pause, temporary := temporary(err)
		if err == nil || !repeatable || !temporary || try == tries || ctx.Err() != nil {
			return header, err
		}
		if err := sleep(ctx, max(pause, 200*time.Millisecond<<try)); err != nil {
			return nil, err
		}
	}
}

// temporary reports whether the same request may succeed later, and after what time at least.
func temporary(err error) (time.Duration, bool) {
	var answered *Error
	if !errors.As(err, &answered) {
		// Where nobody listens nobody will a second later.
		var dial *net.OpError
		return 0, !errors.As(err, &dial) || dial.Op != "dial"
	}
	switch answered.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return min(answered.retryAfter, maxPause), true
	case http.StatusConflict:
		return min(answered.retryAfter, maxPause), answered.Word == "request_in_progress"
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (c *Client) once(ctx context.Context, q call, token string, body []byte, into any) (http.Header, error) {
	address := c.base + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, q.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if q.key != "" {
		request.Header.Set("Idempotency-Key", q.key)
	}
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("call the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the server's answer: %w", err)
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, refusal(response, text)
	case len(text) > maxAnswer:
		return nil, &Error{Status: response.StatusCode, Message: "the server's answer is too large"}
	}
	if into == nil {
		return response.Header, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, notOurs(response.StatusCode, err.Error())
	}
	return response.Header, nil
}

// notOurs is an answer that Longshore does not give.
func notOurs(status int, why string) *Error {
	return &Error{Status: status, Message: "the server's answer is not what Longshore answers: " + why}
}

// refusal reads the fault in an answer; one of anything between says its status only.
func refusal(response *http.Response, text []byte) error {
	e := &Error{Status: response.StatusCode, RequestID: response.Header.Get("X-Request-Id")}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.retryAfter = time.Duration(min(seconds, int(maxPause/time.Second))) * time.Second
	}
	var body struct {
		Error   string         `json:"error"`
		Message string         `json:"message"`
		Details []fault.Detail `json:"details"`
	}
	if json.Unmarshal(text, &body) == nil {
		e.Word, e.Message, e.Details = body.Error, body.Message, body.Details
	}
	if e.Message == "" {
		e.Message = "the server answered with status " + response.Status
	}
	return e
}
