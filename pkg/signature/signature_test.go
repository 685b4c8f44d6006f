package signature_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/signature"
)

const (
	secret = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
	older  = "an-older-client-secret-of-40-characters!"
	runID  = "r_0123456789abcdef"
)

var sentAt = time.Unix(1700000000, 999)

// The signatures were computed with Python's hmac, hashlib and base64.
var known = []struct {
	name, body, port, standard, standardOlder string
}{
	{
		"object", `{"name":"a","n":1}`,
		"v1,yuzvplfuYUb652UlbpVRQD/3TR2VpkomIwD/yNU4yKI=",
		"v1,ImzzIvEwpATVmI9XfbWgHl0laTpvyNJcFkXOOFlmxFE=",
		"v1,jqYJne9rJEj4v6aDRqVtmPQpT7OA+kvbrNyh7mFW1rY=",
	},
	{
		"no body", "",
		"v1,AQ8yFylssCLYMzoPiZsnS+4XVZGZfbZOECYYuiTXOog=",
		"v1,0viF+QAl/TlRiaiZRGoIO+7Wiw3gCRNazNgTG/JpCtU=",
		"v1,S2uq4bL5JnApv7fbqyFuoYlnnYIwSbmJ0uzZqgyiFho=",
	},
	{
		"beyond ASCII", "{\"ü\":\"\u2028 日本\"}",
		"v1,AGT84oxoNpX2U91QHc1D/fMk3+vkiHE9aW6jFG8/5Io=",
		"v1,CxuueQ3fx4v1huhlIDvLK/rN6h4OdsIpwa95DcHVq9o=",
		"v1,cI8f/wiKbfyQs3EFSAxRMJ5IppCWXm4sEDAuLQ1uk18=",
	},
	{
		"bytes that are no text", "\x00\xff\xfe\n\r",
		"v1,5zHX5A+Ca68gVn749tyshNBb4FVy20U4tRNkAfNgEiM=",
		"v1,Y8G2Z7ONfOLtNPFxxlr8pQYAXvv35+SvBx6l9Uu+0lM=",
		"v1,AC4WaYu4FCuR54oLfd8ZqKlGQgyoYWnX0hiSb1Yz+aI=",
	},
	{
		"a body that looks like what is signed", "1700000000.",
		"v1,6G33bLvbBVQxq8yGey4kMkje9vAMz6zifBDOEWe4CFM=",
		"v1,srGYBeLhuGZZwS2vrkllqp3sOKd6ymgFFaRc0TrNKbw=",
		"v1,tKXvXlifJTZ0DD92x8IW2kXs5/Vwz7Q2vv+H/TBipm8=",
	},
}

func TestSetKnownAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range known {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := http.Header{}
			if err := signature.Set(got, signature.Secrets{Current: secret}, runID, sentAt, []byte(c.body)); err != nil {
				t.Fatal(err)
			}
			want := http.Header{
				"X-Port-Timestamp":  {"1700000000"},
				"X-Port-Signature":  {c.port},
				"Webhook-Id":        {runID},
				"Webhook-Timestamp": {"1700000000"},
				"Webhook-Signature": {c.standard},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetSignsWithBothSecretsDuringRotation(t *testing.T) {
	t.Parallel()
	for _, c := range known {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			both := signature.Secrets{Current: secret, Previous: older}
			if err := signature.Set(h, both, runID, sentAt, []byte(c.body)); err != nil {
				t.Fatal(err)
			}
			if got, want := h.Get(signature.StandardSignature), c.standard+" "+c.standardOlder; got != want {
				t.Errorf("webhook-signature = %q, want %q", got, want)
			}
			if got, want := h.Get(signature.PortSignature), c.port; got != want {
				t.Errorf("x-port-signature = %q, want %q", got, want)
			}
			for _, s := range []string{secret, older} {
				if err := signature.VerifyStandard(h, s, []byte(c.body), signature.Check{}); err != nil {
					t.Errorf("verify with one of two secrets: %v", err)
				}
			}
		})
	}
}

func TestSetSignsOnceWithTheSameSecretTwice(t *testing.T) {
	t.Parallel()
	h := http.Header{"Webhook-Signature": {"v1,forged", "v1,again"}, "X-Port-Signature": {"v1,forged"}}
	err := signature.Set(h, signature.Secrets{Current: secret, Previous: secret}, runID, sentAt, []byte(known[0].body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{known[0].standard}, h.Values(signature.StandardSignature)); diff != "" {
		t.Errorf("webhook-signature (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{known[0].port}, h.Values(signature.PortSignature)); diff != "" {
		t.Errorf("x-port-signature (-want +got):\n%s", diff)
	}
}

// The example of the Standard Webhooks specification, whose secret is given encoded: it checks that
// what we call a client secret is what the specification calls the key's bytes.
func TestStandardWebhooksPublishedExample(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	key := "1\xf2\x90\xf6\xbf\x06\x29\x8a\xab\x4f\x08\xd4\x3c\x3f\x08\x2c\xf6\x48\xa3\x62\xda\x2d\xa4\xb0"
	err := signature.Set(h, signature.Secrets{Current: key}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := signature.StandardSecret(key), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"; got != want {
		t.Errorf("secret = %q, want %q", got, want)
	}
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("webhook-signature = %q, want %q", got, want)
	}
}

func TestSetRefusesAnEmptySecret(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	err := signature.Set(h, signature.Secrets{Previous: older}, runID, sentAt, nil)
	if !errors.Is(err, signature.ErrNoSecret) {
		t.Errorf("error = %v, want ErrNoSecret", err)
	}
	if len(h) != 0 {
		t.Errorf("headers = %v, want none", h)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	body := []byte(known[0].body)
	signed := func(change func(http.Header)) http.Header {
		h := http.Header{}
		if err := signature.Set(h, signature.Secrets{Current: secret}, runID, sentAt, body); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(h)
		}
		return h
	}
	both := func(names []string, value string) func(http.Header) {
		return func(h http.Header) {
			for _, name := range names {
				h.Set(name, value)
			}
		}
	}
	signatures := []string{signature.PortSignature, signature.StandardSignature}
	timestamps := []string{signature.PortTimestamp, signature.StandardTimestamp}
	minute := func(after time.Duration) signature.Check {
		return signature.Check{Now: sentAt.Add(after), Tolerance: time.Minute}
	}
	cases := []struct {
		name   string
		header http.Header
		secret string
		body   []byte
		check  signature.Check
		want   error
	}{
		{"right", signed(nil), secret, body, signature.Check{}, nil},
		{"another secret", signed(nil), older, body, signature.Check{}, signature.ErrMismatch},
		{"no secret", signed(nil), "", body, signature.Check{}, signature.ErrNoSecret},
		{"another body", signed(nil), secret, []byte("{}"), signature.Check{}, signature.ErrMismatch},
		{"no body", signed(nil), secret, nil, signature.Check{}, signature.ErrMismatch},
		{"another timestamp", signed(both(timestamps, "1700000001")), secret, body, signature.Check{}, signature.ErrMismatch},
		{"no signature", signed(both(signatures, "")), secret, body, signature.Check{}, signature.ErrMissing},
		{"no timestamp", signed(both(timestamps, "")), secret, body, signature.Check{}, signature.ErrMissing},
		{"nothing", http.Header{}, secret, body, signature.Check{}, signature.ErrMissing},
		{"a cut signature", signed(both(signatures, "v1,yuzv")), secret, body, signature.Check{}, signature.ErrMismatch},
		{"a signature without version", signed(both(signatures, strings.TrimPrefix(known[0].port, "v1,"))), secret, body, signature.Check{}, signature.ErrMismatch},
		{"a timestamp that is no number", signed(both(timestamps, "yesterday")), secret, body, signature.Check{}, signature.ErrTimestamp},
		{"a timestamp with a fraction", signed(both(timestamps, "1700000000.0")), secret, body, signature.Check{}, signature.ErrTimestamp},
		{"old, any accepted", signed(nil), secret, body, signature.Check{Now: sentAt.Add(1000 * time.Hour)}, nil},
		{"at the tolerance", signed(nil), secret, body, minute(time.Minute), nil},
		{"beyond the tolerance", signed(nil), secret, body, minute(time.Minute + time.Second), signature.ErrTolerance},
		{"from the future, within", signed(nil), secret, body, minute(-59 * time.Second), nil},
		{"from the future, beyond", signed(nil), secret, body, minute(-61 * time.Second), signature.ErrTolerance},
		{"a timestamp at the end of time", signed(both(timestamps, "9223372036854775807")), secret, body, minute(0), signature.ErrTolerance},
		{"a timestamp before all time", signed(both(timestamps, "-9223372036854775808")), secret, body, minute(0), signature.ErrTolerance},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := signature.VerifyPort(c.header, c.secret, c.body, c.check); !errors.Is(got, c.want) {
				t.Errorf("VerifyPort = %v, want %v", got, c.want)
			}
			if got := signature.VerifyStandard(c.header, c.secret, c.body, c.check); !errors.Is(got, c.want) {
				t.Errorf("VerifyStandard = %v, want %v", got, c.want)
			}
		})
	}
}

func TestVerifyStandardBindsTheID(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{"r_fedcba9876543210": signature.ErrMismatch, "": signature.ErrMissing} {
		h := http.Header{}
		if err := signature.Set(h, signature.Secrets{Current: secret}, runID, sentAt, nil); err != nil {
			t.Fatal(err)
		}
		h.Set(signature.StandardID, name)
		if got := signature.VerifyStandard(h, secret, nil, signature.Check{}); !errors.Is(got, want) {
			t.Errorf("id %q: %v, want %v", name, got, want)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	body := []byte(strings.Repeat("0123456789abcdef", 256))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		h := http.Header{}
		if err := signature.Set(h, signature.Secrets{Current: secret}, runID, sentAt, body); err != nil {
			b.Fatal(err)
		}
	}
}
