package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// round is what one server showed.
type round struct {
	burst, steady figures
	// cpu is the server's processor time a run of the burst.
	cpu time.Duration
}

// subject is a server to measure: this binary, as the limit program or as the product.
type subject struct {
	// limit asks for the limit program.
	limit bool
	// data is an existing data directory; empty means a fresh one.
	data string
	env  []string
	// wrap is a command that runs the server as its child, nil for none.
	wrap []string
}

// load makes measures 1, 2, 5, 6 and 7. Rounds are repeated, once, when the limit program's own spread
// says that the machine was busy with something else.
func (b *bench) load(ctx context.Context) error {
	var limits, products []round
	for try := 0; ; try++ {
		limits, products = nil, nil
		for i := range b.Rounds {
			l, err := b.round(ctx, subject{limit: true})
			if err != nil {
				return fmt.Errorf("limit program: %w", err)
			}
			p, err := b.round(ctx, subject{})
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			limits, products = append(limits, l), append(products, p)
			fmt.Fprintf(b.s.err, "round %d: load average %s; limit %.0f runs/s, %s a run; product %.0f runs/s, %s a run, accepts %.0f/s\n",
				i+1, loadAverage(), l.burst.arrived, l.cpu, p.burst.arrived, p.cpu, p.burst.accepted)
		}
		var rates []float64
		for _, l := range limits {
			rates = append(rates, l.burst.arrived)
		}
		spread := (slices.Max(rates) - slices.Min(rates)) / slices.Max(rates)
		if spread <= 0.3 {
			break
		}
		fmt.Fprintf(b.s.err, "longshore: the limit's own spread is %.0f %%: this machine is not quiet\n", spread*100)
		if try == 1 {
			break
		}
	}
	compare := func(number int, name, floor, goal string, value func(l, p round) float64) {
		var values []float64
		for i := range limits {
			values = append(values, value(limits[i], products[i]))
		}
		b.add(number, name, floor, goal, values...)
	}
	compare(1, "burst: runs/s end to end ÷ limit", "≥ 0.30", "≥ 0.45", func(l, p round) float64 { return p.burst.arrived / l.burst.arrived })
	compare(2, "server CPU a run ÷ limit's", "≤ 3.0", "≤ 2.0", func(l, p round) float64 { return float64(p.cpu) / float64(l.cpu) })
	compare(5, "end-to-end rate ÷ accept rate in the burst", "≥ 0.75", "≥ 0.9", func(_, p round) float64 { return p.burst.arrived / p.burst.accepted })
	for _, q := range []struct {
		p           float64
		floor, goal string
		msf, msg    string
	}{{0.5, "≤ 4", "≤ 2.5", "≤ 10", "≤ 2"}, {0.99, "≤ 10", "≤ 4", "≤ 25", "≤ 5"}} {
		compare(6, fmt.Sprintf("accept at 100/s ÷ limit's, p%g", q.p*100), q.floor, q.goal, func(l, p round) float64 {
			return float64(percentile(p.steady.accept, q.p)) / float64(percentile(l.steady.accept, q.p))
		})
		compare(7, fmt.Sprintf("trigger → receiver at 100/s minus accept, p%g, ms", q.p*100), q.msf, q.msg, func(_, p round) float64 {
			return (percentile(p.steady.reach, q.p) - percentile(p.steady.accept, q.p)).Seconds() * 1000
		})
	}
	return nil
}

// round starts a server, warms it up, and measures a burst and a steady load.
func (c *benchProcess) round(ctx context.Context, t subject) (round, error) {
	var r round
	err := c.with(ctx, t, func(l *load, pid int) (err error) {
		if r.burst, r.cpu, err = c.burst(ctx, l, pid); err != nil {
			return err
		}
		r.steady, err = l.burst(ctx, 500, 64, 100)
		return err
	})
	return r, err
}

// burst measures a burst and the processor time that a run took of it.
func (c *benchProcess) burst(ctx context.Context, l *load, pid int) (figures, time.Duration, error) {
	before, err := processorTime(pid)
	if err != nil {
		return figures{}, 0, err
	}
	f, err := l.burst(ctx, c.Runs, c.Connections, 0)
	if err != nil {
		return figures{}, 0, err
	}
	after, err := processorTime(pid)
	return f, (after - before) / time.Duration(c.Runs), err
}

// processors makes measure 8: one P against two, on one core.
func (b *bench) processors(ctx context.Context) error {
	var values []float64
	for range b.Rounds {
		var rates [2]float64
		for i, n := range []string{"1", "2"} {
			if err := b.with(ctx, subject{env: []string{"GOMAXPROCS=" + n}}, func(l *load, _ int) error {
				f, err := l.burst(ctx, b.Runs, b.Connections, 0)
				rates[i] = f.arrived
				return err
			}); err != nil {
				return err
			}
		}
		values = append(values, rates[0]/rates[1])
	}
	b.add(8, "burst with one P ÷ with two, on one core", "≥ 0.5", "≥ 0.75", values...)
	return nil
}

// with runs a server of this binary on core 0, loads it, and ends it; a fresh data directory is removed.
func (c *benchProcess) with(ctx context.Context, t subject, do func(l *load, pid int) error) error {
	if t.data == "" {
		dir, err := os.MkdirTemp("", "longshore-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		t.data = filepath.Join(dir, "data")
	}
	server, url, _, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	to, err := receive()
	if err != nil {
		return err
	}
	defer to.server.Close()
	l, err := newLoad(ctx, url, to)
	if err != nil {
		return err
	}
	if _, err := l.burst(ctx, 300, c.Connections, 0); err != nil {
		return err
	}
	return do(l, server.Process.Pid)
}

// start runs the server on core 0 until it is ready, and returns its address and when its process began.
func (t subject) start(ctx context.Context) (server *exec.Cmd, url string, begun time.Time, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, "", begun, err
	}
	line := append(slices.Clone(t.wrap), exe)
	if t.limit {
		line = append(line, "bench-limit")
	} else {
		line = append(line, "serve", "--addr", "127.0.0.1:0", "--data", t.data, "--log-level", "error",
			"--client-id", "bench", "--client-secret", benchSecret)
	}
	server = exec.CommandContext(ctx, line[0], line[1:]...)
	server.Stderr, server.Env = os.Stderr, append(plainEnvironment(), t.env...)
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, "", begun, err
	}
	if begun, err = startOn(0, server); err != nil {
		return nil, "", begun, err
	}
	text, err := bufio.NewReader(out).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(text), "ready ")
	if err != nil || !found {
		_ = server.Process.Kill()
		_ = server.Wait()
		return nil, "", begun, fmt.Errorf("the server did not start: %q", text)
	}
	return server, url, begun, nil
}

// plainEnvironment is this process's without what makes a start read certificates, and without settings.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_CA_BUNDLE=") || strings.HasPrefix(v, "SSL_CERT_") || strings.HasPrefix(v, "LONGSHORE_") || strings.HasPrefix(v, "GO")
	})
}

// startOn starts a process on a core, without a program between that would be part of its start. It dies
// with this one.
func startOn(core int, c *exec.Cmd) (begun time.Time, err error) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// A child inherits the cores of all threads of its parent's process, or of the one that makes it.
	_ = pin(os.Getpid(), core)
	defer func() { _ = pin(os.Getpid(), 1) }()
	begun = time.Now()
	return begun, c.Start()
}

// pin binds all threads of a process to one core.
func pin(pid, core int) error { return bind(pid, strconv.Itoa(core)) }

// bind binds all threads of a process to a list of cores, as taskset takes it.
func bind(pid int, cores string) error {
	return exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(pid)).Run()
}

// processorTime is what a process has used, user and system (proc(5), stat, fields 14 and 15, in
// hundredths of a second).
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, errors.New("/proc/…/stat is too short")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	average, _, _ := strings.Cut(string(text), " ")
	return average
}
