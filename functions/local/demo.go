package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/boot"
	"longshore/pkg/egress"
	"longshore/pkg/local"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// demoCommand shows the whole way of a run: a server on a fresh directory and a free port, a
// receiver that verifies and reports back, one action of each generation. It leaves nothing behind.
type demoCommand struct{}

// demoFor is how long the demo may take.
const demoFor = 25 * time.Second

func (demoCommand) Run(ctx context.Context, s *streams) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoFor)
	defer cancel()
	dir, err := os.MkdirTemp("", "longshore-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	say := narrator(s.out)
	server, err := local.Open(ctx, local.Config{
		Addr: "127.0.0.1:0", Data: filepath.Join(dir, "data"), EgressAllow: egress.Loopback(),
		Timeout: run.Timeouts(0), Version: boot.Version, Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	if err := server.Start(ctx); err != nil {
		return err
	}
	url := "http://" + server.Addr()
	say("server", "ready %s, data in a fresh directory", url)

	credentials := server.Credentials()
	c, err := client.New(client.Config{URL: url, ClientID: credentials.ClientID, ClientSecret: credentials.ClientSecret})
	if err != nil {
		return err
	}
	receiver, err := demoReceiver(ctx, c, credentials.ClientSecret, say)
	if err != nil {
		return err
	}
	defer receiver.close()
	say("receiver", "listens on %s", receiver.url)

	for _, definition := range []string{
		`{"identifier":"scaffold_service","title":"Scaffold a service",
		  "trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"name":{"type":"string"},"replicas":{"type":"number","default":2}},"required":["name"]}},
		  "invocationMethod":{"type":"WEBHOOK","url":"` + receiver.url + `/v2","headers":{"X-Run":"{{ .run.id }}"},
		    "body":{"service":"{{ .inputs.name }}","replicas":"{{ .inputs.replicas }}","repository":"acme/{{ .inputs.name | ascii_downcase }}"}}}`,
		`{"identifier":"restart_service","title":"Restart a service",
		  "userInputs":{"properties":{"name":{"type":"string"}},"required":["name"]},"trigger":"CREATE",
		  "invocationMethod":{"type":"WEBHOOK","url":"` + receiver.url + `/v1"}}`,
	} {
		if _, err := c.CreateAction(ctx, json.RawMessage(definition)); err != nil {
			return fmt.Errorf("create action: %w", err)
		}
	}
	say("server", "has the actions scaffold_service (v2, a rendered payload) and restart_service (v1, the run message)")

	var ids []string
	for _, action := range []string{"scaffold_service", "restart_service"} {
		r, _, err := c.StartRun(ctx, action, client.Start{Properties: json.RawMessage(`{"name":"Checkout"}`), IdempotencyKey: "demo-" + action})
		if err != nil {
			return fmt.Errorf("trigger %s: %w", action, err)
		}
		say("client", "POST /v1/actions/%s/runs → 202, run %s is %s", action, r.ID, r.Status)
		ids = append(ids, r.ID)
	}
	failed := false
	for _, id := range ids {
		r, err := c.Follow(ctx, id, 20*time.Millisecond, func(client.Log) {})
		if err != nil {
			return errors.Join(receiver.err(), fmt.Errorf("follow run %s: %w", id, err))
		}
		attempts, err := c.Attempts(ctx, id)
		if err != nil {
			return fmt.Errorf("read attempts of run %s: %w", id, err)
		}
		say("client", "run %s of %s ended %s after %d attempt(s), link %s", id, r.Action.Identifier, r.Status, len(attempts), strings.Trim(string(r.Link), `["]`))
		if _, err := c.Logs(ctx, id, "", func(l client.Log) { say("", "  log: %s", l.Message) }); err != nil {
			return fmt.Errorf("read log of run %s: %w", id, err)
		}
		failed = failed || r.Status != "SUCCESS"
	}
	receiver.close()
	if err := receiver.err(); err != nil {
		return err
	}
	if failed {
		return errors.New("a run did not end with SUCCESS")
	}
	return nil
}

// narrator prints who does what, a line each, from any goroutine.
func narrator(w io.Writer) func(who, format string, args ...any) {
	var mu sync.Mutex
	begun := time.Now()
	return func(who, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%6d ms  %-8s  %s\n", time.Since(begun).Milliseconds(), who, fmt.Sprintf(format, args...))
	}
}

// demoReceiving is a backend as a team would write it.
type demoReceiving struct {
	url    string
	server *http.Server
	// reports are those under way.
	reports sync.WaitGroup
	mu      sync.Mutex
	faults  []error
}

// close ends the receiver once it has reported on what it took.
func (d *demoReceiving) close() {
	_ = d.server.Close()
	d.reports.Wait()
}

func (d *demoReceiving) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.faults...)
}

// demoReceiver verifies each delivery, and reports a line, a link and SUCCESS through the API.
func demoReceiver(ctx context.Context, c *client.Client, secret string, say func(who, format string, args ...any)) (*demoReceiving, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &demoReceiving{url: "http://" + listener.Addr().String()}
	d.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			err = signature.VerifyPort(r.Header, secret, body, signature.Check{Tolerance: 5 * time.Minute, Now: time.Now()})
		}
		if err != nil {
			say("receiver", "refuses a request: %s", err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		id := r.Header.Get("Idempotency-Key")
		say("receiver", "%s %s for run %s, signature valid: %s", r.Method, r.URL.Path, id, body)
		w.WriteHeader(http.StatusAccepted)
		d.reports.Go(func() {
			_, err := c.AppendLog(ctx, id, client.Line{Message: "the service is being made"})
			if err == nil {
				_, err = c.Report(ctx, id, client.Report{Status: "SUCCESS", Link: []string{d.url + "/jobs/" + id}})
			}
			if err != nil {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.faults = append(d.faults, fmt.Errorf("report on run %s: %w", id, err))
				return
			}
			say("receiver", "reports SUCCESS, a log line and a link for run %s", id)
		})
	})}
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}
