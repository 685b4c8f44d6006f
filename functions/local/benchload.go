package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// benchSecret is the client secret of every server under load.
const benchSecret = "a secret that only benchmarks use, 48 characters"

// arrivals is a receiver that notes when each run first arrived.
type arrivals struct {
	url    string
	mu     sync.Mutex
	at     map[string]time.Time
	wanted int
	all    chan struct{}
	server *http.Server
}

func receive() (*arrivals, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &arrivals{url: "http://" + listener.Addr().String() + "/", at: map[string]time.Time{}}
	a.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		now := time.Now()
		a.mu.Lock()
		defer a.mu.Unlock()
		id := r.Header.Get("Idempotency-Key")
		if _, seen := a.at[id]; !seen {
			a.at[id] = now
			if len(a.at) == a.wanted {
				close(a.all)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"done":true}`)
	})}
	go func() { _ = a.server.Serve(listener) }()
	return a, nil
}

// expect forgets what arrived; all is closed when n runs have.
func (a *arrivals) expect(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.at)
	a.wanted, a.all = n, make(chan struct{})
}

// load is one server under load.
type load struct {
	url, token string
	client     *http.Client
	to         *arrivals
}

// newLoad logs in and defines the action of the load: a rendered body of about 4 KiB.
func newLoad(ctx context.Context, url string, to *arrivals) (*load, error) {
	l := &load{url: url, to: to, client: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256}}}
	var login struct {
		AccessToken string `json:"accessToken"`
	}
	if err := l.post(ctx, "/v1/auth/access_token", map[string]any{"clientId": "bench", "clientSecret": benchSecret}, &login); err != nil {
		return nil, err
	}
	l.token = login.AccessToken
	action := map[string]any{
		"identifier": "bench",
		"trigger": map[string]any{"type": "self-service", "operation": "CREATE", "userInputs": map[string]any{
			"properties": map[string]any{"name": map[string]any{"type": "string"}, "text": map[string]any{"type": "string"}},
			"required":   []string{"name"},
		}},
		"invocationMethod": map[string]any{
			"type": "WEBHOOK", "url": to.url, "synchronized": true,
			"body": map[string]any{
				"service": "{{ .inputs.name }}", "run": "{{ .run.id }}", "text": "{{ .inputs.text }}",
				"labels": map[string]any{"app": "{{ .inputs.name | ascii_downcase }}", "team": "payments"},
			},
		},
	}
	err := l.post(ctx, "/v1/actions", action, nil)
	if errors.Is(err, errTaken) {
		// The data directory was used before, with another receiver.
		err = l.send(ctx, http.MethodPut, "/v1/actions/bench", action, nil)
	}
	return l, err
}

// errTaken is a name that is taken.
var errTaken = errors.New("409 Conflict")

func (l *load) post(ctx context.Context, path string, body, into any) error {
	return l.send(ctx, http.MethodPost, path, body, into)
}

func (l *load) send(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+l.token)
	answer, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, 8<<20))
	if err != nil {
		return err
	}
	switch {
	case answer.StatusCode == http.StatusConflict:
		return fmt.Errorf("%s %s: %w: %.200s", method, path, errTaken, text)
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s: %.200s", method, path, answer.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// figures of one load.
type figures struct {
	// accepted and arrived are runs a second, from the first request to the last answer or arrival.
	accepted, arrived float64
	// accept is the latency of POST; reach the time from the request to the receiver. Sorted.
	accept, reach []time.Duration
}

var benchText = strings.Repeat("the quick brown fox jumps over the lazy dog; ", 85)

// burst triggers n runs over so many connections, as fast as they are answered. With a rate they
// are instead begun evenly, that many a second.
func (l *load) burst(ctx context.Context, n, connections, rate int) (figures, error) {
	l.to.expect(n)
	type sample struct {
		id            string
		begun, answer time.Time
	}
	samples := make([]sample, n)
	next := make(chan int)
	failed := make(chan error, connections)
	var workers sync.WaitGroup
	start := time.Now()
	for range connections {
		workers.Go(func() {
			for i := range next {
				begun := time.Now()
				if rate > 0 {
					begun = start.Add(time.Duration(i) * time.Second / time.Duration(rate))
				}
				var answer struct {
					Run struct {
						ID string `json:"id"`
					} `json:"run"`
				}
				err := l.post(ctx, "/v1/actions/bench/runs", map[string]any{"properties": map[string]any{
					"name": fmt.Sprintf("Service-%d", i), "text": benchText}}, &answer)
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					continue
				}
				samples[i] = sample{answer.Run.ID, begun, time.Now()}
			}
		})
	}
	for i := range n {
		if rate > 0 {
			pause := time.NewTimer(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			<-pause.C
		}
		next <- i
	}
	close(next)
	workers.Wait()
	select {
	case err := <-failed:
		return figures{}, err
	default:
	}
	select {
	case <-l.to.all:
	case <-time.After(2 * time.Minute):
		return figures{}, fmt.Errorf("of %d runs %d arrived within two minutes", n, len(l.to.at))
	case <-ctx.Done():
		return figures{}, ctx.Err()
	}
	var f figures
	var answered, arrived time.Time
	for _, s := range samples {
		at, ok := l.to.at[s.id]
		if !ok {
			return figures{}, fmt.Errorf("run %s was accepted and never arrived", s.id)
		}
		f.accept = append(f.accept, s.answer.Sub(s.begun))
		f.reach = append(f.reach, at.Sub(s.begun))
		answered, arrived = later(answered, s.answer), later(arrived, at)
	}
	f.accepted = float64(n) / answered.Sub(start).Seconds()
	f.arrived = float64(n) / arrived.Sub(start).Seconds()
	slices.Sort(f.accept)
	slices.Sort(f.reach)
	return f, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// percentile of sorted values.
func percentile(sorted []time.Duration, p float64) time.Duration {
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
