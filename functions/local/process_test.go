package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is the program itself, in a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	// url is what it said to be ready at.
	url  string
	errs *buffer
	// rest are the lines on standard output behind the first; it is closed when the process has ended.
	rest chan string
}

// start runs the program and returns when it is ready.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), errs: newBuffer(), rest: make(chan string, 100)}
	p.cmd.Env = environment(env...)
	p.cmd.Stderr = p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("it was never ready: %v\n%s", err, p.errs)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(first), "ready ")
	if !ok {
		t.Fatalf("the first line is %q", first)
	}
	p.url = url
	go func() {
		defer close(p.rest)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				p.rest <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// environment is this process's without settings, with more.
func environment(more ...string) []string {
	env := append(os.Environ(), asMain+"=1", "AWS_EC2_METADATA_DISABLED=true")
	return append(env, more...)
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit status and what else was printed on standard output.
func (p *process) wait() (int, string) {
	p.t.Helper()
	var rest strings.Builder
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.rest:
			if !ok {
				return status(p.t, p.cmd.Wait()), rest.String()
			}
			rest.WriteString(line)
		case <-deadline:
			p.t.Fatalf("it does not end:\n%s", p.errs)
		}
	}
}

// ran runs the program to its end.
func ran(t *testing.T, in io.Reader, env []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	var out, errs strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environment(env...), in, &out, &errs
	return result{status(t, cmd.Run()), out.String(), errs.String()}
}

func status(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}
