package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is a running service.
type Server struct {
	// Endpoint is its address, such as http://127.0.0.1:41234.
	Endpoint string

	// leash keeps the service alive while it is open.
	leash io.Closer
	// done is closed when the process is gone; output holds its last words.
	done   chan struct{}
	output *tail
}

// keeper runs its arguments as a child and kills it once standard input ends, which the system sees
// to however the other side of that pipe dies. It ends when the child does.
const keeper = `exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
(read -r _ <&3; kill -9 $child) &
watch=$!
wait $child
status=$?
kill $watch
exit $status`

const (
	// readyTimeout is for one process to answer its first request, on a busy machine.
	readyTimeout = 3 * time.Minute
	// ports is how many free ports are tried: between asking for one and listening on it another
	// process may take it.
	ports = 3
)

// start fetches a service and starts it on a free port.
func start(ctx context.Context, s service, host string) (*Server, error) {
	jars, err := fetch(ctx, s)
	if err != nil {
		return nil, err
	}
	var faults []error
	for range ports {
		port, err := freePort(host)
		if err != nil {
			return nil, err
		}
		server, err := launch(s, jars, host, port)
		if err != nil {
			return nil, err
		}
		err = server.ready(ctx, s.probe)
		if err == nil {
			return server, nil
		}
		faults = append(faults, err)
		if err := server.Stop(); err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(faults...)
}

// freePort returns a port that nobody has, below those that the system gives out by itself: until java listens
// on it, seconds from now, no server or connection of another process is given it.
func freePort(host string) (port int, err error) {
	for range 100 {
		port = 20_000 + rand.IntN(10_000)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// launch starts the process; it need not be ready yet.
func launch(s service, jars, host string, port int) (*Server, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("find java: %w", err)
	}
	arguments := append([]string{
		"-c", keeper, "sh", java,
		// A short life on a shared machine: the fast compiler and the collector without threads.
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g",
		"-cp", filepath.Join(jars, "*"),
	}, s.arguments(host, port)...)
	server := &Server{
		Endpoint: "http://" + net.JoinHostPort(host, strconv.Itoa(port)),
		done:     make(chan struct{}),
		output:   &tail{},
	}
	cmd := exec.Command("sh", arguments...)
	cmd.Dir = jars
	cmd.Stdout, cmd.Stderr = server.output, server.output
	if server.leash, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start java: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start java: %w", err)
	}
	go func() {
		defer close(server.done)
		// How it ended says its output; that it ended says done.
		_ = cmd.Wait()
	}()
	return server, nil
}

// ready waits until the service answers a request.
func (s *Server) ready(ctx context.Context, probe string) error {
	return s.await(ctx, func(ctx context.Context) bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+probe, nil)
		if err != nil {
			return false
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		// DynamoDB Local refuses the probe, which carries no operation, with a 400.
		return answer.StatusCode < http.StatusInternalServerError
	})
}

// await waits until the service answers.
func (s *Server) await(ctx context.Context, answers func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for !answers(ctx) {
		select {
		case <-s.done:
			return fmt.Errorf("it ended before it was ready: %s", s.output.String())
		case <-ctx.Done():
			return fmt.Errorf("wait for it to answer: %w: %s", ctx.Err(), s.output.String())
		case <-every.C:
		}
	}
	return nil
}

// Stop ends the service and waits until it is gone.
func (s *Server) Stop() error {
	_ = s.leash.Close()
	select {
	case <-s.done:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%s did not end", s.Endpoint)
	}
}

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tailOf(t.text)
}

func tailOf(text []byte) string {
	return strings.TrimSpace(string(text[max(0, len(text)-tailSize):]))
}
