package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchProcess compares the product with the limit program, in one run: servers on core 0, load and
// receiver (this process) on core 1, rounds in turn. It prints measures 1 to 7 as a table, or JSON.
type benchProcess struct {
	Rounds      int  `default:"3" help:"Rounds of limit and product in turn."`
	Runs        int  `default:"3000" help:"Runs in a burst."`
	Connections int  `default:"64" help:"Connections of a burst."`
	JSON        bool `name:"json" help:"Print JSON."`
}

// measure is one line of the table.
type measure struct {
	Number int     `json:"number"`
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Least  float64 `json:"min"`
	Most   float64 `json:"max"`
	Floor  string  `json:"floor"`
	Goal   string  `json:"goal"`
}

// round is what one server showed.
type round struct {
	burst, steady figures
	// cpu is the server's processor time a run of the burst.
	cpu time.Duration
}

func (c *benchProcess) Run(ctx context.Context, s *streams) error {
	if pinned := pin(os.Getpid(), 1); pinned != nil {
		fmt.Fprintln(s.err, "longshore: not pinned to cores:", pinned)
	}
	var limits, products []round
	for i := 0; i < c.Rounds; i++ {
		l, err := c.round(ctx, "bench-limit")
		if err != nil {
			return fmt.Errorf("limit program: %w", err)
		}
		p, err := c.round(ctx, "serve")
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		limits, products = append(limits, l), append(products, p)
		fmt.Fprintf(s.err, "round %d: load average %s; limit %.0f runs/s; product %.0f runs/s, accepts %.0f/s\n",
			i+1, loadAverage(), l.burst.arrived, p.burst.arrived, p.burst.accepted)
	}
	var table []measure
	add := func(number int, name, floor, goal string, value func(l, p round) float64) {
		var values []float64
		for i := range limits {
			values = append(values, value(limits[i], products[i]))
		}
		slices.Sort(values)
		table = append(table, measure{number, name, values[len(values)/2], values[0], values[len(values)-1], floor, goal})
	}
	add(1, "burst: runs/s end to end ÷ limit", "≥ 0.30", "0.45", func(l, p round) float64 { return p.burst.arrived / l.burst.arrived })
	add(2, "server CPU a run ÷ limit's", "≤ 3.0", "2.0", func(l, p round) float64 { return float64(p.cpu) / float64(l.cpu) })
	synced, err := c.syncs(ctx)
	if err != nil {
		fmt.Fprintln(s.err, "longshore: measures 3 and 4 are missing:", err)
	}
	table = append(table, synced...)
	add(5, "end-to-end rate ÷ accept rate in the burst", "≥ 0.75", "0.9", func(_, p round) float64 { return p.burst.arrived / p.burst.accepted })
	for _, q := range []struct {
		p           float64
		floor, goal string
		msf, msg    string
	}{{0.5, "≤ 4", "2.5", "≤ 10", "2"}, {0.99, "≤ 10", "4", "≤ 25", "5"}} {
		add(6, fmt.Sprintf("accept at 100/s ÷ limit's, p%g", q.p*100), q.floor, q.goal, func(l, p round) float64 {
			return float64(percentile(p.steady.accept, q.p)) / float64(percentile(l.steady.accept, q.p))
		})
		add(7, fmt.Sprintf("trigger → receiver at 100/s minus accept, p%g, ms", q.p*100), q.msf, q.msg, func(_, p round) float64 {
			return (percentile(p.steady.reach, q.p) - percentile(p.steady.accept, q.p)).Seconds() * 1000
		})
	}
	var limitRates []float64
	for _, l := range limits {
		limitRates = append(limitRates, l.burst.arrived)
	}
	if spread := (slices.Max(limitRates) - slices.Min(limitRates)) / slices.Max(limitRates); spread > 0.3 {
		fmt.Fprintf(s.err, "longshore: the limit's own spread is %.0f %%: run it again on a quieter machine\n", spread*100)
	}
	slices.SortStableFunc(table, func(a, b measure) int { return a.Number - b.Number })
	if c.JSON {
		return json.NewEncoder(s.out).Encode(table)
	}
	fmt.Fprintf(s.out, "%-2s %-52s %9s %9s %9s  %-7s %s\n", "", "measure", "median", "min", "max", "floor", "goal")
	for _, m := range table {
		fmt.Fprintf(s.out, "%-2d %-52s %9.3f %9.3f %9.3f  %-7s %s\n", m.Number, m.Name, m.Median, m.Least, m.Most, m.Floor, m.Goal)
	}
	return nil
}

// round starts a server, warms it up, and measures a burst and a steady load.
func (c *benchProcess) round(ctx context.Context, command string) (round, error) {
	var r round
	err := c.with(ctx, command, func(l *load, pid int) error {
		before, err := processorTime(pid)
		if err != nil {
			return err
		}
		if r.burst, err = l.burst(ctx, c.Runs, c.Connections, 0); err != nil {
			return err
		}
		after, err := processorTime(pid)
		if err != nil {
			return err
		}
		r.cpu = (after - before) / time.Duration(c.Runs)
		r.steady, err = l.burst(ctx, 500, 64, 100)
		return err
	})
	return r, err
}

// syncs counts fsync and fdatasync calls of the product by strace.
func (c *benchProcess) syncs(ctx context.Context) ([]measure, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, errors.New("strace is not installed")
	}
	var table []measure
	err := c.with(ctx, "serve", func(l *load, pid int) error {
		for _, m := range []struct {
			number            int
			name, floor, goal string
			n, connections    int
			rate              int
		}{
			{3, "fsyncs a run, 64 connections", "≤ 0.3", "0.10", c.Runs, 64, 0},
			{3, "fsyncs a run, 16 connections", "≤ 0.5", "0.25", c.Runs, 16, 0},
			{4, "fsyncs a run at 100/s", "≤ 5.5", "3.2", 500, 64, 100},
		} {
			count, stop, err := traceSyncs(ctx, pid)
			if err != nil {
				return err
			}
			_, err = l.burst(ctx, m.n, m.connections, m.rate)
			stop()
			if err != nil {
				return err
			}
			a := float64(count()) / float64(m.n)
			table = append(table, measure{m.number, m.name, a, a, a, m.floor, m.goal})
		}
		return nil
	})
	return table, err
}

// traceSyncs attaches strace to a process; count is valid after stop.
func traceSyncs(ctx context.Context, pid int) (count func() int, stop func(), err error) {
	file, err := os.CreateTemp("", "longshore-syncs")
	if err != nil {
		return nil, nil, err
	}
	_ = file.Close()
	trace := exec.CommandContext(ctx, "strace", "-f", "-e", "trace=fsync,fdatasync", "-o", file.Name(), "-p", strconv.Itoa(pid))
	notes, err := trace.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := trace.Start(); err != nil {
		return nil, nil, err
	}
	// It says "attached" once it sees every call.
	line, err := bufio.NewReader(notes).ReadString('\n')
	if err != nil || !strings.Contains(line, "attached") {
		return nil, nil, fmt.Errorf("strace did not attach: %s", strings.TrimSpace(line))
	}
	go func() { _, _ = io.Copy(io.Discard, notes) }()
	stop = func() {
		_ = trace.Process.Signal(os.Interrupt)
		_ = trace.Wait()
	}
	count = func() int {
		defer os.Remove(file.Name())
		text, _ := os.ReadFile(file.Name())
		n := 0
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "sync(") {
				n++
			}
		}
		return n
	}
	return count, stop, nil
}

// with runs a server of this binary on core 0 with a fresh directory, loads it, and removes both.
func (c *benchProcess) with(ctx context.Context, command string, do func(l *load, pid int) error) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "longshore-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{command}
	if command == "serve" {
		args = append(args, "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--log-level", "error",
			"--client-id", "bench", "--client-secret", benchSecret)
	}
	server := exec.CommandContext(ctx, exe, args...)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	_ = pin(server.Process.Pid, 0)
	line, err := bufio.NewReader(out).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !found {
		return fmt.Errorf("the server did not start: %q", line)
	}
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

// pin binds all threads of a process to one core.
func pin(pid, core int) error {
	return exec.Command("taskset", "-a", "-p", "-c", strconv.Itoa(core), strconv.Itoa(pid)).Run()
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
