package egress_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/egress"
	"longshore/pkg/egress/egresstest"
)

// The environment names a proxy that would spoil every call of these tests if it were used.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if err := os.Setenv(name, "http://192.0.2.1:9"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// counter is a server that counts what reaches it.
func counter(t *testing.T) (port string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), requests
}

func allow(t *testing.T, text string) egress.Allow {
	t.Helper()
	a, err := egress.ParseAllow(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// call makes one call with a generous deadline.
func call(t *testing.T, c *egress.Client, method, target string) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func names() *egresstest.Names {
	var n egresstest.Names
	n.Set("target.test", []string{"127.0.0.1"})
	n.Set("other.test", []string{"127.0.0.1"})
	n.Set("private.test", []string{"10.1.2.3"})
	n.Set("metadata.test", []string{"169.254.169.254"})
	n.Set("mapped.test", []string{"::ffff:127.0.0.1"})
	n.Set("nat64.test", []string{"64:ff9b::7f00:1"})
	n.Set("both.test", []string{"10.1.2.3", "127.0.0.1"})
	n.Set("empty.test", nil)
	return &n
}

func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, host, want string }{
		{"loopback", "127.0.0.1", "127.0.0.1 is a loopback address"},
		{"loopback elsewhere in its range", "127.9.8.7", "127.9.8.7 is a loopback address"},
		{"localhost", "localhost", "localhost resolves to a loopback address"},
		{"IPv6 loopback", "[::1]", "::1 is a loopback address"},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1 is a loopback address"},
		{"IPv4 in IPv6, hexadecimal", "[::ffff:7f00:1]", "::ffff:7f00:1 is a loopback address"},
		{"IPv4-compatible IPv6", "[::127.0.0.1]", "::127.0.0.1 is a reserved address"},
		{"unspecified", "0.0.0.0", "0.0.0.0 is an unspecified address"},
		{"IPv6 unspecified", "[::]", ":: is an unspecified address"},
		{"instance metadata", "169.254.169.254", "169.254.169.254 is a link-local address"},
		{"instance metadata over IPv6", "[fd00:ec2::254]", "fd00:ec2::254 is a private address"},
		{"link-local with a zone", "[fe80::1%25lo]", "fe80::1%lo is a link-local address"},
		{"loopback with a zone", "[::1%25lo]", "::1%lo is a loopback address"},
		{"10/8", "10.0.0.1", "10.0.0.1 is a private address"},
		{"172.16/12", "172.31.255.255", "172.31.255.255 is a private address"},
		{"192.168/16", "192.168.0.1", "192.168.0.1 is a private address"},
		{"carrier-grade NAT", "100.64.0.1", "100.64.0.1 is a reserved address"},
		{"documentation", "192.0.2.1", "192.0.2.1 is a reserved address"},
		{"benchmarking", "198.18.0.1", "198.18.0.1 is a reserved address"},
		{"multicast", "224.0.0.1", "224.0.0.1 is a multicast address"},
		{"broadcast", "255.255.255.255", "255.255.255.255 is a reserved address"},
		{"NAT64 of loopback", "[64:ff9b::7f00:1]", "64:ff9b::7f00:1 is a reserved address"},
		{"NAT64 of a public address", "[64:ff9b::808:808]", "64:ff9b::808:808 is a reserved address"},
		{"6to4 of loopback", "[2002:7f00:1::]", "2002:7f00:1:: is a reserved address"},
		{"Teredo", "[2001:0:7f00:1::]", "2001:0:7f00:1:: is a reserved address"},
		{"a name of a private address", "private.test", "private.test resolves to a private address"},
		{"a name of the metadata address", "metadata.test", "metadata.test resolves to a link-local address"},
		{"a name of a mapped address", "mapped.test", "mapped.test resolves to a loopback address"},
		{"a name of a NAT64 address", "nat64.test", "nat64.test resolves to a reserved address"},
		{"a name of two refused addresses", "both.test", ""},
	}
	port, requests := counter(t)
	client := egress.New(egress.Config{Resolver: names().Resolver(t)})
	t.Cleanup(client.Close)
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				_, err := call(t, client, http.MethodPost, "http://"+c.host+":"+port+"/")
				var e *egress.Error
				if !errors.As(err, &e) || !e.Refused {
					t.Fatalf("error = %v, want a refusal", err)
				}
				if want := "refused by the egress guard: " + c.want; !strings.HasPrefix(e.Error(), want) {
					t.Errorf("error = %q, want %q", e, want)
				}
			})
		}
	})
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reached the server, want 0", n)
	}
}

// Old spellings of an IPv4 address are names to our resolver. Whatever the system's one makes of
// them, they must not lead to this machine.
func TestGuardStopsEncodedAddresses(t *testing.T) {
	t.Parallel()
	port, requests := counter(t)
	client := egress.New(egress.Config{Resolver: names().Resolver(t)})
	t.Cleanup(client.Close)
	for _, host := range []string{"2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.⓪.⓪.①"} {
		req := &http.Request{
			Method: http.MethodPost, Header: http.Header{},
			URL: &url.URL{Scheme: "http", Host: host + ":" + port, Path: "/"},
		}
		resp, err := client.Do(req.WithContext(t.Context()))
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was called", host)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests reached the server, want 0", n)
	}
}

func TestGuardAllows(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, list, host string
		want             bool
	}{
		{"address", "127.0.0.1", "127.0.0.1", true},
		{"address by a name", "127.0.0.1", "target.test", true},
		{"address in its mapped form", "127.0.0.1", "[::ffff:127.0.0.1]", true},
		{"range", "127.0.0.0/8", "target.test", true},
		{"everything of IPv4", "0.0.0.0/0", "target.test", true},
		{"another range", "10.0.0.0/8", "target.test", false},
		{"name", "target.test", "target.test", true},
		{"name in capitals", "TARGET.test", "Target.TEST", true},
		{"name with a final dot", "target.test", "target.test.", true},
		{"another name of the same address", "other.test", "target.test", false},
		{"the address of a listed name", "target.test", "127.0.0.1", false},
		{"a name under the listed one", "test", "target.test", false},
		{"name and port", "target.test:PORT", "target.test", true},
		{"name and another port", "target.test:1", "target.test", false},
		{"address and port", "127.0.0.1:PORT", "target.test", true},
		{"address and another port", "127.0.0.1:1", "target.test", false},
		{"one of several entries", "10.0.0.0/8,target.test,fd00::/8", "target.test", true},
		{"one of a name's addresses", "127.0.0.1", "both.test", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			port, requests := counter(t)
			client := egress.New(egress.Config{
				Allow:    allow(t, strings.ReplaceAll(c.list, "PORT", port)),
				Resolver: names().Resolver(t),
			})
			t.Cleanup(client.Close)
			_, err := call(t, client, http.MethodPost, "http://"+c.host+":"+port+"/")
			if got := err == nil; got != c.want {
				t.Errorf("allowed = %v (%v), want %v", got, err, c.want)
			}
			if got := requests.Load() == 1; got != c.want {
				t.Errorf("reached the server = %v, want %v", got, c.want)
			}
		})
	}
}

func TestGuardChecksWhatLiesBehindNAT64(t *testing.T) {
	t.Parallel()
	client := egress.New(egress.Config{Allow: allow(t, "64:ff9b::/96")})
	t.Cleanup(client.Close)
	for _, host := range []string{"[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::a00:1]"} {
		_, err := call(t, client, http.MethodPost, "http://"+host+"/")
		var e *egress.Error
		if !errors.As(err, &e) || !e.Refused {
			t.Errorf("%s: error = %v, want a refusal", host, err)
		}
	}
}

// A name that leads to an allowed address first and to another one later (DNS rebinding) is looked
// at each time that a connection is made.
func TestGuardChecksEveryConnection(t *testing.T) {
	t.Parallel()
	var n egresstest.Names
	n.Set("flip.test", []string{"127.0.0.1"}, []string{"127.0.0.2"})
	var requests atomic.Int64
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }),
	}}
	server.Start()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	client := egress.New(egress.Config{Allow: allow(t, "127.0.0.1"), Resolver: n.Resolver(t)})
	t.Cleanup(client.Close)
	if _, err := call(t, client, http.MethodPost, "http://flip.test:"+port+"/"); err != nil {
		t.Fatalf("first call: %v", err)
	}
	client.Close()
	_, err = call(t, client, http.MethodPost, "http://flip.test:"+port+"/")
	var e *egress.Error
	if !errors.As(err, &e) || !e.Refused {
		t.Errorf("second call: error = %v, want a refusal", err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests reached the server, want 1", n)
	}
}

// Where some addresses of a name are refused and the others do not answer, the next try may find
// one that does.
func TestGuardRefusalIsNotFinalBesideAnAllowedAddress(t *testing.T) {
	t.Parallel()
	var n egresstest.Names
	n.Set("a.test", []string{"10.1.2.3", "127.0.0.1"})
	n.Set("b.test", []string{"127.0.0.1", "10.1.2.3"})
	client := egress.New(egress.Config{Allow: egress.Loopback(), Resolver: n.Resolver(t)})
	t.Cleanup(client.Close)
	for _, host := range []string{"a.test", "b.test"} {
		_, err := call(t, client, http.MethodPost, "http://"+host+":1/")
		var e *egress.Error
		if !errors.As(err, &e) || e.Refused {
			t.Errorf("%s: error = %v, want one that is no refusal", host, err)
		}
	}
}
