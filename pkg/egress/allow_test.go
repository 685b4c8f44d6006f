package egress_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/egress"
	"longshore/pkg/fault"
)

func TestParseAllowReads(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		" , ,":                               "",
		"10.0.0.0/8":                         "10.0.0.0/8",
		"0.0.0.0/0":                          "0.0.0.0/0",
		" 10.0.0.0/8 , fd00::/8,":            "10.0.0.0/8,fd00::/8",
		"127.0.0.1":                          "127.0.0.1/32",
		"127.0.0.1:8080":                     "127.0.0.1:8080",
		"::1":                                "::1/128",
		"[::1]":                              "::1/128",
		"[fd00::1]:8443":                     "[fd00::1]:8443",
		"::ffff:10.1.2.3":                    "10.1.2.3/32",
		"Internal.Example.COM.":              "internal.example.com",
		"internal.example.com:8443":          "internal.example.com:8443",
		"receiver":                           "receiver",
		"my_service.local":                   "my_service.local",
		"3com":                               "3com",
		"xn--bcher-kva.example":              "xn--bcher-kva.example",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
	} {
		a, err := egress.ParseAllow(text)
		if err != nil {
			t.Errorf("ParseAllow(%q): %v", text, err)
			continue
		}
		if got := a.String(); got != want {
			t.Errorf("ParseAllow(%q) = %q, want %q", text, got, want)
		}
		again, err := egress.ParseAllow(a.String())
		if err != nil || again.String() != want {
			t.Errorf("its own text %q is read as %q, %v", want, again, err)
		}
	}
	if got, want := egress.Loopback().String(), "127.0.0.0/8,::1/128"; got != want {
		t.Errorf("Loopback() = %q, want %q", got, want)
	}
}

func TestParseAllowRefuses(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"https://example.com":             "is a URL; give its host, or host:port",
		"*.example.com":                   "has a wildcard; give each host, or the CIDR of their addresses",
		"*":                               "has a wildcard; give each host, or the CIDR of their addresses",
		"10.0.0.0/33":                     "is no CIDR such as 10.0.0.0/8 or fd00::/8",
		"10.0.0.0/8:80":                   "is no CIDR such as 10.0.0.0/8 or fd00::/8",
		"example.com/path":                "is no CIDR such as 10.0.0.0/8 or fd00::/8",
		"fe80::%eth0/10":                  "is no CIDR such as 10.0.0.0/8 or fd00::/8",
		"10.1.2.3/8":                      "has bits set beyond its length; 10.0.0.0/8 is the range, 10.1.2.3/32 the address",
		"::ffff:10.0.0.0/104":             "is an IPv4 range in IPv6's form; write it as IPv4",
		"fe80::1%eth0":                    "has a zone; leave it out",
		"example.com:":                    "has no port between 1 and 65535 after its colon",
		"example.com:0":                   "has no port between 1 and 65535 after its colon",
		"127.0.0.1:0":                     "has no port between 1 and 65535 after its colon",
		"example.com:65536":               "has no port between 1 and 65535 after its colon",
		"example.com:http":                "has no port between 1 and 65535 after its colon",
		":80":                             "is no host name, address or CIDR",
		".":                               "is no host name, address or CIDR",
		"a..b":                            "is no host name, address or CIDR",
		"user@example.com":                "is no host name, address or CIDR",
		"two words":                       "is no host name, address or CIDR",
		"a\x00b":                          "is no host name, address or CIDR",
		"bücher.example":                  "is not ASCII; give the name in its xn-- form",
		"127.1":                           "is no host name; write an IPv4 address with its four decimal numbers",
		"0x7f000001":                      "is no host name; write an IPv4 address with its four decimal numbers",
		"0177.0.0.01":                     "is no host name; write an IPv4 address with its four decimal numbers",
		"10.0.0.089":                      "is no host name; write an IPv4 address with its four decimal numbers",
		"99999999999999999999999999":      "is no host name; write an IPv4 address with its four decimal numbers",
		strings.Repeat("a", 64) + ".com":  "is no host name, address or CIDR",
		strings.Repeat("a.", 127) + "com": "is longer than a host name can be",
	} {
		_, err := egress.ParseAllow(entry)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Details) != 1 {
			t.Errorf("ParseAllow(%q) = %v, want one invalid entry", entry, err)
			continue
		}
		if got := f.Message[strings.LastIndexByte(f.Message, '"')+2:]; got != want {
			t.Errorf("ParseAllow(%q): %q, want %q", entry, got, want)
		}
	}
}

func TestParseAllowReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := egress.ParseAllow("10.0.0.0/99, good.example, http://x, 127.1")
	want := strings.Join([]string{
		`egress allow list: "10.0.0.0/99" is no CIDR such as 10.0.0.0/8 or fd00::/8`,
		`egress allow list: "http://x" is a URL; give its host, or host:port`,
		`egress allow list: "127.1" is no host name; write an IPv4 address with its four decimal numbers`,
	}, "\n")
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}
