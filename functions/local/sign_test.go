package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/pkg/signature"
)

const secret = "a client secret of a test, long enough"

// What sign prints, verify-signature and a receiver's check take; anything changed they do not.
func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	const body = `{"a":"é"}`
	signed := call(t, body, "sign", "--secret", secret, "--timestamp", "1700000000", "--id", "r_1")
	if signed.code != 0 || len(lines(signed.out)) != 5 {
		t.Fatalf("exit status %d, output %q, error %q", signed.code, signed.out, signed.err)
	}
	headers := http.Header{}
	for _, line := range lines(signed.out) {
		name, value, _ := strings.Cut(line, ": ")
		headers.Set(name, value)
	}
	if err := signature.VerifyPort(headers, secret, []byte(body), signature.Check{Now: time.Now()}); err != nil {
		t.Errorf("Port's signature: %v", err)
	}
	if id, at := headers.Get("webhook-id"), headers.Get("webhook-timestamp"); id != "r_1" || at != "1700000000" {
		t.Errorf("webhook-id %q, webhook-timestamp %q", id, at)
	}
	made := headers.Get("x-port-signature")
	shown := decoded(t, call(t, body, "sign", "--secret", secret, "--timestamp", "1700000000", "--json").out)
	if shown["x-port-signature"] != made || len(shown) != 5 {
		t.Errorf("as JSON: %v", shown)
	}

	for name, c := range map[string]struct {
		body string
		args []string
		code int
		out  string
	}{
		"as it was signed":      {body, nil, 0, "the signature is valid\n"},
		"as JSON":               {body, []string{"--json"}, 0, `{"valid":true}` + "\n"},
		"another body":          {body + " ", nil, 1, ""},
		"another secret":        {body, []string{"--secret", secret + "."}, 1, ""},
		"another time":          {body, []string{"--timestamp", "1700000001"}, 1, ""},
		"another signature":     {body, []string{"--signature", "v1,AAAA"}, 1, ""},
		"no signature":          {body, []string{"--signature", ""}, 1, ""},
		"older than is allowed": {body, []string{"--tolerance", "5m"}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"verify-signature", "--secret", secret, "--timestamp", "1700000000", "--signature", made}, c.args...)
			got := call(t, c.body, args...)
			if got.code != c.code || got.out != c.out || (got.err == "") != (c.code == 0) || strings.Contains(got.err, secret) {
				t.Errorf("exit status %d, output %q, error %q", got.code, got.out, got.err)
			}
		})
	}

	fresh := call(t, body, "sign", "--secret", secret, "--json")
	now := decoded(t, fresh.out)
	got := call(t, body, "verify-signature", "--secret", secret, "--tolerance", "5m",
		"--timestamp", now["x-port-timestamp"].(string), "--signature", now["x-port-signature"].(string))
	if got.code != 0 {
		t.Errorf("signed now: exit status %d, error %q", got.code, got.err)
	}
}

func TestSignTooMuch(t *testing.T) {
	t.Parallel()
	got := call(t, strings.Repeat("x", maxInput+1), "sign", "--secret", secret)
	if got.code != 1 || got.err != "longshore: read standard input: standard input has more than 16777216 bytes\n" {
		t.Errorf("exit status %d, error %q", got.code, got.err)
	}
}
