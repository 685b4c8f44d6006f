package githubsettings_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	file := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
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
		{"an address alone", githubsettings.Settings{APIURL: "https://x/api/v3", SecretARN: "arn"}, "", "", github.Credentials{}},
		{"a token", githubsettings.Settings{Token: "t"}, "7", "", github.Credentials{Token: "t"}},
		{"tokens", githubsettings.Settings{Tokens: "a=1, b=2=,"}, "", "", github.Credentials{Tokens: map[string]string{"a": "1", "b": "2="}}},
		{"an App", githubsettings.Settings{PrivateKey: strings.ReplaceAll(key, "\n", `\n`)}, "7", "", github.Credentials{AppID: "7", PrivateKey: key}},
		{"an App's key behind attributes", githubsettings.Settings{PrivateKey: "Bag Attributes\n" + key}, "7", "", github.Credentials{AppID: "7", PrivateKey: "Bag Attributes\n" + key}},
		{"an App's key in a file", githubsettings.Settings{PrivateKey: file}, "7", "", github.Credentials{AppID: "7", PrivateKey: key}},
		{"a secret", githubsettings.Settings{}, "7", `{"LONGSHORE_GITHUB_APP_PRIVATE_KEY":` + string(quoted) + `}`, github.Credentials{AppID: "7", PrivateKey: key}},
		{"a secret with the id", githubsettings.Settings{}, "", `{"LONGSHORE_GITHUB_APP_ID":"7","LONGSHORE_GITHUB_APP_PRIVATE_KEY":` + string(quoted) + `}`, github.Credentials{AppID: "7", PrivateKey: key}},
		{"a secret of tokens", githubsettings.Settings{}, "", `{"LONGSHORE_GITHUB_TOKEN":"t\n","LONGSHORE_GITHUB_TOKENS":"a=1"}`, github.Credentials{Token: "t", Tokens: map[string]string{"a": "1"}}},
	}
	for _, c := range cases {
		text := c.settings.Plain()
		if (text != "") != (c.settings.Token+c.settings.Tokens+c.settings.PrivateKey != "") {
			t.Errorf("%s: the plain variables give %q", c.name, text)
		}
		if text == "" {
			text = c.secret
		}
		got, err := githubsettings.Credentials(c.app, text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestCredentialsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const hidden = "s3cr3tC0re"
	const broken = "-----BEGIN RSA PRIVATE KEY-----" + hidden
	for _, c := range []struct {
		name     string
		settings githubsettings.Settings
		app      string
		want     string
	}{
		{"a key without an id", githubsettings.Settings{PrivateKey: broken}, "", "both its id and its private key"},
		{"a key that is none", githubsettings.Settings{PrivateKey: broken}, "7", "no RSA key"},
		{"a key that is in no file", githubsettings.Settings{PrivateKey: hidden}, "7", "LONGSHORE_GITHUB_APP_PRIVATE_KEY is no key in PEM, nor a file that can be read: no such file"},
		{"an id that is none", githubsettings.Settings{PrivateKey: broken}, "longshore", `"longshore", expected its number`},
		{"a token without its organization", githubsettings.Settings{Tokens: "a=x," + hidden}, "", "LONGSHORE_GITHUB_TOKENS: entry 2"},
		{"a token with a line break", githubsettings.Settings{Token: "x\n" + hidden}, "", "characters that no token has"},
	} {
		wrong(t, c.name, hidden, c.app, c.settings.Plain(), c.want)
	}
	wrong(t, "a secret that is no JSON", hidden, "", hidden, "no JSON object")
	wrong(t, "a secret with a number", hidden, "", `{"LONGSHORE_GITHUB_TOKEN":5,"x":"`+hidden+`"}`, "no JSON object")
}

func wrong(t *testing.T, name, hidden, app, text, want string) {
	t.Helper()
	_, err := githubsettings.Credentials(app, text)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), hidden) {
		t.Errorf("%s: %v, want it to say %q and nothing secret", name, err, want)
	}
}
