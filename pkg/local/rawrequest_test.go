package local_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"longshore/pkg/local"
)

// bearer logs in and returns the value of Authorization.
func bearer(t *testing.T, url string, c local.Credentials) string {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"clientId": c.ClientID, "clientSecret": c.ClientSecret})
	response, err := http.Post(url+"/v1/auth/access_token", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ AccessToken string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("log in: %d, %v", response.StatusCode, err)
	}
	return "Bearer " + answer.AccessToken
}

// post asks for a run of "act" once, and returns the answer as it is.
func post(t *testing.T, url, token string) (status int, header http.Header, id string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/actions/act/runs", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Run struct{ ID string } }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer.Run.ID
}
