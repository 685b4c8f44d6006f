package local_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/klauspost/compress/zstd"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// secretActions are one action that is delivered and one that fails, both with encrypted inputs; and
// one whose runs wait.
const secretActions = `{"identifier":%q,"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{
	"token":{"type":"string","encryption":"aes256-gcm","minLength":3},"login":{"type":"object","encryption":"aes256-gcm"},
	"made":{"type":"string","default":{"jqQuery":".form.token + \"!\""}},"plain":{"type":"string"}}}},
	"invocationMethod":{"type":"WEBHOOK","url":%q,"synchronized":true,"headers":{"X-Token":"{{ .inputs.token }}"},
	"body":{"all":"{{ .inputs }}","failed":"{{ .inputs.token + 1 }}","trigger":"{{ .trigger }}"}}}`

const (
	secretToken    = `hunter2"+/<ü>`
	secretPassword = "correct horse battery"
	// plainMarker is not encrypted: the hunt must find it, or it looks in the wrong places.
	plainMarker = "in-clear-everywhere"
)

// spelled are the forms in which a text may be found: plain, in JSON, in a URL, in base64.
func spelled(text string) []string {
	quoted, _ := json.Marshal(text)
	forms := []string{text, strings.Trim(string(quoted), `"`), url.QueryEscape(text), url.PathEscape(text)}
	for shift, skip := range []int{0, 2, 3} {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := e.EncodeToString([]byte(strings.Repeat("x", shift) + text))
			forms = append(forms, encoded[skip:len(encoded)-1])
		}
	}
	return forms
}

func holds(text []byte, secret string) string {
	for _, form := range spelled(secret) {
		if bytes.Contains(text, []byte(form)) {
			return form
		}
	}
	return ""
}

// hunt looks for the secrets in what was found somewhere. Marked places must hold what is in clear.
func hunt(t *testing.T, where string, text []byte, marked bool) {
	t.Helper()
	for _, secret := range []string{secretToken, secretPassword} {
		if form := holds(text, secret); form != "" {
			t.Errorf("%s holds %q", where, form)
		}
	}
	if marked && holds(text, plainMarker) == "" {
		t.Errorf("%s does not hold what is in clear: the hunt looks in the wrong place", where)
	}
}

// lockedBuffer is a log's text.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// useSecrets does with secret inputs all that a client can, and hunts for them in every answer.
func useSecrets(t *testing.T, c local.Config) {
	t.Helper()
	log := &lockedBuffer{}
	c.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var received lockedBuffer
	echo := func(status int) *receiver {
		return newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ string, _ int) {
			_, _ = received.Write([]byte(r.Header.Get("X-Token")))
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"token":%q}`, r.Header.Get("X-Token"))
		})
	}
	api, at := serve(t, c)
	kept, err := local.ReadCredentials(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"delivered": echo(200).URL, "failing": echo(400).URL} {
		if _, err := api.CreateAction(t.Context(), json.RawMessage(fmt.Sprintf(secretActions, name, url))); err != nil {
			t.Fatal(err)
		}
	}
	properties, err := json.Marshal(map[string]any{
		"token": secretToken, "login": map[string]string{"password": secretPassword}, "plain": plainMarker,
	})
	if err != nil {
		t.Fatal(err)
	}
	token := accessToken(t, at, kept)
	post := func(path, key, body string) (int, []byte) {
		return ask(t, http.MethodPost, at+path, token, key, body)
	}
	body := `{"properties":` + string(properties) + `}`
	for action, end := range map[string]string{"delivered": "SUCCESS", "failing": "FAILURE"} {
		routes := "/v1/actions/" + action + "/runs"
		status, answer := post(routes, "key", body)
		if status != http.StatusAccepted {
			t.Fatalf("%s answered %d: %s", routes, status, answer)
		}
		hunt(t, "the 202", answer, true)
		var started struct{ Run struct{ ID string } }
		if err := json.Unmarshal(answer, &started); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		r, err := api.Follow(ctx, started.Run.ID, 20*time.Millisecond, func(client.Log) {})
		cancel()
		if err != nil || r.Status != end {
			t.Fatalf("run of %s: %+v, %v", action, r, err)
		}
		status, answer = post(routes, "key", body)
		if status != http.StatusOK {
			t.Errorf("a replay answered %d: %s", status, answer)
		}
		hunt(t, "the replay", answer, true)
		status, answer = post(routes, "key", strings.Replace(body, "horse", "house", 1))
		if status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "idempotency_key_reused") {
			t.Errorf("another secret under the same key answered %d: %s", status, answer)
		}
		hunt(t, "the refusal of another", answer, false)
		status, answer = post(routes+"?dry_run=true", "", body)
		if status != http.StatusOK {
			t.Errorf("a dry run answered %d: %s", status, answer)
		}
		hunt(t, "the dry run", answer, true)
		status, answer = post(routes, "", strings.Replace(body, `"login":{`, `"login":[`, 1))
		if status != http.StatusUnprocessableEntity {
			t.Errorf("what is no JSON answered %d: %s", status, answer)
		}
		hunt(t, "the refusal of what is no JSON", answer, false)
		status, answer = post(routes, "", `{"properties":{"token":{"a":`+string(properties)+`},"login":"`+secretPassword+`"}}`)
		if status != http.StatusUnprocessableEntity {
			t.Errorf("wrong types answered %d: %s", status, answer)
		}
		hunt(t, "the refusal of wrong types", answer, false)
		if action == "failing" {
			if status, answer = post("/v1/actions/runs/"+started.Run.ID+"/redeliver", "", ""); status != http.StatusAccepted {
				t.Errorf("redeliver answered %d: %s", status, answer)
			}
			hunt(t, "redeliver's answer", answer, true)
		}
		for path, marked := range map[string]bool{"": true, "/logs": false, "/attempts": false} {
			_, answer := ask(t, http.MethodGet, at+"/v1/actions/runs/"+started.Run.ID+path, token, "", "")
			hunt(t, "GET of the run"+path, answer, marked)
		}
		_, answer = ask(t, http.MethodGet, at+"/v1/actions/runs?action="+action, token, "", "")
		hunt(t, "the list of runs", answer, true)
		_, answer = ask(t, http.MethodGet, at+"/v1/actions/"+action, token, "", "")
		hunt(t, "the action", answer, false)
	}
	hunt(t, "what was delivered", received.bytes(), false)
	hunt(t, "our log", log.bytes(), false)
}

func accessToken(t *testing.T, url string, c local.Credentials) string {
	t.Helper()
	status, answer := ask(t, http.MethodPost, url+"/v1/auth/access_token", "", "",
		fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, c.ClientID, c.ClientSecret))
	var token struct{ AccessToken string }
	if err := json.Unmarshal(answer, &token); err != nil || status != http.StatusOK {
		t.Fatalf("the token route answered %d: %s", status, answer)
	}
	return token.AccessToken
}

func ask(t *testing.T, method, url, token, key, body string) (int, []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		q.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}

// Nothing of an encrypted input is anywhere in the data directory, whatever became of its run.
func TestSecretInputsOnSQLite(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	useSecrets(t, c)
	files, err := filepath.Glob(filepath.Join(c.Data, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		hunt(t, filepath.Base(name), text, false)
		all = append(all, text...)
	}
	hunt(t, "the data directory", all, true)
}

// The same of DynamoDB's tables.
func TestSecretInputsOnAWS(t *testing.T) {
	endpoint := emulator.DynamoDB(t)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
	t.Setenv("AWS_ENDPOINT_URL_SQS", emulator.SQS(t))
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "runs-secret-"+name, "catalog-secret-"+name
	useSecrets(t, c)
	tables := dynamodb.NewFromConfig(emulator.Config(endpoint))
	for table, marked := range map[string]bool{c.RunsTable: true, c.CatalogTable: false} {
		var all bytes.Buffer
		pages := dynamodb.NewScanPaginator(tables, &dynamodb.ScanInput{TableName: aws.String(table)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				for _, v := range item {
					dump(t, &all, v)
				}
			}
		}
		hunt(t, "the table "+table, all.Bytes(), marked)
	}
}

// dump writes an attribute with all that is in it, decompressed.
func dump(t *testing.T, to *bytes.Buffer, v types.AttributeValue) {
	t.Helper()
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		to.WriteString(v.Value + "\n")
	case *types.AttributeValueMemberB:
		to.Write(v.Value)
		to.WriteByte('\n')
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for at := range v.Value { // A byte that says how may stand in front.
			if plain, err := d.DecodeAll(v.Value[at:], nil); err == nil && bytes.HasPrefix(v.Value[at:], []byte{0x28, 0xb5, 0x2f, 0xfd}) {
				to.Write(plain)
				to.WriteByte('\n')
			}
			if at == 8 {
				break
			}
		}
	case *types.AttributeValueMemberM:
		for name, v := range v.Value {
			to.WriteString(name + "\n")
			dump(t, to, v)
		}
	case *types.AttributeValueMemberL:
		for _, v := range v.Value {
			dump(t, to, v)
		}
	case *types.AttributeValueMemberSS:
		to.WriteString(strings.Join(v.Value, "\n"))
	}
}
