package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// benchLimit is what no product can beat: it accepts, renders, signs and posts the same runs as
// `serve`, and stores nothing.
type benchLimit struct{}

func (benchLimit) Run(ctx context.Context, s *streams) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := &limit{posts: make(chan post, 1<<16)}
	client := &http.Client{Timeout: 25 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	for range 100 {
		go l.post(ctx, client)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/auth/access_token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"ok":true,"accessToken":"limit","expiresIn":10800,"tokenType":"Bearer"}`)
	})
	mux.HandleFunc("POST /v1/actions", l.define)
	mux.HandleFunc("POST /v1/actions/{id}/runs", l.start)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Fprintf(s.out, "ready http://%s\n", listener.Addr())
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

type post struct {
	id, url string
	body    []byte
}

type limit struct {
	url      string
	template *jqtemplate.Template
	posts    chan post
}

// define takes the one action that the load uses.
func (l *limit) define(w http.ResponseWriter, r *http.Request) {
	var action struct {
		InvocationMethod struct {
			URL  string          `json:"url"`
			Body json.RawMessage `json:"body"`
		} `json:"invocationMethod"`
	}
	err := json.NewDecoder(r.Body).Decode(&action)
	if err == nil {
		var body any
		if body, err = jqtemplate.Decode(action.InvocationMethod.Body); err == nil {
			l.url = action.InvocationMethod.URL
			l.template, err = jqtemplate.Parse(body, "")
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"ok":true,"action":{}}`)
}

func (l *limit) start(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	request, err := jqtemplate.Decode(text)
	object, ok := request.(*jqtemplate.Object)
	if err != nil || !ok {
		http.Error(w, "no JSON object", http.StatusUnprocessableEntity)
		return
	}
	id := run.NewID(time.Now())
	inputs, _ := object.Get("properties")
	data, about := &jqtemplate.Object{}, &jqtemplate.Object{}
	about.Set("id", id)
	data.Set("inputs", inputs)
	data.Set("run", about)
	result, err := l.template.Render(r.Context(), jqtemplate.NewData(data), jqtemplate.Options{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	body := jqtemplate.Encode(result.Value)
	l.posts <- post{id, l.url, body}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"ok":true,"run":{"id":%q,"status":"IN_PROGRESS","properties":%s,"payload":{"body":%s}}}`,
		id, jqtemplate.Encode(inputs), body)
}

func (l *limit) post(ctx context.Context, client *http.Client) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.posts:
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
			if err != nil {
				continue
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header["idempotency-key"] = []string{p.id}
			if signature.Set(request.Header, signature.Secrets{Current: benchSecret}, p.id, time.Now(), p.body) != nil {
				continue
			}
			answer, err := client.Do(request)
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
			_ = answer.Body.Close()
		}
	}
}
