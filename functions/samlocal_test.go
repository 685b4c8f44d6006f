package functions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// image stands in for AWS's base image; .ci/setup builds it.
	image = "longshore-provided:al2023"
	// hostName is what containers call this machine.
	hostName = "host.docker.internal"
	// samTimeout bounds one command of the SAM CLI: seconds, or minutes on a machine that is busy and
	// compiles for the first time.
	samTimeout = 8 * time.Minute
	// patience bounds what takes a moment.
	patience = 2 * time.Minute
	// cleanUp is kept for ending processes and containers.
	cleanUp = time.Minute
	// ports is how many free ports are tried: another process may take one before SAM does.
	ports = 3
)

// missing skips a test for want of a service, or fails it where services are required.
func missing(t *testing.T, service string, err error) {
	t.Helper()
	if os.Getenv("LONGSHORE_REQUIRE_SERVICES") == "1" {
		t.Fatalf("%s cannot be had, and LONGSHORE_REQUIRE_SERVICES=1 asks for it: %v", service, err)
	}
	t.Skipf("%s cannot be had: %v", service, err)
}

// within returns a context that ends after d, with the test, or early enough before the time-out of go
// test that the test can clean up.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	end := time.Now().Add(d)
	if last, limited := t.Deadline(); limited && last.Add(-cleanUp).Before(end) {
		end = last.Add(-cleanUp)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end)
	t.Cleanup(cancel)
	return ctx
}

// samCLI is the SAM CLI on this project.
type samCLI struct {
	t *testing.T
	// command is its path, root the project's; build holds the functions once they are built.
	command, root, build string
	env                  []string
}

func newSAM(t *testing.T) *samCLI {
	t.Helper()
	command, err := exec.LookPath("sam")
	if err != nil {
		cache, err := os.UserCacheDir()
		if err != nil {
			missing(t, "SAM CLI", err)
		}
		if command, err = exec.LookPath(filepath.Join(cache, "longshore", "sam", "bin", "sam")); err != nil {
			missing(t, "SAM CLI", fmt.Errorf("it is neither on PATH nor where .ci/setup installs it: %w", err))
		}
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// Docker tells the containers of this test by the folders in it, links resolved.
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &samCLI{t: t, command: command, root: root, build: filepath.Join(folder, "build")}
	for _, v := range os.Environ() {
		// What a developer has set for AWS or Longshore would reach the functions.
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "LONGSHORE_") && !strings.HasPrefix(v, "SAM_") {
			s.env = append(s.env, v)
		}
	}
	// Without a fresh metadata.json SAM asks a package index whether there is a newer version.
	home := filepath.Join(folder, "sam")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	metadata := fmt.Sprintf(`{"lastVersionCheck": %d}`, time.Now().Unix())
	if err := os.WriteFile(filepath.Join(home, "metadata.json"), []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "__SAM_CLI_APP_DIR="+home, "SAM_CLI_TELEMETRY=0", "SAM_CLI_CONTAINER_CONNECTION_TIMEOUT=120",
		// With credentials SAM asks AWS whose they are; without, it gives the functions invented ones.
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_CONFIG_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
		"CGO_ENABLED=0", "GOFLAGS="+os.Getenv("GOFLAGS")+" -tags=lambda.norpc -ldflags=-s")
	return s
}

// run runs a command of the SAM CLI in the project's folder and returns what it wrote.
func (s *samCLI) run(t *testing.T, arguments ...string) (stdout, stderr []byte) {
	t.Helper()
	cmd := s.cmd(within(t, samTimeout), arguments...)
	var out, logs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &logs
	if err := cmd.Run(); err != nil {
		t.Fatalf("sam %s: %v\n%s%s", strings.Join(arguments, " "), err, out.Bytes(), logs.Bytes())
	}
	return out.Bytes(), logs.Bytes()
}

// cmd makes a command that is asked to end when the context does, and killed if it does not.
func (s *samCLI) cmd(ctx context.Context, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.command, arguments...)
	cmd.Dir, cmd.Env = s.root, s.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = cleanUp / 2
	return cmd
}

// buildAll builds all functions for this machine.
func (s *samCLI) buildAll(t *testing.T) {
	t.Helper()
	// The test cache of go knows what a test opened: with this it runs again when code has changed.
	for _, folder := range []string{"../pkg", "."} {
		if err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	// Without --debug it does not say what the compiler said.
	s.run(t, "build", "--debug", "--config-env", "local", "--template", filepath.Join(s.root, "template.yaml"), "--build-dir", s.build)
}

// lambda runs the built functions in containers.
type lambda struct {
	*samCLI
	// gateway is the address of this machine on Docker's bridge.
	gateway string
	// settings is the --env-vars file.
	settings string
	// functions are those of the template.
	functions []function
}

// bridge returns the address of this machine on Docker's default network, and skips where Docker
// cannot be used.
func bridge(t *testing.T) string {
	t.Helper()
	name, err := docker(t.Context(), "network", "inspect", "bridge", "--format", `{{index .Options "com.docker.network.bridge.name"}}`)
	if err != nil {
		missing(t, "Docker", err)
	}
	if _, err := docker(t.Context(), "image", "inspect", "--format", "{{.Id}}", image); err != nil {
		missing(t, "Docker image "+image, err)
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		missing(t, "Docker's bridge "+name, err)
	}
	addresses, err := link.Addrs()
	if err != nil {
		missing(t, "Docker's bridge "+name, err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	missing(t, "Docker's bridge "+name, errors.New("it has no IPv4 address"))
	return ""
}

// docker runs a command of Docker's and returns what it wrote, without the last line's end.
func docker(ctx context.Context, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", arguments...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("docker %s: %w: %s", arguments[0], err, bytes.TrimSpace(failed.Stderr))
	}
	return strings.TrimSpace(string(out)), err
}

// containers are the flags of all commands that start containers.
func (l *lambda) containers(arguments ...string) []string {
	return append(arguments, "--config-env", "local", "--config-file", filepath.Join(l.root, "samconfig.toml"),
		"--template", filepath.Join(l.build, "template.yaml"), "--env-vars", l.settings, "--invoke-image", image,
		"--add-host", hostName+":"+l.gateway)
}

// removeContainers removes those of this test, which are those that mount what it built. SAM leaves
// some behind.
func (l *lambda) removeContainers(t *testing.T) {
	t.Helper()
	// The test's own context has ended.
	ctx := context.Background()
	for _, f := range l.functions {
		ids, err := docker(ctx, "ps", "--all", "--quiet", "--no-trunc", "--filter", "volume="+filepath.Join(l.build, f.name))
		if err != nil {
			t.Errorf("list containers: %v", err)
		}
		for _, id := range strings.Fields(ids) {
			if _, err := docker(ctx, "rm", "--force", id); err != nil {
				t.Errorf("remove container: %v", err)
			}
		}
	}
}

// invoke gives an event to a function by `sam local invoke` and decodes its answer into answer. It
// returns the log.
func (l *lambda) invoke(t *testing.T, name string, event []byte, answer any) (logs string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(file, event, 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr := l.run(t, l.containers("local", "invoke", name, "--event", file)...)
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(answer); err != nil {
		t.Fatalf("answer of %s: %v\n%s\n%s", name, err, out, stderr)
	}
	for line := range strings.Lines(string(stderr)) {
		if strings.HasPrefix(line, "REPORT") {
			t.Logf("%s: %s", name, strings.Join(strings.Fields(line)[3:], " "))
		}
	}
	return string(stderr)
}

// answer is what a function behind the API answers.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
	Cookies           []string            `json:"cookies"`
}

// startAPI runs `sam local start-api` until the test ends, and returns its address once it answers.
func (l *lambda) startAPI(t *testing.T) string {
	t.Helper()
	for try := 1; ; try++ {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		address := "http://127.0.0.1:" + strconv.Itoa(port)
		err = l.serve(t, address, port)
		if err == nil {
			return address
		}
		if try == ports {
			t.Fatal(err)
		}
		t.Log(err)
	}
}

func (l *lambda) serve(t *testing.T, address string, port int) error {
	t.Helper()
	logs, err := os.Create(filepath.Join(t.TempDir(), "start-api.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := l.cmd(ctx, l.containers("local", "start-api", "--port", strconv.Itoa(port))...)
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// How it ended says its log.
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		// SAM takes seconds for each container; it needs none that are gone.
		l.removeContainers(t)
		cancel()
		<-ended
		if t.Failed() {
			text, _ := os.ReadFile(logs.Name())
			t.Logf("start-api:\n%s", text)
		}
		_ = logs.Close()
	})
	ready := within(t, samTimeout)
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for {
		request, err := http.NewRequestWithContext(ready, http.MethodGet, address+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ended:
			return errors.New("start-api ended before it answered")
		case <-ready.Done():
			t.Fatal("start-api does not answer")
		case <-every.C:
		}
	}
}

// call sends a JSON request, checks the status and decodes the answer into answer if it is not nil.
func call(t *testing.T, token, method, url, body string, want int, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t, patience), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("%s %s: got %d, want %d: %s", method, request.URL.Path, response.StatusCode, want, text)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(text, answer); err != nil {
		t.Fatalf("%s %s: %v: %s", method, request.URL.Path, err, text)
	}
}
