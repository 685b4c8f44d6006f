package secret_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"strings"
	"testing"

	"longshore/pkg/secret"
)

const clientSecret = "0123456789abcdef0123456789abcdef and more"

// decrypt is AES-GCM from its definition (NIST SP 800-38D), as a receiver without our code has it: an
// IV that has not 12 bytes is hashed with GHASH to the first counter block, the text is CTR mode from
// the block behind that.
func decrypt(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < 32 {
		t.Fatalf("%q is no encrypted value: %v", text, err)
	}
	iv, sealed, tag := raw[:16], raw[16:len(raw)-16], raw[len(raw)-16:]
	block, err := aes.NewCipher([]byte(clientSecret)[:32])
	if err != nil {
		t.Fatal(err)
	}
	h := make([]byte, 16)
	block.Encrypt(h, h)
	multiply := func(x []byte) []byte {
		z, v := make([]byte, 16), bytes.Clone(h)
		for i := range 128 {
			if x[i/8]>>(7-i%8)&1 == 1 {
				for j := range z {
					z[j] ^= v[j]
				}
			}
			lsb := v[15] & 1
			for j := 15; j > 0; j-- {
				v[j] = v[j]>>1 | v[j-1]<<7
			}
			v[0] >>= 1
			if lsb == 1 {
				v[0] ^= 0xe1
			}
		}
		return z
	}
	ghash := func(data []byte) []byte {
		y := make([]byte, 16)
		for ; len(data) > 0; data = data[min(16, len(data)):] {
			for j, b := range data[:min(16, len(data))] {
				y[j] ^= b
			}
			y = multiply(y)
		}
		return y
	}
	length := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)*8) }
	first := ghash(append(append(bytes.Clone(iv), make([]byte, 8)...), length(len(iv))...))
	padded := append(bytes.Clone(sealed), make([]byte, (16-len(sealed)%16)%16)...)
	want := ghash(append(append(padded, length(0)...), length(len(sealed))...))
	mask := make([]byte, 16)
	block.Encrypt(mask, first)
	for i := range want {
		want[i] ^= mask[i]
	}
	if !bytes.Equal(want, tag) {
		t.Fatalf("the tag is %x, want %x", tag, want)
	}
	next := bytes.Clone(first)
	binary.BigEndian.PutUint32(next[12:], binary.BigEndian.Uint32(next[12:])+1)
	plain := make([]byte, len(sealed))
	cipher.NewCTR(block, next).XORKeyStream(plain, sealed)
	return string(plain)
}

func TestEncryptInput(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]string{
		"empty": "", "short": "hunter2", "a block": strings.Repeat("x", 16), "long": strings.Repeat("größe", 1000), "bytes": "\x00\xff\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := secret.EncryptInput(clientSecret, plain)
			if err != nil {
				t.Fatal(err)
			}
			if got := decrypt(t, text); got != plain {
				t.Errorf("decrypted to %q, want %q", got, plain)
			}
			if got, err := secret.DecryptInput(clientSecret, text); err != nil || got != plain {
				t.Errorf("DecryptInput: %q, %v, want %q", got, err, plain)
			}
			again, err := secret.EncryptInput(clientSecret, plain)
			if err != nil || again == text {
				t.Errorf("encrypted twice to the same %s, %v", again, err)
			}
		})
	}
}

func TestEncryptInputShortSecret(t *testing.T) {
	t.Parallel()
	if text, err := secret.EncryptInput(clientSecret[:31], "hunter2"); err == nil || text != "" || strings.Contains(err.Error(), clientSecret[:31]) {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestDecryptInputRefuses(t *testing.T) {
	t.Parallel()
	text, err := secret.EncryptInput(clientSecret, "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ secret, text string }{
		"another secret":   {"x" + clientSecret, text},
		"changed":          {clientSecret, "AAAA" + text[4:]},
		"cut":              {clientSecret, text[:16]},
		"no base64":        {clientSecret, "hunter2 hunter2 hunter2!"},
		"no secret at all": {"", text},
	} {
		if got, err := secret.DecryptInput(c.secret, c.text); err == nil || got != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	// Only the first 32 bytes are the key.
	if got, err := secret.DecryptInput(clientSecret[:32], text); err != nil || got != "hunter2" {
		t.Errorf("got %q, %v", got, err)
	}
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestClientKey(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	// What a client makes.
	aesKey, iv := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 12)
	sealedKey, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &private.PublicKey, aesKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	sealed := func(plain string) string {
		return encode(gcm.Seal(append(bytes.Clone(iv), sealedKey...), iv, []byte(plain), nil))
	}
	for name, text := range map[string]string{
		"PKIX": pemText("PUBLIC KEY", pkix), "PKCS #1": pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&private.PublicKey)),
	} {
		key, err := secret.ParseClientKey(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for value, want := range map[string]bool{
			sealed("hunter2"):                        true,
			sealed(""):                               true,
			"hunter2":                                false,
			"":                                       false,
			encode([]byte("hunter2")):                false,
			strings.Repeat("long text ", 100):        false,
			encode(make([]byte, 12+256+15)):          false,
			sealed("hunter2") + "\n":                 true,
			strings.TrimRight(sealed(""), "=") + "!": false,
		} {
			if got := key.Fits(value); got != want {
				t.Errorf("%s: Fits(%.40q) = %t, want %t", name, value, got, want)
			}
		}
	}
}

func TestParseClientKeyRefuses(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "no PEM": "hunter2", "half": "-----BEGIN PUBLIC KEY-----", "a curve's": pemText("PUBLIC KEY", der),
		"nothing inside": pemText("PUBLIC KEY", nil),
	} {
		if key, err := secret.ParseClientKey(text); err == nil || key != nil {
			t.Errorf("%s: got %v, %v", name, key, err)
		}
	}
}
