package trigger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/organization"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/trigger"
)

// vault holds secrets, and what was asked of it.
type vault struct {
	values map[string]string
	asked  []string
	err    error
}

func (v *vault) Values(_ context.Context, names []string, all bool) (values []organization.Value, err error) {
	if v.err != nil {
		return nil, v.err
	}
	if all {
		v.asked = append(v.asked, "*")
		names = nil
		for name := range v.values {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		v.asked = append(v.asked, name)
		if value, ok := v.values[name]; ok {
			values = append(values, organization.Value{Name: name, Text: secret.NewText(value)})
		}
	}
	return values, nil
}

const (
	token    = "tok-en_1234567890"
	password = "p\"a\\ss/word é"
	creds    = `{"user":"ada","password":"nested-s3cret"}`
)

func newVault() *vault {
	return &vault{values: map[string]string{
		"TOKEN": token, "password": password, "creds": creds, "host": "secret-host.example.com", "n": "12345678", "short": "abc",
		"line": "with\nline end",
	}}
}

func sealer(t testing.TB) *secret.Sealer {
	t.Helper()
	key, err := secret.NewKey("one", bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return secret.NewSealer(secret.Ring{key})
}

func secretWorld(t testing.TB, v *vault) *world {
	t.Helper()
	return newWorld(t, func(_ *world, c *trigger.Config) { c.Secrets, c.Sealer = v, sealer(t) })
}

// sight is what is left of secrets in a text, nothing if there is none.
func sight(text string) string {
	mask := secret.NewMask([]string{token, password, creds, "nested-s3cret", "secret-host.example.com", "12345678", "with\nline end"})
	if masked := mask.Text(text); masked != text {
		return masked
	}
	return ""
}

// What is sent has the secrets, what is stored and shown has none.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method string
		// asked are the secrets that are opened; sent and shown are the method as it goes and as it is read.
		asked, sent, shown string
	}{
		"everywhere": {
			`{"type":"WEBHOOK","url":"https://example.com/{{ .secrets.TOKEN }}?q=1","headers":{"X-Key":"Bearer {{ .secrets.TOKEN }}","X-{{ .secrets.short }}":"x"},
			  "body":{"p":"{{ .secrets.password }}","k{{ .secrets.n }}":"{{ .secrets.none }}"}}`,
			"TOKEN n none password short",
			`{"type":"WEBHOOK","url":"https://example.com/tok-en_1234567890?q=1","agent":false,"synchronized":false,"method":"POST","headers":{"X-Key":"Bearer tok-en_1234567890","X-abc":"x"},"body":{"p":"p\"a\\ss/word é","k12345678":null}}`,
			`{"type":"WEBHOOK","url":"https://example.com/******?q=1","agent":false,"synchronized":false,"method":"POST","headers":{"X-******":"x","X-Key":"Bearer ******"},"body":{"p":"******","k******":null}}`,
		},
		"a URL that is one": {
			`{"type":"WEBHOOK","url":"{{ \"https://\" + .secrets.host }}","method":"{{ if .secrets.short == \"abc\" then \"PUT\" else 1 end }}","synchronized":"{{ .secrets.short == \"abc\" }}"}`,
			"host short",
			`{"type":"WEBHOOK","url":"https://secret-host.example.com","agent":false,"synchronized":true,"method":"PUT","headers":{},"body":{}}`,
			`{"type":"WEBHOOK","url":"https://******","agent":false,"synchronized":true,"method":"******","headers":{},"body":{}}`,
		},
		"what fails without them": {
			`{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ .secrets.creds | fromjson | .password }}","n":"{{ .secrets.n | tonumber }}",
			  "{{ spreadValue() }}":"{{ .secrets.creds | fromjson }}","{{ .secrets.n | tonumber | tostring }}":1,"same":"{{ .run.id }}"}}`,
			"creds n",
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{"12345678":1,"a":"nested-s3cret","n":12345678,"user":"ada","password":"nested-s3cret","same":"r_0VCbrkBk00000001"}}`,
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{"a":null,"n":null,"same":"r_0VCbrkBk00000001"}}`,
		},
		"any of them": {
			`{"type":"WEBHOOK","url":"https://example.com","body":{"all":"{{ .secrets | keys | length }}","one":"{{ .secrets[.action.title // \"n\"] }}"}}`,
			"* TOKEN creds host line n password short",
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{"all":7,"one":"12345678"}}`,
			`{"type":"WEBHOOK","url":"https://example.com","agent":false,"synchronized":false,"method":"POST","headers":{},"body":{"all":7,"one":"******"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVault()
			w := secretWorld(t, v)
			w.actions.add(t, v2("deploy", test.method))
			started := w.start(t, request(t, "deploy", ""))
			id := started.Record.ID
			record := w.read(t, id)
			if got := string(record.Invocation.Readable()); got != test.shown || !record.Secrets {
				t.Errorf("shown (secrets %t)\n%s\nwant\n%s", record.Secrets, got, test.shown)
			}
			if diff := cmp.Diff(strings.Fields(test.asked), v.asked); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
			sealed, err := w.store.Sealed(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			sent, mask, err := invocation.Open(t.Context(), sealer(t), id, sealed)
			if err != nil {
				t.Fatal(err)
			}
			// Readable sorts headers by name.
			if got := string(sent.Readable()); got != test.sent {
				t.Errorf("sent\n%s\nwant\n%s", got, test.sent)
			}
			if echo := string(mask.JSON([]byte(test.sent))); sight(echo) != "" {
				t.Errorf("the sealed mask leaves secrets in an echo: %s", echo)
			}
			if _, _, err := invocation.Open(t.Context(), sealer(t), runID(99), sealed); err == nil {
				t.Error("another run can open it")
			}
			if len(w.queue.sent) != 1 || w.queue.sent[0].Message.Invocation != nil {
				t.Errorf("queued %+v, want one message without an invocation", w.queue.sent)
			}
			text := fmt.Sprintf("%s %+v %s", record.Invocation.Readable(), w.queue.sent, w.log)
			if s := sight(text); s != "" {
				t.Errorf("a secret shows: %s", s)
			}
		})
	}
}

// What reads no secret that there is, or does not show it, is sent as ever.
func TestNothingIsSealedWithoutSecrets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, asked string }{
		"no template":       {`{"a":1}`, ""},
		"other data":        {`{"a":"{{ .run.id }}"}`, ""},
		"one that is not":   {`{"a":"{{ .secrets.none }}"}`, "none"},
		"both are equal":    {`{"a":"{{ if .secrets.TOKEN then 1 else 2 end }}"}`, "TOKEN"},
		"length of nothing": {`{"a":"{{ .secrets.TOKEN | type }}"}`, "TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVault()
			w := secretWorld(t, v)
			w.actions.add(t, v2("deploy", `{"type":"WEBHOOK","url":"https://example.com","body":`+test.body+`}`))
			id := w.start(t, request(t, "deploy", "")).Record.ID
			if record := w.read(t, id); record.Secrets {
				t.Error("the run has secrets")
			}
			if len(w.queue.sent) != 1 || w.queue.sent[0].Message.Invocation == nil {
				t.Error("the message has no invocation")
			}
			if diff := cmp.Diff(strings.Fields(test.asked), v.asked); diff != "" && test.asked != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

// A refusal names the place, and quotes no secret; a dry run likewise.
func TestFaultsQuoteNoSecret(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ method, holds string }{
		"key of a number":     {`"body":{"{{ .secrets.n | tonumber }}":1}`, "invocationMethod.body"},
		"spread of a number":  {`"body":{"{{ spreadValue() }}":"{{ .secrets.n | tonumber }}"}`, "invocationMethod.body"},
		"key of an array":     {`"body":{"{{ [.secrets.TOKEN] }}":1}`, "invocationMethod.body"},
		"known in both":       {`"body":{"a":"{{ .secrets.TOKEN }}","{{ 5 }}":1}`, "evaluated to: 5"},
		"header's name":       {`"headers":{"{{ .secrets.password }}":"x"}`, "invocationMethod.headers"},
		"header's line end":   {`"headers":{"{{ .secrets.TOKEN }}":"{{ .secrets.line }}"}`, "invocationMethod.headers"},
		"plain header's name": {`"headers":{"a b":"{{ .secrets.TOKEN }}"}`, `"a b"`},
		"method":              {`"method":"{{ .secrets.TOKEN }}"`, "invocationMethod.method"},
		"URL":                 {`"url":"ftp://{{ .secrets.host }}"`, "http or https"},
		"port":                {`"url":"https://example.com:{{ .secrets.n }}"`, "port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := secretWorld(t, newVault())
			method := test.method
			if !strings.Contains(method, `"url"`) {
				method = `"url":"https://example.com",` + method
			}
			w.actions.add(t, v2("deploy", `{"type":"WEBHOOK",`+method+`}`))
			_, err := w.Start(t.Context(), request(t, "deploy", ""))
			e := wantFault(t, err, fault.Invalid, "invalid_request", test.holds)
			_, dry := w.DryRun(t.Context(), request(t, "deploy", ""))
			if s := sight(fmt.Sprintf("%s %+v %v %v %s", e.Message, e.Details, err, dry, w.log)); s != "" || dry == nil {
				t.Errorf("a secret shows: %s, %v", s, dry)
			}
			w.wantNothing(t)
		})
	}
}

func TestDryRunShowsNoSecret(t *testing.T) {
	t.Parallel()
	w := secretWorld(t, newVault())
	w.actions.add(t, v2("deploy", `{"type":"WEBHOOK","url":"https://example.com/{{ .secrets.TOKEN }}","body":{
		"all":"{{ .secrets }}","quotes":"{{ .secrets.TOKEN | fromjson }}","indexes":"{{ .secrets.TOKEN[0] }}","known":"{{ .inputs | error(\"x\") }}",
		"says":"{{ error(.secrets.password) }}","number":"{{ .secrets.TOKEN | tonumber }}","math":"{{ .secrets.creds - 1 }}","data":"{{ . }}"}}`))
	dry, err := w.DryRun(t.Context(), request(t, "deploy", ""))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s %s %+v %+v", dry.Invocation, dry.TriggerData, dry.FailedExpressions, dry.Warnings)
	if s := sight(text); s != "" {
		t.Errorf("a secret shows: %s", s)
	}
	// jq cuts what it quotes: a part of a secret would not be found.
	for _, part := range []string{token[:6], "nested", "p\\\"a"} {
		if strings.Contains(text, part) {
			t.Errorf("a part of a secret shows: %s", text)
		}
	}
	if strings.Contains(string(dry.TriggerData), `"secrets"`) {
		t.Error("the trigger data has secrets")
	}
	shown := map[string]bool{}
	for _, f := range dry.FailedExpressions {
		shown[f.Path] = !strings.Contains(f.Message, "not shown")
	}
	if !shown["invocationMethod.body.known"] || shown["invocationMethod.body.quotes"] || len(shown) != 6 {
		t.Errorf("failed expressions: %+v", dry.FailedExpressions)
	}
	w.wantNothing(t)
}

// Without the secrets nothing is accepted, and the answer says so.
func TestSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	method := `{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ .secrets.TOKEN }}"}}`
	down := newVault()
	down.err = fault.Busy(errors.New("throttled"), 0, "the store is busy")
	broken := newVault()
	broken.err = errors.New("damaged")
	for name, test := range map[string]struct {
		vault *vault
		word  string
	}{
		"store is down": {down, "unavailable"}, "store is broken": {broken, "unavailable"}, "no key to seal": {newVault(), secret.CodeNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Secrets = test.vault })
			w.actions.add(t, v2("deploy", method))
			q := request(t, "deploy", "")
			q.IdempotencyKey = "k"
			_, err := w.Start(t.Context(), q)
			e := wantFault(t, err, fault.Unavailable, test.word)
			if s := sight(fmt.Sprint(e.Message, err)); s != "" {
				t.Errorf("a secret shows: %s", s)
			}
			w.wantNothing(t)
		})
	}
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		v := &vault{values: map[string]string{}}
		for i := range 33 {
			v.values[fmt.Sprintf("s%d", i)] = strings.Repeat("x", organization.MaxValue)
		}
		w := secretWorld(t, v)
		w.actions.add(t, v2("all", `{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ .secrets | keys }}"}}`))
		_, err := w.Start(t.Context(), request(t, "all", ""))
		wantFault(t, err, fault.Invalid, "template_limit", "1081344")
		w.wantNothing(t)
	})
	t.Run("none are kept", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.actions.add(t, v2("deploy", method))
		if got := string(w.read(t, w.start(t, request(t, "deploy", "")).Record.ID).Invocation.Readable()); !strings.Contains(got, `"a":null`) {
			t.Errorf("got %s, want null", got)
		}
	})
}

// A run that takes over the id of one that died is sealed for that id; one that is delivered again has
// what it was triggered with.
func TestSecretsOfRunsThatComeAgain(t *testing.T) {
	t.Parallel()
	v := newVault()
	w := secretWorld(t, v)
	w.actions.add(t, v2("deploy", `{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ .secrets.TOKEN }}"}}`))
	q := request(t, "deploy", "")
	q.IdempotencyKey = "k"
	first := w.start(t, q)
	again := w.start(t, q)
	if !again.Replayed || again.Record.ID != first.Record.ID || sight(string(again.Record.Invocation.Readable())) != "" {
		t.Errorf("replayed %t: %s", again.Replayed, again.Record.Invocation.Readable())
	}
	id := first.Record.ID
	if _, err := w.store.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(start, 1, "o", run.LeaseGrace); err != nil {
			return nil, err
		}
		return &run.Write{}, r.Settle(start, 1, "o", run.MaxRest, run.Outcome{Verdict: run.Fail})
	}); err != nil {
		t.Fatal(err)
	}
	v.values["TOKEN"] = "another-token"
	record, err := w.Redeliver(t.Context(), q.Caller, id)
	if err != nil || !record.Secrets {
		t.Fatalf("redeliver: %v", err)
	}
	if last := w.queue.sent[len(w.queue.sent)-1]; last.Message.Generation != 2 || last.Message.Invocation != nil {
		t.Errorf("sent %+v", last)
	}
	sealed, err := w.store.Sealed(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	sent, _, err := invocation.Open(t.Context(), sealer(t), id, sealed)
	if err != nil || *sent.Webhook.Body != `{"a":"`+token+`"}` {
		t.Errorf("sends %v, %v", sent, err)
	}
}
