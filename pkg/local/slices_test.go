package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/pkg/local"
)

// A deletion that takes several slices is carried out by the process's own workers, whatever its queue
// does to messages; one that a process left behind by the next process on the same data.
func TestLongDeletion(t *testing.T) {
	t.Parallel()
	c := local.WithChaos(config(t.TempDir()))
	first, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := ""
	do := func(s *local.Server, method, path, body string, want int) (answer struct {
		AccessToken string
		MigrationID string
		Migration   struct {
			Status          string
			DeletedEntities int
		}
	}) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, text)
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	keys := first.Credentials()
	token = do(first, "POST", "/v1/auth/access_token", fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, keys.ClientID, keys.ClientSecret), 200).AccessToken
	do(first, "POST", "/v1/blueprints", `{"identifier":"ship","title":"Ship","schema":{"properties":{}}}`, 201)
	const n = 2500
	for from := 0; from < n; from += 20 {
		var list []string
		for i := from; i < from+20; i++ {
			list = append(list, fmt.Sprintf(`{"identifier":"s%d"}`, i))
		}
		do(first, "POST", "/v1/blueprints/ship/entities/bulk", `{"entities":[`+strings.Join(list, ",")+`]}`, 200)
	}
	id := do(first, "DELETE", "/v1/blueprints/ship/all-entities?delete_blueprint=true", "", 200).MigrationID
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Stop(context.Background()) })
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		m := do(second, "GET", "/v1/migrations/"+id, "", 200).Migration
		if m.Status == "COMPLETED" {
			break
		}
		if m.Status != "RUNNING" || time.Now().After(deadline) {
			t.Fatalf("the migration is %s, %d deleted", m.Status, m.DeletedEntities)
		}
		time.Sleep(50 * time.Millisecond)
	}
	do(second, "GET", "/v1/blueprints/ship", "", 404)
}
