package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// syncs makes measures 3 and 4: it counts fsync and fdatasync calls of the product by strace.
func (b *bench) syncs(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("strace is not installed")
	}
	for _, m := range []struct {
		number            int
		name, floor, goal string
		n, connections    int
		rate              int
	}{
		{3, "fsyncs a run, 64 connections", "≤ 0.3", "≤ 0.10", b.Runs, 64, 0},
		{3, "fsyncs a run, 16 connections", "≤ 0.5", "≤ 0.25", b.Runs, 16, 0},
		{4, "fsyncs a run at 100/s", "≤ 5.5", "≤ 3.2", 500, 64, 100},
	} {
		var values []float64
		for range b.Rounds {
			if err := b.with(ctx, subject{}, func(l *load, pid int) error {
				count, stop, err := traceSyncs(ctx, pid)
				if err != nil {
					return err
				}
				_, err = l.burst(ctx, m.n, m.connections, m.rate)
				stop()
				values = append(values, float64(count())/float64(m.n))
				return err
			}); err != nil {
				return err
			}
		}
		b.add(m.number, m.name, m.floor, m.goal, values...)
	}
	return nil
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

// slowDisk makes measure 9: 2 ms more for each fsync. Strace adds them as well as nothing to compare with;
// its filter in the kernel stops the server at no other call, and -D leaves the server our child.
func (b *bench) slowDisk(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("strace is not installed")
	}
	var values []float64
	for range b.Rounds {
		var rates [2]float64
		for i, delay := range []string{"2000", "0"} {
			wrap := []string{"strace", "-D", "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace=fsync,fdatasync",
				"-e", "inject=fsync,fdatasync:delay_exit=" + delay}
			if err := b.with(ctx, subject{wrap: wrap}, func(l *load, _ int) error {
				f, err := l.burst(ctx, b.Runs, b.Connections, 0)
				rates[i] = f.arrived
				return err
			}); err != nil {
				return err
			}
		}
		values = append(values, rates[0]/rates[1])
	}
	b.add(9, "burst with 2 ms more for each fsync ÷ without", "≥ 0.4", "≥ 0.7", values...)
	return nil
}
