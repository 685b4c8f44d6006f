package trigger_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

const clientSecret = "0123456789abcdef0123456789abcdef, and more that is no key"

// decrypted opens what was encrypted for a receiver, as one does that has only the documentation.
func decrypted(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < 32 {
		t.Fatalf("%q is no encrypted value", text)
	}
	block, err := aes.NewCipher([]byte(clientSecret[:32]))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, 16)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, raw[:16], raw[16:], nil)
	if err != nil {
		t.Fatalf("open %s: %v", text, err)
	}
	return string(plain)
}

const secretInputs = `{"properties":{"token":{"type":"string","encryption":"aes256-gcm"},"login":{"type":"object","encryption":{"algorithm":"aes256-gcm"}},
	"made":{"type":"string","encryption":"aes256-gcm","default":{"jqQuery":"\"s3cr3t-\" + \"default\""}},"name":{"type":"string"}}}`

// secrets are what nobody may find, as the request below holds them.
var secrets = []string{`hunter2"+/ü`, "s3cr3t-default", "pa55word"}

const secretGiven = `{"token":"hunter2\"+/ü","login":{"user":"ada","password":"pa55word"},"name":"x"}`

// spellings are the forms in which a text may be found: plain, in JSON, in a URL, in base64.
func spellings(text string) []string {
	quoted, _ := json.Marshal(text)
	forms := []string{text, strings.Trim(string(quoted), `"`), fmt.Sprintf("%+q", text), url.QueryEscape(text), url.PathEscape(text)}
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + text))
		forms = append(forms, encoded[min(len(encoded), []int{0, 2, 3}[shift]):len(encoded)-1])
	}
	return forms
}

func wantNoSecret(t *testing.T, where string, text []byte) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range spellings(s) {
			if strings.Contains(string(text), form) {
				t.Errorf("%s holds %q", where, form)
			}
		}
	}
}

func TestEncryptedInputs(t *testing.T) {
	t.Parallel()
	for name, definition := range map[string]string{
		"v2": withInputs(create, secretInputs),
		"v1": `{"identifier":"a","trigger":"CREATE","userInputs":` + secretInputs + `,"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, strings.Replace(definition, `"body":{`, `"headers":{"X-Names":"{{ .action.encryptedProperties }}"},"body":{`, 1))
			q := request(t, "a", secretGiven)
			q.IdempotencyKey = "k"
			got := w.start(t, q)
			var properties map[string]string
			if err := json.Unmarshal(got.Record.Properties, &properties); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"token": `hunter2"+/ü`, "login": `{"user":"ada","password":"pa55word"}`, "made": "s3cr3t-default"}
			for input, plain := range want {
				if d := decrypted(t, properties[input]); d != plain {
					t.Errorf("%s decrypts to %q, want %q", input, d, plain)
				}
			}
			body := *got.Record.Invocation.Webhook.Body
			for input := range want {
				if !strings.Contains(body, properties[input]) {
					t.Errorf("the body %s lacks %s as it is stored", body, input)
				}
			}
			switch name {
			case "v1":
				if !strings.Contains(body, `"censoredProperties":["token","login","made"]}}`) {
					t.Errorf("the run message is %s", body)
				}
			default:
				if h := got.Record.Invocation.Webhook.Headers; len(h) != 1 || h[0].Value != `["token","login","made"]` {
					t.Errorf("headers are %v", h)
				}
			}
			dry, err := w.DryRun(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			again := w.start(t, q)
			if !again.Replayed || again.Record.ID != got.Record.ID {
				t.Errorf("the same request was not replayed: %+v", again)
			}
			other := request(t, "a", strings.Replace(secretGiven, "pa55word", "pa55w0rd", 1))
			other.IdempotencyKey = "k"
			_, err = w.Start(t.Context(), other)
			refused := wantFault(t, err, fault.Invalid, "idempotency_key_reused")

			stored, err := json.Marshal(w.read(t, got.Record.ID))
			if err != nil {
				t.Fatal(err)
			}
			message, err := queue.Encode(w.queue.sent[0].Message)
			if err != nil {
				t.Fatal(err)
			}
			// The definition itself holds the expression of a default, not what it yields.
			wantNoSecret(t, "the run", stored)
			wantNoSecret(t, "the message", message)
			wantNoSecret(t, "our log", w.log.Bytes())
			wantNoSecret(t, "the dry run's data", dry.TriggerData)
			wantNoSecret(t, "the dry run's invocation", dry.Invocation)
			wantNoSecret(t, "the refusal", []byte(refused.Message))
		})
	}
}

// The hash of a request under an idempotency key cannot be made without the key of hashes.
func TestHashOfARequestIsKeyed(t *testing.T) {
	t.Parallel()
	hash := func(key string) string {
		var held run.Reservation
		w := newWorld(t, func(w *world, c *trigger.Config) {
			c.Key = []byte(key)
			c.Runs = reserver{w.store, &held}
		})
		w.actions.add(t, withInputs(create, secretInputs))
		q := request(t, "a", secretGiven)
		q.IdempotencyKey = "k"
		w.start(t, q)
		return held.BodyHash
	}
	if one, same, other := hash("one"), hash("one"), hash("other"); one != same || one == other || one == "" {
		t.Errorf("hashes %s, %s and %s", one, same, other)
	}
}

// A deployment whose client secret is too short does not fall back on storing anything in clear.
func TestShortClientSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.ClientSecret = "short" })
	w.actions.add(t, withInputs(create, secretInputs))
	if _, err := w.Start(t.Context(), request(t, "a", secretGiven)); err == nil || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	} else {
		wantNoSecret(t, "the error", []byte(err.Error()))
	}
	w.wantNothing(t)
}

// As TestKeyOvertaken, where no two requests are encrypted alike.
func TestKeyOvertakenWithSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ later, word string }{
		"same request":   {secretGiven, ""},
		"another secret": {strings.Replace(secretGiven, "pa55word", "other", 1), "idempotency_key_reused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var late func()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Accepter = keeper{c.Accepter, &late} })
			w.actions.add(t, withInputs(create, secretInputs))
			q := request(t, "a", secretGiven)
			q.IdempotencyKey = "k"
			if _, err := w.Start(t.Context(), q); err == nil {
				t.Fatal("no error")
			}
			w.restart(func(_ *world, c *trigger.Config) { c.Accepter = overtaker{c.Accepter, late} })
			w.later(run.ReserveFor + time.Second)
			q = request(t, "a", c.later)
			q.IdempotencyKey = "k"
			got, err := w.Start(t.Context(), q)
			if c.word != "" {
				wantFault(t, err, fault.Invalid, c.word)
			} else if err != nil || !got.Replayed || got.Record.ID != runID(1) {
				t.Errorf("got %+v, error %v", got, err)
			}
		})
	}
}

// reserver keeps what was reserved.
type reserver struct {
	trigger.Runs
	held *run.Reservation
}

func (r reserver) Reserve(ctx context.Context, want run.Reservation, now time.Time) (run.Reservation, bool, error) {
	*r.held = want
	return r.Runs.Reserve(ctx, want, now)
}
