package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"longshore/pkg/api/client"
	"longshore/pkg/jqtemplate"
)

type applyCommand struct {
	connection
	Files []string `arg:"" name:"file" help:"JSON or YAML files, each with one definition or several documents."`
}

// document is one definition of a file.
type document struct {
	file       string
	identifier string
	text       json.RawMessage
}

// applied is what became of a definition.
type applied struct {
	Kind       string               `json:"kind"`
	Identifier string               `json:"identifier"`
	Change     string               `json:"change"`
	Warnings   []jqtemplate.Warning `json:"warnings,omitempty"`
}

// Run reads every file before it changes anything.
func (c *applyCommand) Run(ctx context.Context, s *streams) error {
	var documents []document
	for _, file := range c.Files {
		read, err := readDocuments(file)
		if err != nil {
			return err
		}
		documents = append(documents, read...)
	}
	server, err := c.open()
	if err != nil {
		return err
	}
	for _, d := range documents {
		a, err := apply(ctx, server, d)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", d.file, d.identifier, err)
		}
		for _, w := range a.Warnings {
			fmt.Fprintf(s.err, "longshore: %s: %s: %s does not compile: %s\n", d.identifier, w.Path, w.Expression, w.Message)
		}
		if c.JSON {
			err = printJSON(s.out, a)
		} else {
			_, err = fmt.Fprintf(s.out, "%s %s %s\n", a.Kind, a.Identifier, a.Change)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply makes the server's definition equal to a document.
func apply(ctx context.Context, server *client.Client, d document) (applied, error) {
	a := applied{Kind: "action", Identifier: d.identifier, Change: "unchanged"}
	current, err := server.Action(ctx, d.identifier)
	var missing *client.Error
	switch {
	case errors.As(err, &missing) && missing.Status == http.StatusNotFound:
		saved, err := server.CreateAction(ctx, d.text)
		if err != nil {
			return a, err
		}
		a.Change, a.Warnings = "created", saved.Warnings
		return a, nil
	case err != nil:
		return a, err
	}
	same, err := equal(current, d.text)
	if err != nil || same {
		return a, err
	}
	saved, err := server.ReplaceAction(ctx, d.identifier, d.text)
	if err != nil {
		return a, err
	}
	a.Change, a.Warnings = "replaced", saved.Warnings
	return a, nil
}

// equal compares a server's definition with a document's, without what every answer adds.
func equal(current, wanted json.RawMessage) (bool, error) {
	var texts [2][]byte
	for i, text := range []json.RawMessage{current, wanted} {
		value, err := jqtemplate.Decode(text)
		if err != nil {
			return false, err
		}
		object, ok := value.(*jqtemplate.Object)
		if !ok {
			return false, nil
		}
		for _, name := range []string{"id", "createdAt", "updatedAt", "createdBy", "updatedBy"} {
			object.Delete(name)
		}
		if trigger := member(object, "trigger"); trigger != nil {
			addInputs(trigger)
		}
		texts[i] = jqtemplate.Encode(object)
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

func member(o *jqtemplate.Object, name string) *jqtemplate.Object {
	value, _ := o.Get(name)
	object, _ := value.(*jqtemplate.Object)
	return object
}

// addInputs gives a trigger the user inputs that every answer has.
func addInputs(trigger *jqtemplate.Object) {
	inputs := member(trigger, "userInputs")
	if inputs == nil {
		inputs = &jqtemplate.Object{}
		trigger.Set("userInputs", inputs)
	}
	if member(inputs, "properties") == nil {
		inputs.Set("properties", &jqtemplate.Object{})
	}
}

// readDocuments reads a file's definitions, in order. What is wrong with the file is a mistake in
// the call; what is wrong with a definition is for the server to say.
func readDocuments(file string) ([]document, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var texts []json.RawMessage
	if strings.EqualFold(filepath.Ext(file), ".json") {
		d := json.NewDecoder(bytes.NewReader(text))
		for {
			var one json.RawMessage
			if err = d.Decode(&one); err != nil {
				break
			}
			texts = append(texts, one)
		}
		if !errors.Is(err, io.EOF) {
			return nil, usage{fmt.Errorf("%s: %w", file, err)}
		}
	} else {
		values, err := fromYAML(text)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: %w", file, err)}
		}
		for _, value := range values {
			texts = append(texts, jqtemplate.Encode(value))
		}
	}
	if len(texts) == 0 {
		return nil, usage{fmt.Errorf("%s: there is no definition in it", file)}
	}
	var documents []document
	for i, text := range texts {
		var head map[string]json.RawMessage
		var identifier string
		if json.Unmarshal(text, &head) != nil || json.Unmarshal(head["identifier"], &identifier) != nil {
			return nil, usage{fmt.Errorf("%s: document %d: expected an object with an identifier", file, i+1)}
		}
		if head["trigger"] == nil && head["invocationMethod"] == nil {
			return nil, usage{fmt.Errorf("%s: document %d: %s is no action: it has neither trigger nor invocationMethod; only actions can be applied", file, i+1, identifier)}
		}
		documents = append(documents, document{file, identifier, text})
	}
	return documents, nil
}
