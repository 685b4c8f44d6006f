package gitlab_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend/gitlab"
	"longshore/pkg/egress"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	if got := (gitlab.Settings{URL: "https://x", SecretARN: "arn"}).Plain(); got != "" {
		t.Errorf("without tokens: got %s", got)
	}
	s := gitlab.Settings{Token: " t\n", Tokens: "A/b=u", TriggerToken: "v", TriggerTokens: "c=w"}
	got, err := gitlab.ParseCredentials(s.Plain())
	want := gitlab.Credentials{Token: "t", Tokens: map[string]string{"a/b": "u"}, TriggerToken: "v", TriggerTokens: map[string]string{"c": "w"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, credentials (-want +got):\n%s", err, diff)
	}
	if got, err := gitlab.ParseCredentials(""); err != nil || got.Token != "" {
		t.Errorf("of an empty text: got %+v, error %v", got, err)
	}
}

func TestParseCredentialsNamesEveryFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`glpat-secret`: {"no JSON object"},
		`{"LONGSHORE_GITLAB_TOKEN":{"secret":1}}`:                                          {"no JSON object"},
		`{"LONGSHORE_GITLAB_TOKENS":"secret","LONGSHORE_GITLAB_TRIGGER_TOKENS":"=secret"}`: {"LONGSHORE_GITLAB_TOKENS: ", "LONGSHORE_GITLAB_TRIGGER_TOKENS: "},
		`{"LONGSHORE_GITLAB_TOKEN":"secret\nsecret","LONGSHORE_GITLAB_TRIGGER_TOKEN":"sécret","LONGSHORE_GITLAB_TOKENS":"a=secret secret"}`: {
			"LONGSHORE_GITLAB_TOKEN: it has", "LONGSHORE_GITLAB_TRIGGER_TOKEN: it has", `LONGSHORE_GITLAB_TOKENS: the token of "a"`,
		},
	} {
		_, err := gitlab.ParseCredentials(text)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "cret\"") || strings.Contains(err.Error(), "cret s") || strings.Contains(err.Error(), "glpat") {
				t.Errorf("%s: got %v, want %q in it", text, err, part)
			}
		}
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	list, err := egress.ParseAllow("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"":                               "10.0.0.0/8",
		"https://gitlab.internal/gitlab": "10.0.0.0/8,gitlab.internal:443",
		"http://192.168.1.2:8080":        "10.0.0.0/8,192.168.1.2:8080",
		"http://[fd00::1]":               "10.0.0.0/8,[fd00::1]:80",
	} {
		got, err := gitlab.Allow(list, address)
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s, error %v, want %s", address, got, err, want)
		}
	}
	for _, address := range []string{"https://", "gitlab", "https://\x7f", "https://a b"} {
		if _, err := gitlab.Allow(list, address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}
