package local_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"longshore/pkg/egress"
	"longshore/pkg/local"
)

// BenchmarkEndToEnd is one run from the POST to the receiver's answer, by 64 clients at once, in one
// process with its receiver and its clients. `longshore bench-process` measures the server alone.
func BenchmarkEndToEnd(b *testing.B) {
	var arrived atomic.Int64
	all := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{}`)
		if arrived.Add(1) == int64(b.N) {
			close(all)
		}
	}))
	defer receiver.Close()
	s, err := local.Open(b.Context(), local.Config{Addr: "127.0.0.1:0", Data: b.TempDir(), EgressAllow: egress.Loopback(),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	post := func(path, token, body string, want int) []byte {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+s.Addr()+path, bytes.NewReader([]byte(body)))
		if err != nil {
			b.Error(err)
			return nil
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(request)
		if err != nil {
			b.Error(err)
			return nil
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != want {
			b.Errorf("POST %s: %s: %s", path, answer.Status, text)
		}
		return text
	}
	login := post("/v1/auth/access_token", "", fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, s.Credentials().ClientID, s.Credentials().ClientSecret), 200)
	_, after, _ := strings.Cut(string(login), `"accessToken":"`)
	token, _, _ := strings.Cut(after, `"`)
	post("/v1/actions", token, `{"identifier":"bench","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"name":{"type":"string"}}}},
		"invocationMethod":{"type":"WEBHOOK","url":"`+receiver.URL+`","synchronized":true,"body":{"name":"{{ .inputs.name }}","run":"{{ .run.id }}","text":"{{ .inputs.text }}"}}}`, 201)
	body := `{"properties":{"name":"checkout","text":"` + strings.Repeat("the quick brown fox jumps over the lazy dog; ", 85) + `"}}`
	b.ResetTimer()
	b.ReportAllocs()
	var clients sync.WaitGroup
	next := make(chan struct{})
	for range 64 {
		clients.Go(func() {
			for range next {
				post("/v1/actions/bench/runs", token, body, 202)
			}
		})
	}
	for range b.N {
		next <- struct{}{}
	}
	close(next)
	clients.Wait()
	<-all
}
