package githubsettings_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend/github"
	"longshore/pkg/boot/githubsettings"
)

func pemKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	key := pemKey(t)
	quoted, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		settings githubsettings.Settings
		app      string
		secret   string
		want     github.Credentials
	}{
		{"none", githubsettings.Settings{}, "", "", github.Credentials{}},
		{"an App's id alone", githubsettings.Settings{}, "7", "", github.Credentials{}},
		{"a token", githubsettings.Settings{Token: "t"}, "7", "", github.Credentials{Token: "t"}},
		{"tokens", githubsettings.Settings{Tokens: "a=1, b=2=,"}, "", "", github.Credentials{Tokens: map[string]string{"a": "1", "b": "2="}}},
		{"an App", githubsettings.Settings{PrivateKey: strings.ReplaceAll(key, "\n", `\n`)}, "7", "", github.Credentials{AppID: "7", PrivateKey: key}},
		{"a secret", githubsettings.Settings{}, "7", `{"privateKey":` + string(quoted) + `}`, github.Credentials{AppID: "7", PrivateKey: key}},
		{"a setting wins", githubsettings.Settings{Token: "t", Tokens: "a=1,b=2"}, "", `{"token":"s","tokens":{"a":"3","c":"4"}}`, github.Credentials{Token: "t", Tokens: map[string]string{"a": "1", "b": "2", "c": "4"}}},
	}
	for _, c := range cases {
		got, err := c.settings.Credentials(c.app, c.secret)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestCredentialsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const hidden = "s3cr3tC0re"
	cases := []struct {
		name     string
		settings githubsettings.Settings
		app      string
		secret   string
		want     string
	}{
		{"a key without an id", githubsettings.Settings{PrivateKey: hidden}, "", "", "both its id and its private key"},
		{"a key that is none", githubsettings.Settings{PrivateKey: hidden}, "7", "", "no RSA key"},
		{"an id that is none", githubsettings.Settings{PrivateKey: hidden}, "longshore", "", `"longshore", expected its number`},
		{"a token without its organization", githubsettings.Settings{Tokens: "a=x," + hidden}, "", "", "entry 2"},
		{"a token with a line break", githubsettings.Settings{Token: hidden + "\n"}, "", "", "characters that no token has"},
		{"an address that is none", githubsettings.Settings{APIURL: "https://u:" + hidden + "@x"}, "", "", "URL of GitHub's API"},
		{"a secret that is no JSON", githubsettings.Settings{}, "", hidden, "no JSON object"},
		{"a secret with another member", githubsettings.Settings{}, "", `{"` + hidden + `":"x"}`, "no JSON object"},
	}
	for _, c := range cases {
		_, err := c.settings.Credentials(c.app, c.secret)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v, want it to say %q and nothing secret", c.name, err, c.want)
		}
	}
}
