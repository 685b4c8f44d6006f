package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"longshore/pkg/api/client"
	"longshore/pkg/local"
)

// connection says which server a command speaks with, and as whom.
type connection struct {
	URL          string `name:"url" env:"LONGSHORE_URL" default:"http://127.0.0.1:8080" help:"The server's address."`
	ClientID     string `name:"client-id" env:"LONGSHORE_CLIENT_ID" help:"The client id; by default the one in the data directory."`
	ClientSecret string `name:"client-secret" env:"LONGSHORE_CLIENT_SECRET" help:"The client secret; by default the one in the data directory."`
	Data         string `env:"LONGSHORE_DATA" default:"./.longshore" help:"The data directory of a server on this machine."`
	output
}

// output is how a command prints.
type output struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// open returns a client. Without credentials the command was called wrongly.
func (c *connection) open() (*client.Client, error) {
	id, secret := c.ClientID, c.ClientSecret
	if id == "" || secret == "" {
		kept, err := local.ReadCredentials(c.Data)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, usage{fmt.Errorf("no credentials: set LONGSHORE_CLIENT_ID and LONGSHORE_CLIENT_SECRET, or --data to a server's data directory")}
		case err != nil:
			return nil, usage{err}
		}
		if id == "" {
			id = kept.ClientID
		}
		if secret == "" {
			secret = kept.ClientSecret
		}
	}
	opened, err := client.New(client.Config{URL: c.URL, ClientID: id, ClientSecret: secret})
	if err != nil {
		return nil, usage{err}
	}
	return opened, nil
}

// printJSON writes a value as one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
