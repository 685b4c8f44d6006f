package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// size is the number of the figures that are the executables' sizes.
	size = 15
	// hello is the function that others' starts are compared with.
	hello = "hello"
	// starts is how often each program is started.
	starts = 11
	// startWithin bounds one start.
	startWithin = 20 * time.Second
)

// starts makes measures 13 and 14: how long programs take from exec to their first answer or poll, each
// beside a function of aws-lambda-go that does nothing. How large they are is told, too.
func (b *bench) starts(ctx context.Context) error {
	if b.Functions == "" {
		return errors.New("no --functions were given")
	}
	folders, err := os.ReadDir(b.Functions)
	if err != nil {
		return err
	}
	var names []string
	for _, f := range folders {
		path := filepath.Join(b.Functions, f.Name(), "bootstrap")
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		b.add(size, "executable of "+f.Name()+", MB", "", "", float64(info.Size())/1e6)
		if f.Name() != hello {
			names = append(names, f.Name())
		}
	}
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil {
			b.add(size, "executable of local, MB", "", "", float64(info.Size())/1e6)
		}
	}
	dir, err := os.MkdirTemp("", "longshore-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	first := subject{data: filepath.Join(dir, "data")}
	token, err := b.prepare(ctx, first)
	if err != nil {
		return err
	}
	all := map[string][]float64{}
	for range starts {
		base, err := b.firstPoll(ctx, hello)
		if err != nil {
			return fmt.Errorf("%s: %w", hello, err)
		}
		all[hello] = append(all[hello], base.Seconds()*1000)
		took, err := firstAccepted(ctx, first, token)
		if err != nil {
			return fmt.Errorf("start serve: %w", err)
		}
		all[""] = append(all[""], float64(took)/float64(base))
		for _, name := range names {
			took, err := b.firstPoll(ctx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			all[name] = append(all[name], float64(took)/float64(base))
		}
	}
	fmt.Fprintf(b.s.err, "%s: exec to first poll %.1f ms\n", hello, median(all[hello]))
	b.add(13, "local: exec → first 202 ÷ hello's start", "≤ 40", "≤ 20", all[""]...)
	for _, name := range names {
		b.add(14, name+": exec → first poll ÷ hello's", "≤ 6", "≤ 4", all[name]...)
	}
	return nil
}

// prepare makes a data directory with the action of the load, and returns a token that its servers take.
func (b *bench) prepare(ctx context.Context, t subject) (token string, err error) {
	err = b.with(ctx, t, func(l *load, _ int) error {
		token = l.token
		return nil
	})
	return token, err
}

// firstAccepted starts the product on an existing database and returns how long it took until it had
// accepted a run.
func firstAccepted(ctx context.Context, t subject, token string) (time.Duration, error) {
	server, url, begun, err := t.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	l := &load{url: url, token: token, client: &http.Client{Timeout: startWithin}}
	defer l.client.CloseIdleConnections()
	err = l.post(ctx, "/v1/actions/bench/runs", map[string]any{"properties": map[string]any{"name": "first"}}, nil)
	return time.Since(begun), err
}

// firstPoll starts a function and returns how long it took until it asked the runtime API for an event.
func (b *bench) firstPoll(ctx context.Context, name string) (time.Duration, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	polled := make(chan time.Time, 1)
	api := &http.Server{ReadHeaderTimeout: startWithin, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case polled <- time.Now():
		default:
		}
		<-r.Context().Done()
	})}
	go func() { _ = api.Serve(listener) }()
	defer api.Close()
	c := exec.CommandContext(ctx, filepath.Join(b.Functions, name, "bootstrap"))
	c.Stderr = os.Stderr
	c.Env = append(plainEnvironment(), append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, functionSettings...)...)
	begun, err := startOn(0, c)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	select {
	case at := <-polled:
		return at.Sub(begun), nil
	case <-time.After(startWithin):
		return 0, fmt.Errorf("did not ask for an event within %s", startWithin)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// functionSettings are what a deployment sets, with invented values; nothing is called at a start. It is
// never changed.
var functionSettings = []string{
	"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
	"AWS_EC2_METADATA_DISABLED=true", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "LONGSHORE_STACK=bench",
	"LONGSHORE_BACKENDS=webhook,upsertentity,github,gitlab,kafka,azuredevops",
	"LONGSHORE_ORG_ID=org_bench", "LONGSHORE_CLIENT_ID=bench", "LONGSHORE_CLIENT_SECRET=" + benchSecret,
	"LONGSHORE_TOKEN_KEY=YmVuY2gga2V5IG9mIHRva2VucywgMzIgYnl0ZXMuLi4=",
	"LONGSHORE_SEALING_KEY=YmVuY2gga2V5IHRoYXQgc2VhbHMsIDMyIGJ5dGVzLi4=",
	"LONGSHORE_QUEUE_WEBHOOK=https://sqs.eu-west-1.amazonaws.com/1/webhook",
	"LONGSHORE_QUEUE_UPSERTENTITY=https://sqs.eu-west-1.amazonaws.com/1/upsertentity",
	"LONGSHORE_QUEUE_KAFKA=https://sqs.eu-west-1.amazonaws.com/1/kafka",
	"LONGSHORE_QUEUE_AZUREDEVOPS=https://sqs.eu-west-1.amazonaws.com/1/azuredevops",
	"LONGSHORE_QUEUE_GITHUB=https://sqs.eu-west-1.amazonaws.com/1/github",
	"LONGSHORE_QUEUE_GITLAB=https://sqs.eu-west-1.amazonaws.com/1/gitlab",
	"LONGSHORE_KAFKA_BROKERS=127.0.0.1:9092",
}
