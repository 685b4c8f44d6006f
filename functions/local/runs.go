package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"longshore/pkg/api/client"
)

type runsCommand struct {
	connection
	Action        string   `help:"Of this action."`
	Blueprint     string   `help:"Of this blueprint."`
	Entity        string   `help:"Of this entity."`
	Active        *bool    `negatable:"" help:"Only runs that have not ended; --no-active: only those that have."`
	UserEmail     string   `help:"Of this user."`
	UserID        string   `name:"user-id" help:"Of this user or client id."`
	Source        []string `enum:"UI,API,AUTOMATION" help:"From these sources."`
	ExternalRunID string   `name:"external-run-id" help:"With this external run id."`
	Limit         int      `default:"20" help:"At most so many, 1 to 1000."`
	From          string   `help:"Runs older than this one: the next page."`
}

func (c *runsCommand) Run(ctx context.Context, s *streams) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return usage{fmt.Errorf("--limit is %d, expected 1 to 1000", c.Limit)}
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	page, err := server.Runs(ctx, client.Filter{
		Action: c.Action, Blueprint: c.Blueprint, Entity: c.Entity, Active: c.Active, UserEmail: c.UserEmail,
		UserID: c.UserID, Sources: c.Source, ExternalRunID: c.ExternalRunID, Limit: c.Limit, From: c.From,
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(w, "RUN\tACTION\tSTATUS\tSTARTED\tBY")
	}
	for _, r := range page.Runs {
		if c.JSON {
			err = printRun(s.out, r, true)
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Action.Identifier, r.Status, r.CreatedAt.Format(time.DateTime), r.CreatedBy)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Next != nil && *page.Next != "" {
		fmt.Fprintf(s.err, "longshore: there are more: --from %s\n", *page.Next)
	}
	return nil
}

type logsCommand struct {
	connection
	ID     string `arg:"" name:"run-id" help:"The run's id."`
	Follow bool   `short:"f" help:"Go on until the run has ended."`
}

func (c *logsCommand) Run(ctx context.Context, s *streams) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	each := func(l client.Log) {
		if c.JSON {
			_ = printJSON(s.out, l)
			return
		}
		printLog(s.out, l)
	}
	if c.Follow {
		_, err = server.Follow(ctx, c.ID, followEvery, each)
		return err
	}
	_, err = server.Logs(ctx, c.ID, "", each)
	return err
}

// decision is what the two commands that decide about a run take.
type decision struct {
	connection
	ID          string `arg:"" name:"run-id" help:"The run's id."`
	Description string `placeholder:"TEXT" help:"What the approver has to say."`
}

func (c *decision) decide(ctx context.Context, s *streams, approve bool) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	r, err := server.Decide(ctx, c.ID, approve, c.Description)
	if err != nil {
		return err
	}
	return printRun(s.out, r, c.JSON)
}

type approveCommand struct{ decision }

func (c *approveCommand) Run(ctx context.Context, s *streams) error { return c.decide(ctx, s, true) }

type declineCommand struct{ decision }

func (c *declineCommand) Run(ctx context.Context, s *streams) error { return c.decide(ctx, s, false) }

type redeliverCmd struct {
	connection
	ID string `arg:"" name:"run-id" help:"The run's id."`
}

func (c *redeliverCmd) Run(ctx context.Context, s *streams) error {
	server, err := c.open()
	if err != nil {
		return err
	}
	r, err := server.Redeliver(ctx, c.ID)
	if err != nil {
		return err
	}
	return printRun(s.out, r, c.JSON)
}
