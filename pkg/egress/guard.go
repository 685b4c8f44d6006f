package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"code.dny.dev/ssrf"
)

// guard opens connections. It looks at the address that a socket is about to connect to, so neither
// a spelling nor a second answer of the name server leads past it.
type guard struct {
	allow  Allow
	public *ssrf.Guardian
	dialer net.Dialer
}

// refusal is why no connection was tried.
type refusal struct {
	reason string
}

func (r *refusal) Error() string { return "refused by the egress guard: " + r.reason }

// errUnreachable stands for several addresses of a name, of which some were refused and the others
// did not answer.
var errUnreachable = errors.New("no address of the host can be reached")

func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split host and port: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &refusal{reason: "the URL's port is not a number between 0 and 65535"}
	}
	dialer := g.dialer
	if g.allow.host(host, uint16(port)) {
		return dialer.DialContext(ctx, network, address)
	}

	// The dialer tries the addresses of a name in turn and two families at once; the first error
	// is the one that it reports, whatever the others came to.
	var mu sync.Mutex
	var refused *refusal
	tried := false
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		r := g.check(host, address)
		mu.Lock()
		defer mu.Unlock()
		if r == nil {
			tried = true
			return nil
		}
		refused = r
		return r
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	mu.Lock()
	defer mu.Unlock()
	var r *refusal
	switch {
	case refused != nil && !tried:
		return nil, refused
	case errors.As(err, &r):
		return nil, errUnreachable
	}
	return nil, err
}

// check returns nil for an address that may be called.
func (g *guard) check(host, address string) *refusal {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusal{reason: host + " has an address that cannot be read"}
	}
	addr := ap.Addr().Unmap()
	if err := g.safe(netip.AddrPortFrom(addr, ap.Port())); err == nil {
		return nil
	}
	verb := "resolves to"
	if _, err := netip.ParseAddr(host); err == nil {
		verb = "is"
	}
	return &refusal{reason: fmt.Sprintf("%s %s %s address", host, verb, class(addr))}
}

func (g *guard) safe(ap netip.AddrPort) error {
	addr := ap.Addr()
	if ssrf.IPv6NAT64Prefix.Contains(addr) && g.allow.address(ap) {
		// RFC 6052, section 2.2: the last four bytes are the IPv4 address that the gateway calls.
		// To allow the gateway is not to allow whatever lies behind it.
		sixteen := addr.As16()
		return g.safe(netip.AddrPortFrom(netip.AddrFrom4([4]byte(sixteen[12:])), ap.Port()))
	}
	if g.allow.address(ap) {
		return nil
	}
	return g.public.SafeAddr(addr)
}

// class names what an address that is not public is, with its article, for people.
func class(addr netip.Addr) string {
	switch {
	case addr.IsLoopback():
		return "a loopback"
	case addr.IsPrivate():
		return "a private"
	case addr.IsLinkLocalUnicast():
		return "a link-local"
	case addr.IsMulticast():
		return "a multicast"
	case addr.IsUnspecified():
		return "an unspecified"
	}
	return "a reserved"
}
