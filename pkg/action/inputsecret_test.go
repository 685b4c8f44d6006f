package action_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

const clientSecret = "0123456789abcdef0123456789abcdef"

// publicKey returns a new RSA key of 2048 bits as it stands in JSON.
func publicKey(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)})
	return string(jqtemplate.Encode(string(text)))
}

func TestEncrypt(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"s":{"type":"string","encryption":"aes256-gcm"},"plain":{"type":"string"},
		"o":{"type":"object","encryption":{"algorithm":"aes256-gcm"}},"n":{"type":"string","encryption":"aes256-gcm"},
		"absent":{"type":"string","encryption":"aes256-gcm"},"d":{"type":"string","encryption":"aes256-gcm","default":"fixed"},
		"q":{"type":"string","encryption":"aes256-gcm","default":{"jqQuery":"\"queried\""}}}}`)
	if diff := cmp.Diff([]string{"s", "o", "n", "absent", "d", "q"}, in.Encrypted()); diff != "" {
		t.Errorf("encrypted (-want +got):\n%s", diff)
	}
	given := decode(t, `{"s":"größe","plain":"x","o":{"b":1.0,"a":["<"]},"n":null}`)
	done, err := in.Complete(t.Context(), given, action.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := in.Encrypt(done.Values, clientSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range got.All() {
		text, _ := v.(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		if encrypted := err == nil && len(raw) >= 32; encrypted != (name != "plain" && name != "n") {
			t.Errorf("%s is %v", name, v)
		}
	}
	back, err := in.Decrypt(got, clientSecret)
	if want := `{"s":"größe","plain":"x","o":"{\"b\":1,\"a\":[\"<\"]}","n":null,"d":"fixed","q":"queried"}`; err != nil || string(jqtemplate.Encode(back)) != want {
		t.Errorf("decrypted %s, %v, want %s", jqtemplate.Encode(back), err, want)
	}
	if text := string(jqtemplate.Encode(done.Values)); !strings.Contains(text, "größe") {
		t.Errorf("encrypting changed what it was given: %s", text)
	}
	if _, err := in.Decrypt(got, "x"+clientSecret); fault.KindOf(err) != fault.Invalid {
		t.Errorf("decrypted under another secret: %v", err)
	}
	if _, err := in.Encrypt(done.Values, "short"); err == nil {
		t.Error("encrypted under a short secret")
	}
}

// Where nothing is to be encrypted no secret is needed.
func TestEncryptNothing(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"s":{"type":"string","encryption":"aes256-gcm"},"p":{"type":"string"}}}`)
	given := decode(t, `{"p":"x","s":null}`)
	if got, err := in.Encrypt(given, ""); err != nil || string(jqtemplate.Encode(got)) != `{"p":"x","s":null}` {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestClientSide(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"s":{"type":"string","maxLength":5,"pattern":"^x","encryption":{"algorithm":"client-side","key":`+publicKey(t)+`}},
		"o":{"type":"object","properties":{"x":{"type":"string"}},"encryption":{"algorithm":"client-side","key":`+publicKey(t)+`}},
		"bad":{"type":"string","encryption":{"algorithm":"client-side","key":"-----BEGIN PUBLIC KEY-----"}}},"required":["s"]}`)
	sealed := base64.StdEncoding.EncodeToString(make([]byte, 12+256+16+3))
	got, err := complete(t, in, decode(t, `{"s":"`+sealed+`","o":"`+sealed+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	// What its sender encrypted is passed on as it is.
	if after, err := in.Encrypt(got, clientSecret); err != nil || string(jqtemplate.Encode(after)) != `{"s":"`+sealed+`","o":"`+sealed+`"}` {
		t.Errorf("passed on as %s, %v", jqtemplate.Encode(after), err)
	}
	const form = ": must be encrypted by its sender: base64 of an IV of 12 bytes, an AES key encrypted with RSA-OAEP, and the ciphertext"
	for name, c := range map[string]struct {
		given string
		want  []string
	}{
		"plain":     {`{"s":"hunter2","o":{"x":"hunter2"}}`, []string{"properties.o" + form, "properties.s" + form}},
		"too short": {`{"s":"aHVudGVyMg=="}`, []string{"properties.s" + form}},
		"absent":    {`{}`, []string{"properties.s: is required"}},
		"a broken key": {`{"s":"` + sealed + `","bad":"` + sealed + `"}`, []string{
			"properties.bad: cannot be accepted: the action's encryption.key is no RSA public key in PEM",
		}},
	} {
		_, err := complete(t, in, decode(t, c.given))
		if diff := cmp.Diff(c.want, faultLines(t, err)); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", name, diff)
		}
	}
}

func TestBrokenClientKeyIsSavedWithAWarning(t *testing.T) {
	t.Parallel()
	d := parse(t, input(`{"type":"string","encryption":{"algorithm":"client-side","key":"-----BEGIN PUBLIC KEY-----"}}`))
	if len(d.Warnings) != 1 || d.Warnings[0].Path != "trigger.userInputs.properties.alpha.encryption.key" {
		t.Errorf("warnings %v", d.Warnings)
	}
}

// Nothing that is wrong with an encrypted input tells anything of it, the names of its members included.
func TestFaultsOfEncryptedInputsTellNothing(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"o":{"type":"object","encryption":"aes256-gcm","properties":{"a":{"type":"string"}},"additionalProperties":false},
		"p":{"type":"object","encryption":"aes256-gcm","additionalProperties":{"type":"number"}},
		"s":{"type":"string","encryption":"aes256-gcm","pattern":"^x"},"other":{"type":"object","additionalProperties":false}}}`)
	_, err := complete(t, in, decode(t, `{"o":{"hunter2":1,"a":1},"p":{"hunter2":"x"},"s":"hunter2","other":{"y":1}}`))
	want := []string{
		"properties.o: a member of it: must be a string, got a number", "properties.o: a member of it: unknown field", "properties.other.y: unknown field",
		"properties.p: a member of it: must be a number, got a string", "properties.s: must match the pattern ^x",
	}
	if diff := cmp.Diff(want, sorted(faultLines(t, err))); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// Queries see no value of an encrypted input, since what they yield is not encrypted.
func TestQueriesSeeNoSecret(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"s":{"type":"string","encryption":"aes256-gcm"},"o":{"type":"object","encryption":"aes256-gcm"},
		"none":{"type":"string","encryption":"aes256-gcm"},"made":{"type":"string","encryption":"aes256-gcm","default":{"jqQuery":"\"hunter2\""}},
		"all":{"type":"string","default":{"jqQuery":"[.form.s, .form.o, .inputs.s, .form.made] | tojson"}},"fails":{"type":"string","default":{"jqQuery":".form.s + 1"}},
		"e":{"type":"string","enum":{"jqQuery":"[.inputs.o]"}}}}`)
	done, err := in.Complete(t.Context(), decode(t, `{"s":"hunter2","o":{"hunter2":1},"e":"x"}`), action.Scope{})
	if want := []string{`properties.e: must be "******"`}; !cmp.Equal(want, faultLines(t, err)) {
		t.Errorf("faults %v, want %v", faultLines(t, err), want)
	}
	all, _ := done.Values.Get("all")
	for what, text := range map[string]string{"default": all.(string), "failed": strings.Join(failedLines(done.Failed), "\n")} {
		if strings.Contains(text, "hunter2") || what == "default" && strings.Count(text, action.Mask) != 4 || !strings.Contains(text, "***") {
			t.Errorf("%s: %s, want only the mask", what, text)
		}
	}
}
