package trigger_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

const clientSecret = "0123456789abcdef0123456789abcdef, and more that is no key"

// withInputs is an action "a" with those user inputs, whose body is the inputs as templates see them.
func withInputs(operation, userInputs string) string {
	return `{"identifier":"a","trigger":{"type":"self-service",` + operation + `,"userInputs":` + userInputs + `},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com","body":{"{{ spreadValue() }}":"{{ .inputs }}"}}}`
}

const create, day2 = `"operation":"CREATE"`, `"operation":"DAY-2","blueprintIdentifier":"service"`

// addPeople makes two users and two teams beside addCart's entities.
func (w *world) addPeople(t *testing.T) {
	t.Helper()
	w.addCart(t)
	s := catalog.NewService(w.catalog, func() time.Time { return start })
	by := catalog.Author{ID: "client", At: start}
	for _, e := range [][2]string{
		{catalog.UserBlueprint, `{"identifier":"Ada@example.com","properties":{"status":"Active"}}`},
		{catalog.UserBlueprint, `{"identifier":"bob@example.com","properties":{"status":"Disabled"}}`},
		{catalog.TeamBlueprint, `{"identifier":"web","title":"The web team"}`},
		{catalog.TeamBlueprint, `{"identifier":"ops"}`},
	} {
		if _, err := s.CreateEntity(t.Context(), e[0], json.RawMessage(e[1]), catalog.EntityWrite{By: by}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueriesSeeEntityAndUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addCart(t)
	w.actions.add(t, withInputs(day2, `{"properties":{"tier":{"type":"string","default":{"jqQuery":".entity.properties.tier + \"/\" + .user.id"}},
		"n":{"type":"number","default":{"jqQuery":".entity.properties.tier + 1"}},"m":{"type":"string","visible":{"jqQuery":"error(\"x\")"}}}}`))
	q := onEntity(t)
	got := w.start(t, q).Record
	if want := `{"tier":"gold/client"}`; string(got.Properties) != want || *got.Invocation.Webhook.Body != want {
		t.Errorf("properties %s, body %s, want %s", got.Properties, *got.Invocation.Webhook.Body, want)
	}
	want := []string{"These queries of the inputs count as absent:\n" +
		`trigger.userInputs.properties.n.default.jqQuery: jq: error: string ("gold") and number (1) cannot be added` + "\n" +
		"trigger.userInputs.properties.m.visible.jqQuery: jq: error: x"}
	if diff := cmp.Diff(want, w.logs(t, got.ID)); diff != "" {
		t.Errorf("log lines (-want +got):\n%s", diff)
	}
	dry, err := w.DryRun(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range dry.FailedExpressions {
		paths = append(paths, f.Path)
	}
	if want := []string{"trigger.userInputs.properties.n.default.jqQuery", "trigger.userInputs.properties.m.visible.jqQuery"}; !cmp.Equal(want, paths) {
		t.Errorf("failed expressions at %v, want %v", paths, want)
	}
}

// A run that waits says so beside what its queries did.
func TestFirstLineHasAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"s":{"type":"string","enum":{"jqQuery":"1"}}}}},"invocationMethod":{"type":"KAFKA"}}`)
	lines := w.logs(t, w.start(t, request(t, "a", `{"s":"x"}`)).Record.ID)
	if len(lines) != 1 || !strings.Contains(lines[0], "s.enum.jqQuery: yields no list\n") || !strings.Contains(lines[0], "not configured") {
		t.Errorf("lines are %q", lines)
	}
}

func TestNamedInputs(t *testing.T) {
	t.Parallel()
	service := `"type":"string","format":"entity","blueprint":"service"`
	gold := `,"dataset":{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"service"},
		{"combinator":"or","rules":[{"property":"tier","operator":"=","value":{"jqQuery":".form.tier"}},{"property":"tier","operator":"=","value":"{{ .form.other }}"}]}]}`
	for name, c := range map[string]struct {
		userInputs, given string
		// body is what templates see, stored what the run has when that is something else.
		body, stored string
		faults       []string
	}{
		"an entity":              {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":"cart"}`, body: `{"e":"cart"}`},
		"an entity as an object": {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":{"identifier":"cart","x":1}}`, body: `{"e":{"identifier":"cart","x":1}}`},
		"an entity of any kind":  {userInputs: `{"properties":{"e":{"type":"string","format":"entity"}}}`, given: `{"e":"cart"}`, body: `{"e":"cart"}`},
		"nothing that is needed": {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":null}`, body: `{"e":null}`},
		"entities have titles":   {userInputs: `{"properties":{"l":{"type":"array","items":{` + service + `}}}}`, given: `{"l":["cart",{"identifier":"till","title":"theirs","x":1}]}`, body: `{"l":[{"identifier":"cart","title":"Cart"},{"identifier":"till","title":null,"x":1}]}`, stored: `{"l":["cart",{"identifier":"till","title":"theirs","x":1}]}`},
		"users and teams":        {userInputs: `{"properties":{"u":{"type":"array","items":{"type":"string","format":"user"}},"t":{"type":"array","items":{"type":"string","format":"team"}}}}`, given: `{"u":["Ada@example.com","ada@EXAMPLE.com","bob@example.com"],"t":["web","The web team","ops"]}`, body: `{"u":["Ada@example.com","ada@EXAMPLE.com","bob@example.com"],"t":["web","The web team","ops"]}`},
		"what is not there": {
			userInputs: `{"properties":{"e":{` + service + `},"l":{"type":"array","items":{` + service + `}},"any":{"type":"string","format":"entity"},"b":{"type":"string","format":"entity","blueprint":"nowhere"},
				"u":{"type":"string","format":"user"},"t":{"type":"string","format":"team"},"n":{"type":"number"}},"required":["r"]}`,
			given: `{"e":"Cart","l":["cart","hunter2"],"any":"hunter2","b":"x","u":"eve@example.com","t":"the web team","n":"1"}`,
			faults: []string{
				"properties.any: must be the identifier of an entity, there is no such entity",
				"properties.b: must be the identifier of an entity of nowhere, there is no such blueprint",
				"properties.e: must be the identifier of an entity of service, there is no such entity",
				"properties.l[1]: must be the identifier of an entity of service, there is no such entity",
				"properties.n: must be a number, got a string",
				"properties.r: is required",
				"properties.t: must be the identifier or the name of a team, there is no such team",
				"properties.u: must be the e-mail of a user, there is no such user",
			},
		},
		"what names nothing": {
			userInputs: `{"properties":{"e":{` + service + `},"l":{` + service + `},"t":{"type":"string","format":"team"}}}`, given: `{"e":"","l":"` + strings.Repeat("x", 1001) + `","t":""}`,
			faults: []string{
				"properties.e: must be the identifier of an entity of service, there is no such entity", "properties.l: must be the identifier of an entity of service, there is no such entity",
				"properties.t: must be the identifier or the name of a team, there is no such team",
			},
		},
		"in the dataset": {
			userInputs: `{"properties":{"e":{` + service + gold + `},"l":{"type":"array","items":{` + service + gold + `}},"tier":{"type":"string"},"other":{"type":"string"}}}`,
			given:      `{"e":"cart","l":["cart","till"],"tier":"gold","other":"silver"}`,
			body:       `{"e":"cart","l":[{"identifier":"cart","title":"Cart"},{"identifier":"till","title":null}],"tier":"gold","other":"silver"}`,
			stored:     `{"e":"cart","l":["cart","till"],"tier":"gold","other":"silver"}`,
		},
		"not in the dataset": {
			userInputs: `{"properties":{"e":{` + service + gold + `},"l":{"type":"array","items":{` + service + gold + `}},"tier":{"type":"string"}}}`,
			given:      `{"e":"till","l":["cart","till"],"tier":"gold"}`,
			faults:     []string{"properties.e: must be an entity of the input's dataset, this one is not", "properties.l[1]: must be an entity of the input's dataset, this one is not"},
		},
		"related to another": {
			userInputs: `{"properties":{"e":{` + service + `,"dataset":{"combinator":"and","rules":[{"operator":"relatedTo","blueprint":"service","value":"{{ .inputs.of }}"}]}},"of":{"type":"string"}}}`,
			given:      `{"e":"till","of":"cart"}`, body: `{"e":"till","of":"cart"}`,
		},
		"not related to another": {
			userInputs: `{"properties":{"e":{` + service + `,"dataset":{"combinator":"and","rules":[{"operator":"relatedTo","blueprint":"service","value":"{{ .inputs.of }}"}]}},"of":{"type":"string"}}}`,
			given:      `{"e":"till","of":"none"}`, faults: []string{"properties.e: must be an entity of the input's dataset, this one is not"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.addPeople(t)
			w.actions.add(t, withInputs(create, c.userInputs))
			started, err := w.Start(t.Context(), request(t, "a", c.given))
			if c.faults != nil {
				e := wantFault(t, err, fault.Invalid, "invalid_request")
				if diff := cmp.Diff(c.faults, slices.Sorted(slices.Values(strings.Split(e.Message, "\n")))); diff != "" {
					t.Errorf("faults (-want +got):\n%s", diff)
				}
				if len(e.Details) != len(c.faults) {
					t.Errorf("%d details, want %d", len(e.Details), len(c.faults))
				}
				w.wantNothing(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.stored == "" {
				c.stored = c.body
			}
			if diff := cmp.Diff([]string{c.body, c.stored}, []string{*started.Record.Invocation.Webhook.Body, string(w.read(t, started.Record.ID).Properties)}); diff != "" {
				t.Errorf("body and stored properties (-want +got):\n%s", diff)
			}
		})
	}
}

// Where nobody has written users yet, there is none: nothing is made by a trigger.
func TestNamedInputsOfAnEmptyCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, withInputs(create, `{"properties":{"u":{"type":"string","format":"user"}}}`))
	_, err := w.Start(t.Context(), request(t, "a", `{"u":"ada@example.com"}`))
	wantFault(t, err, fault.Invalid, "invalid_request", "properties.u: must be the e-mail of a user")
	if blueprints, err := w.catalog.Blueprints(t.Context()); err != nil || len(blueprints) != 0 {
		t.Errorf("blueprints %v, %v", blueprints, err)
	}
}

func TestNamedInputsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Entities = unread{fault.Busy(errors.New("throttled"), 0, "the store is busy")}
	})
	w.actions.add(t, withInputs(create, `{"properties":{"u":{"type":"string","format":"user"}}}`))
	_, err := w.Start(t.Context(), request(t, "a", `{"u":"ada@example.com"}`))
	if e := wantFault(t, err, fault.Unavailable, "unavailable"); !e.Retryable {
		t.Errorf("got %+v", e)
	}
	w.wantNothing(t)
}

// unread is a catalog that cannot be read.
type unread struct{ err error }

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

func (u unread) Lookup(context.Context, string, string, *catalog.Search) (*jqtemplate.Object, bool, error) {
	return nil, false, u.err
}

func (u unread) Resolve(context.Context, []catalog.Reference) ([]catalog.Referent, error) {
	return nil, u.err
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
