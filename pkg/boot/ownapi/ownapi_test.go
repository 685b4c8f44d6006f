package ownapi_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/boot"
	"longshore/pkg/boot/ownapi"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

var key = []byte(strings.Repeat("k", 32))

func settings() *boot.Env {
	return &boot.Env{Settings: boot.Settings{OrgID: "org_1", ClientID: "client_1", BaseURL: "https://longshore.example"}}
}

// The token of a call is one that the deployment's API takes for that call.
func TestToken(t *testing.T) {
	t.Setenv("LONGSHORE_TOKEN_KEY", base64.StdEncoding.EncodeToString(key))
	own, err := ownapi.New(settings(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"https://longshore.example"}, own.Addresses()); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	call := identity.Call{Method: "POST", Path: "/v1/jq", Cause: audit.Cause{RunID: "r_1", Depth: 2}}
	token, err := own.Token(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	api, err := identity.NewTokens(identity.Config{OrgID: "org_1", ClientID: "client_1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(identity.Caller{OrgID: "org_1", Machine: true, ID: "client_1", Call: &call}, got); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
}

// A function that is not told all that it needs makes calls of the API as any other: code and template
// deploy in either order.
func TestNotConfigured(t *testing.T) {
	for name, edit := range map[string]func(*boot.Env){
		"no key": func(*boot.Env) { t.Setenv("LONGSHORE_TOKEN_KEY", "") }, "no address": func(e *boot.Env) { e.BaseURL = "" },
		"no organization": func(e *boot.Env) { e.OrgID = "" }, "no client": func(e *boot.Env) { e.ClientID = "" },
	} {
		t.Setenv("LONGSHORE_TOKEN_KEY", base64.StdEncoding.EncodeToString(key))
		e := settings()
		edit(e)
		if own, err := ownapi.New(e, nil); own != nil || err != nil {
			t.Errorf("%s: got %v, %v, want nothing", name, own, err)
		}
	}
}

// A key that is none fails each call, and tells nothing of it.
func TestWrongKey(t *testing.T) {
	t.Setenv("LONGSHORE_TOKEN_KEY", "wrong-token-key")
	own, err := ownapi.New(settings(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = own.Token(t.Context(), identity.Call{Method: "GET", Path: "/v1/actions"})
	if err == nil || fault.KindOf(err) == fault.Invalid || strings.Contains(err.Error(), "wrong-token-key") {
		t.Errorf("got %v, want an error without the key", err)
	}
}
