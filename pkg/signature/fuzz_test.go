package signature_test

import (
	"net/http"
	"testing"
	"time"

	"longshore/pkg/signature"
)

// Nothing but the holder's own signature is taken, and nothing that is sent makes a check panic.
func FuzzVerify(f *testing.F) {
	const secret = "the-secret-that-nobody-but-the-holder-has"
	f.Add("1700000000", "v1,AAAA", "r_1", []byte(`{}`))
	f.Add("", "v1,", "", []byte(nil))
	f.Add("-1", "v1,x v1a,y", "r_1", []byte("a"))
	f.Add("1700000000", "sha256=00", "\x00", []byte{0xff})
	f.Fuzz(func(t *testing.T, timestamp, given, id string, body []byte) {
		forged := http.Header{
			signature.PortTimestamp: {timestamp}, signature.PortSignature: {given}, signature.StandardID: {id},
			signature.StandardTimestamp: {timestamp}, signature.StandardSignature: {given}, "X-Hub-Signature-256": {given},
		}
		if signature.VerifyPort(forged, secret, body, signature.Check{}) == nil ||
			signature.VerifyStandard(forged, secret, body, signature.Check{}) == nil ||
			signature.VerifyGitHub(forged, signature.Secrets{Current: secret}, body) == nil {
			t.Fatalf("%q over %q was taken for a signature", given, body)
		}
		signed := http.Header{}
		if err := signature.Set(signed, signature.Secrets{Current: secret}, "r_1", time.Unix(1_700_000_000, 0), body); err != nil {
			t.Fatal(err)
		}
		if err := signature.VerifyPort(signed, secret, body, signature.Check{}); err != nil {
			t.Fatalf("our own signature: %v", err)
		}
		if err := signature.VerifyStandard(signed, secret, append(body, 'x'), signature.Check{}); err == nil {
			t.Fatal("a signature was taken for another body's")
		}
	})
}
