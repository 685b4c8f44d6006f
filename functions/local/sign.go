package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/signature"
)

type signCommand struct {
	output
	Secret    string `required:"" env:"LONGSHORE_CLIENT_SECRET" help:"The client secret."`
	Timestamp int64  `help:"Seconds since 1970; now by default."`
	ID        string `name:"id" default:"r_0000000000000000" help:"The run's id, for the Standard Webhooks headers."`
}

func (c *signCommand) Run(s *streams) error {
	body, err := readBody(s.in)
	if err != nil {
		return err
	}
	at := time.Now()
	if c.Timestamp != 0 {
		at = time.Unix(c.Timestamp, 0)
	}
	h := http.Header{}
	if err := signature.Set(h, signature.Secrets{Current: c.Secret}, c.ID, at, body); err != nil {
		return err
	}
	names := []string{signature.PortTimestamp, signature.PortSignature,
		signature.StandardID, signature.StandardTimestamp, signature.StandardSignature}
	if c.JSON {
		headers := map[string]string{}
		for _, name := range names {
			headers[strings.ToLower(name)] = h.Get(name)
		}
		return printJSON(s.out, headers)
	}
	for _, name := range names {
		if _, err := fmt.Fprintf(s.out, "%s: %s\n", name, h.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

type verifyCommand struct {
	output
	Secret    string        `required:"" env:"LONGSHORE_CLIENT_SECRET" help:"The client secret."`
	Timestamp int64         `required:"" help:"The x-port-timestamp header."`
	Signature string        `required:"" help:"The x-port-signature header."`
	Tolerance time.Duration `help:"Refuse a timestamp further from now; any by default."`
}

func (c *verifyCommand) Run(s *streams) error {
	if c.Tolerance < 0 {
		return usage{errors.New("--tolerance is negative")}
	}
	body, err := readBody(s.in)
	if err != nil {
		return err
	}
	h := http.Header{}
	h.Set(signature.PortTimestamp, strconv.FormatInt(c.Timestamp, 10))
	h.Set(signature.PortSignature, c.Signature)
	if err := signature.VerifyPort(h, c.Secret, body, signature.Check{Tolerance: c.Tolerance, Now: time.Now()}); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]bool{"valid": true})
	}
	_, err = fmt.Fprintln(s.out, "the signature is valid")
	return err
}
