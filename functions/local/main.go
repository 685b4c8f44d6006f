// Longshore is the whole product in one process, and the operator's commands. An operator starts it;
// it is not deployed. Without a command it serves.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // Schedules have time zones, and a container may have none.
)

// streams are the process's own, or a test's.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usage marks an error in how a command was called: exit status 2 instead of 1.
type usage struct{ error }

func main() {
	// An empty variable counts as absent.
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); value == "" && strings.HasPrefix(name, "LONGSHORE_") {
			_ = os.Unsetenv(name)
		}
	}
	first, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	// A second signal ends the process at once: the default is back before anybody stops for the first.
	context.AfterFunc(first, func() {
		stop()
		cancel()
	})
	code := execute(ctx, os.Args[1:], &streams{interruptible{ctx, os.Stdin}, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
