package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"longshore/pkg/api/client"
	"longshore/pkg/jqtemplate"
)

// followEvery is the time between two looks at a run that is being followed.
const followEvery = 500 * time.Millisecond

type runCommand struct {
	connection
	Action string            `arg:"" help:"The action's identifier."`
	Input  map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A user input. A value that is JSON is taken as JSON, anything else, and whatever is given for an input of type string, as a string."`
	Inputs string            `placeholder:"FILE" help:"User inputs as a JSON object; - for standard input."`
	Entity string            `help:"The entity's identifier."`
	RunAs  string            `name:"run-as" placeholder:"EMAIL" help:"Start it for this user, whose permissions count."`
	Wait   bool              `help:"Follow the run's log until it ends; exit 1 for FAILURE."`
	DryRun bool              `name:"dry-run" help:"Render and print; start nothing."`
}

func (c *runCommand) Run(ctx context.Context, s *streams) error {
	inputs, err := c.inputs(s.in)
	if err != nil {
		return err
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	if len(c.Input) > 0 {
		definition, err := server.Action(ctx, c.Action)
		if err != nil {
			return err
		}
		c.set(inputs, definition)
	}
	properties := json.RawMessage(jqtemplate.Encode(inputs))
	// The key makes the request one that may be repeated when its answer is lost.
	start := client.Start{Properties: properties, Entity: c.Entity, RunAs: c.RunAs, IdempotencyKey: "longshore-run-" + ulid.Make().String()}
	if c.DryRun {
		start.IdempotencyKey = ""
		dry, err := server.DryRun(ctx, c.Action, start)
		if err != nil {
			return err
		}
		for _, f := range dry.FailedExpressions {
			fmt.Fprintf(s.err, "longshore: %s: %s yields null: %s\n", f.Path, f.Expression, f.Error)
		}
		for _, w := range dry.Warnings {
			fmt.Fprintf(s.err, "longshore: %s: %s does not compile: %s\n", w.Path, w.Expression, w.Message)
		}
		if c.JSON {
			return printJSON(s.out, dry)
		}
		_, err = fmt.Fprintln(s.out, string(dry.Invocation))
		return err
	}
	run, _, err := server.StartRun(ctx, c.Action, start)
	if err != nil {
		return err
	}
	if !c.Wait {
		return printRun(s.out, run, c.JSON)
	}
	lines := s.out
	if c.JSON {
		lines = s.err
	}
	fmt.Fprintf(lines, "%s %s\n", run.ID, run.Status)
	run, err = server.Follow(ctx, run.ID, followEvery, func(l client.Log) { printLog(lines, l) })
	if err != nil {
		return err
	}
	if err := printRun(s.out, run, c.JSON); err != nil {
		return err
	}
	if run.Status != "SUCCESS" {
		return fmt.Errorf("run %s ended with %s", run.ID, run.Status)
	}
	return nil
}

// set adds the single inputs, which win over those of the file.
func (c *runCommand) set(inputs *jqtemplate.Object, definition json.RawMessage) {
	type userInputs struct {
		Properties map[string]struct {
			Type any `json:"type"`
		} `json:"properties"`
	}
	var v1 struct {
		UserInputs userInputs `json:"userInputs"`
	}
	var v2 struct {
		Trigger struct {
			UserInputs userInputs `json:"userInputs"`
		} `json:"trigger"`
	}
	// A definition is of one generation; in the other's shape it declares nothing.
	_ = json.Unmarshal(definition, &v1)
	_ = json.Unmarshal(definition, &v2)
	for _, name := range slices.Sorted(maps.Keys(c.Input)) {
		text := c.Input[name]
		value, err := jqtemplate.Decode([]byte(text))
		_, quoted := value.(string)
		declared := v1.UserInputs.Properties[name].Type == "string" || v2.Trigger.UserInputs.Properties[name].Type == "string"
		if err != nil || declared && !quoted {
			value = text
		}
		inputs.Set(name, value)
	}
}

// inputs reads the file's inputs.
func (c *runCommand) inputs(in io.Reader) (*jqtemplate.Object, error) {
	inputs := &jqtemplate.Object{}
	if c.Inputs != "" {
		var text []byte
		var err error
		if c.Inputs == "-" {
			text, err = readBody(in)
		} else {
			text, err = readFile(c.Inputs)
		}
		if err != nil {
			return nil, err
		}
		value, err := jqtemplate.Decode(text)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: %w", c.Inputs, err)}
		}
		object, ok := value.(*jqtemplate.Object)
		if !ok {
			return nil, usage{errors.New("--inputs: expected a JSON object")}
		}
		inputs = object
	}
	return inputs, nil
}

// printRun writes one line about a run, or the whole run.
func printRun(w io.Writer, r *client.Run, whole bool) error {
	if whole {
		return printJSON(w, r.Raw)
	}
	var about []string
	if r.StatusLabel != nil && *r.StatusLabel != "" {
		about = append(about, *r.StatusLabel)
	}
	if r.Waiting != nil && *r.Waiting != "" {
		about = append(about, *r.Waiting)
	}
	if len(r.Link) > 0 && string(r.Link) != "null" {
		about = append(about, strings.Trim(string(r.Link), `"`))
	}
	_, err := fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.ID, r.Action.Identifier, r.Status, strings.Join(about, " "))))
	return err
}

func printLog(w io.Writer, l client.Log) {
	fmt.Fprintf(w, "%s %s\n", l.CreatedAt.Format("15:04:05.000"), l.Message)
}
