package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"longshore/pkg/jqtemplate"
)

type renderCommand struct {
	Template string `xor:"mode" placeholder:"FILE" help:"The template, any JSON value."`
	Data     string `placeholder:"FILE" help:"The trigger data, any JSON value."`
	Strict   bool   `help:"Fail when an expression fails."`
	Batch    bool   `xor:"mode" help:"Read lines {\"input\": any, \"template\": any, \"strict\": bool} and answer each with one line."`
}

func (c *renderCommand) Run(ctx context.Context, s *streams) error {
	if c.Batch {
		if c.Data != "" || c.Strict {
			return usage{errors.New("--batch takes data and strictness from its lines")}
		}
		return jqtemplate.Batch(ctx, s.in, s.out)
	}
	if c.Template == "" || c.Data == "" {
		return usage{errors.New("expected --template and --data, or --batch")}
	}
	template, err := readJSON(c.Template)
	if err != nil {
		return err
	}
	data, err := readJSON(c.Data)
	if err != nil {
		return err
	}
	t, err := jqtemplate.Parse(template, "")
	if err != nil {
		return err
	}
	result, err := t.Render(ctx, jqtemplate.NewData(data), jqtemplate.Options{Strict: c.Strict, Report: true})
	if err != nil {
		return err
	}
	for _, w := range result.Failed {
		fmt.Fprintf(s.err, "longshore: %s: %s: %s\n", orRoot(w.Path), w.Expression, w.Message)
	}
	if result.Undefined {
		return nil
	}
	w := bufio.NewWriter(s.out)
	_, _ = w.Write(append(jqtemplate.Encode(result.Value), '\n'))
	return w.Flush()
}

func orRoot(path string) string {
	if path == "" {
		return "template"
	}
	return path
}

// readJSON reads a file with one JSON value. Anything else is a mistake in the call.
func readJSON(name string) (any, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	value, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, usage{fmt.Errorf("%s: %w", name, err)}
	}
	return value, nil
}
