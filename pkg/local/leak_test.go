package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
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
	"longshore/pkg/secret"
)

// Secrets of the hunt: one with what escapes change, one that is JSON, of which a member is used.
const (
	huntedToken  = "tok/\"en\\ é+ <1234567890>"
	huntedMember = "member-s3cret-of-it"
	huntedJSON   = `{"user":"ada","password":"` + huntedMember + `"}`
)

// hunter looks for the secrets in what was written.
type hunter struct {
	t    *testing.T
	mask *secret.Mask
}

// sights of a value, besides those that the mask knows.
func sights(value string) []string {
	text, _ := json.Marshal(value)
	return []string{
		value, string(text[1 : len(text)-1]), url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
	}
}

func (h *hunter) found(text string) string {
	for _, value := range []string{huntedToken, huntedMember, huntedJSON} {
		for _, sight := range sights(value) {
			if strings.Contains(text, sight) {
				return sight
			}
		}
	}
	if masked := h.mask.Text(text); masked != text {
		return "another spelling"
	}
	return ""
}

func (h *hunter) clean(where, text string) {
	h.t.Helper()
	if text == "" {
		h.t.Errorf("%s: there is nothing to look at", where)
	}
	if sight := h.found(text); sight != "" {
		h.t.Errorf("%s holds a secret: %q", where, sight)
	}
}

// shared is a text that many may write.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// huntSecrets runs actions with secrets against receivers that echo all they get, and looks for the secrets
// in all routes, the log, and what stored returns.
func huntSecrets(t *testing.T, c local.Config, stored func(*testing.T) map[string]string) {
	t.Helper()
	var lines, got shared
	c.Log = slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := &hunter{t, secret.NewMask([]string{huntedToken, huntedMember, huntedJSON})}
	times := map[string]int{}
	var mu sync.Mutex
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintln(&got, r.URL.String(), r.Header, string(body))
		mu.Lock()
		times[r.URL.Path]++
		n := times[r.URL.Path]
		mu.Unlock()
		switch {
		case strings.HasPrefix(r.URL.Path, "/retry") && n == 1:
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasPrefix(r.URL.Path, "/fail"):
			w.WriteHeader(http.StatusBadRequest)
		}
		if strings.HasPrefix(r.URL.Path, "/fail") && n == 2 {
			// Not JSON.
			fmt.Fprintf(w, "no: %s %v %s", r.URL, r.Header, body)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"url": r.URL.String(), "headers": r.Header, "data": string(body), "json": json.RawMessage(body), "raw": body,
		})
	}))
	t.Cleanup(echo.Close)

	cl, base := serve(t, c)
	token := ""
	call := func(method, path string, body any, status int) string {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		all, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != status {
			t.Fatalf("%s %s: %d %s, %v; want %d", method, path, answer.StatusCode, all, err, status)
		}
		return string(all)
	}
	own, err := local.ReadCredentials(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	var login struct{ AccessToken string }
	if err := json.Unmarshal([]byte(call("POST", "/v1/auth/access_token", map[string]string{"clientId": own.ClientID, "clientSecret": own.ClientSecret}, 200)), &login); err != nil {
		t.Fatal(err)
	}
	token = login.AccessToken
	var routes strings.Builder
	see := func(method, path string, body any, status int) string {
		t.Helper()
		text := call(method, path, body, status)
		routes.WriteString(text)
		return text
	}
	for name, value := range map[string]string{"TOKEN": huntedToken, "CREDS": huntedJSON} {
		see("POST", "/v1/organization/secrets", map[string]string{"secretName": name, "secretValue": value}, 201)
	}
	var ids []string
	for name, synchronized := range map[string]bool{"ok": true, "fail": true, "retry": true, "async": false} {
		see("POST", "/v1/actions", map[string]any{
			"identifier": name, "trigger": map[string]any{"type": "self-service", "operation": "CREATE"},
			"invocationMethod": map[string]any{
				"type": "WEBHOOK", "synchronized": synchronized, "url": echo.URL + "/" + name + "?token={{ .secrets.TOKEN | @uri }}",
				"headers": map[string]any{"Authorization": `Basic {{ "user:" + .secrets.TOKEN | @base64 }}`, "X-Member": "{{ .secrets.CREDS | fromjson | .password }}"},
				"body": map[string]any{"token": "{{ .secrets.TOKEN }}", "all": "{{ .secrets }}", "creds": "{{ .secrets.CREDS | fromjson }}",
					"fails": "{{ .secrets.TOKEN | tonumber }}", "{{ .secrets.CREDS }}": 1},
			},
		}, 201)
		see("POST", "/v1/actions/"+name+"/runs?dry_run=true", struct{}{}, 200)
		r, _, err := cl.StartRun(t.Context(), name, client.Start{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
		if name == "async" {
			wait(t, &got, "/async")
			see("PATCH", "/v1/actions/runs/"+r.ID, map[string]string{"status": "SUCCESS"}, 200)
			continue
		}
		ended := func() {
			if _, err := cl.Follow(t.Context(), r.ID, 20*time.Millisecond, func(client.Log) {}); err != nil {
				t.Fatal(err)
			}
		}
		ended()
		if name == "fail" {
			see("POST", "/v1/actions/runs/"+r.ID+"/redeliver", nil, 202)
			ended()
		}
	}
	for _, id := range ids {
		for _, of := range []string{"", "/logs", "/attempts"} {
			see("GET", "/v1/actions/runs/"+id+of, nil, 200)
		}
	}
	for _, path := range []string{"/v1/actions/runs", "/v1/actions", "/v1/organization", "/v1/organization/secrets", "/v1/organization/secrets/TOKEN", "/v1/audit-log"} {
		see("GET", path, nil, 200)
	}
	// What is looked for is there to be found: it was sent, and echoed.
	if sight := h.found(got.String()); sight == "" || times["/fail"] != 2 || times["/retry"] != 2 {
		t.Fatalf("the receiver got %v and no secret", times)
	}
	if strings.Count(routes.String(), secret.Hidden) < 20 || !strings.Contains(routes.String(), `"response":`) {
		t.Errorf("the routes show no masked echo: %s", routes.String())
	}
	h.clean("a route", routes.String())
	h.clean("the log", lines.String())
	for where, text := range stored(t) {
		h.clean(where, text)
	}
}

// wait waits until a text has been written.
func wait(t *testing.T, s *shared, text string) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !strings.Contains(s.String(), text) {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("%s was not written", text)
		}
	}
}

func TestNoSecretLeaksOnSQLite(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	huntSecrets(t, c, func(t *testing.T) map[string]string {
		files := map[string]string{}
		names, err := filepath.Glob(filepath.Join(c.Data, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > 0 {
				files[filepath.Base(name)] = string(text)
			}
		}
		if len(files["longshore.db"])+len(files["longshore.db-wal"]) < 10_000 {
			t.Errorf("the database is not among the files")
		}
		return files
	})
}

func TestNoSecretLeaksOnAWS(t *testing.T) {
	tables, messages := emulator.DynamoDB(t), &shared{}
	target, err := url.Parse(emulator.SQS(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		text, err := io.ReadAll(r.In.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(messages, string(text))
		r.SetURL(target)
		r.Out.Body = io.NopCloser(bytes.NewReader(text))
	}}
	queues := httptest.NewServer(proxy)
	t.Cleanup(queues.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": tables, "AWS_ENDPOINT_URL_SQS": queues.URL,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "leak-runs-"+name, "leak-catalog-"+name
	huntSecrets(t, c, func(t *testing.T) map[string]string {
		if !strings.Contains(messages.String(), "generation") {
			t.Errorf("the messages are not among the requests to SQS: %s", messages)
		}
		return map[string]string{
			c.RunsTable:    itemsOf(t, emulator.Config(tables), c.RunsTable),
			c.CatalogTable: itemsOf(t, emulator.Config(tables), c.CatalogTable),
			"the queue":    messages.String(),
		}
	})
}

// itemsOf returns all texts that a table's items hold, unpacked.
func itemsOf(t *testing.T, config aws.Config, table string) string {
	t.Helper()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	var all strings.Builder
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(config), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			for _, v := range item {
				switch v := v.(type) {
				case *types.AttributeValueMemberS:
					fmt.Fprintln(&all, v.Value)
					if plain, err := base64.StdEncoding.DecodeString(v.Value); err == nil {
						fmt.Fprintln(&all, string(plain))
					}
				case *types.AttributeValueMemberB:
					fmt.Fprintln(&all, string(v.Value))
					if plain, err := unpack.DecodeAll(v.Value, nil); err == nil {
						fmt.Fprintln(&all, string(plain))
					}
				}
			}
		}
	}
	return all.String()
}
