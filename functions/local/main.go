// Longshore is the whole product in one process, and the operator's commands. An operator starts it;
// it is not deployed. Without a command it serves.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], &streams{interruptible{ctx, os.Stdin}, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, s *streams) int {
	var c commands
	parser, err := kong.New(&c, kong.Name("longshore"), kong.Writers(s.out, s.err),
		kong.Description("An execution backend for self-service actions that speaks Port's API."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s), kong.Exit(func(int) { panic(helped{}) }))
	if err == nil {
		err = parse(parser, args)
	}
	var misuse usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &misuse):
		fmt.Fprintln(s.err, "longshore:", misuse.error)
		return 2
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(s.err, "longshore:", err)
	return 1
}
