package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"longshore/pkg/boot"
)

// commands are the command line.
type commands struct {
	Serve           serveCommand   `cmd:"" default:"withargs" help:"Serve the API, deliver runs. This is the default."`
	Run             runCommand     `cmd:"" help:"Trigger an action on a running server."`
	Render          renderCommand  `cmd:"" help:"Render a payload template."`
	Apply           applyCommand   `cmd:"" help:"Create or replace blueprints, entities and actions from JSON or YAML files."`
	Approve         approveCommand `cmd:"" help:"Approve a run that waits for approval."`
	Decline         declineCommand `cmd:"" help:"Decline a run that waits for approval."`
	Redeliver       redeliverCmd   `cmd:"" help:"Send a run whose delivery failed once more."`
	Logs            logsCommand    `cmd:"" help:"Print a run's log."`
	Runs            runsCommand    `cmd:"" help:"List runs, newest first."`
	Sign            signCommand    `cmd:"" help:"Sign a body from standard input as a delivery is signed."`
	VerifySignature verifyCommand  `cmd:"" help:"Verify a delivery's signature; the body comes from standard input."`
	Version         versionCommand `cmd:"" help:"Print the version."`
	Demo            demoCommand    `cmd:"" hidden:"" help:"Trigger two actions on a fresh server and watch their runs."`
	BenchProcess    benchProcess   `cmd:"" hidden:"" help:"Measure this binary against a limit program."`
	BenchLimit      benchLimit     `cmd:"" hidden:"" help:"Serve as the limit program: render and post, store nothing."`
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

// helped is what kong's exit becomes after it printed help, so that a test can go on.
type helped struct{}

// parse reads the arguments and runs the command that they name.
func parse(parser *kong.Kong, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(helped); !ok {
				panic(p)
			}
		}
	}()
	command, err := parser.Parse(args)
	var misuse usage
	if errors.As(err, &misuse) {
		return misuse
	}
	if err != nil {
		return usage{err}
	}
	return command.Run()
}

type versionCommand struct{ output }

func (c *versionCommand) Run(s *streams) error {
	if c.JSON {
		return printJSON(s.out, map[string]string{"version": boot.Version})
	}
	_, err := fmt.Fprintln(s.out, "longshore", boot.Version)
	return err
}
