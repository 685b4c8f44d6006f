package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"longshore/pkg/fault"
)

// Allow lists what may be called although it is loopback, link-local, private or reserved. The zero
// value lists nothing. An Allow is immutable.
type Allow struct {
	rules []rule
}

// rule allows a host or a prefix, at one port or at all (0).
type rule struct {
	host   string
	prefix netip.Prefix
	port   uint16
}

// ParseAllow reads a comma-separated list; an empty text is an empty list. An entry is
//
//   - a host name, as internal.example.com: any address that this very name resolves to;
//   - an address, as 10.1.2.3 or fd00::1: that address, whatever name leads to it;
//   - either with a port, as internal.example.com:8443 or [fd00::1]:8443: at that port only;
//   - a CIDR, as 10.0.0.0/8.
//
// It returns a fault.Invalid with a detail for each entry that is none of these.
func ParseAllow(text string) (Allow, error) {
	var a Allow
	var faults []fault.Detail
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		r, err := parseRule(entry)
		if err != nil {
			faults = append(faults, fault.Detail{Message: fmt.Sprintf("egress allow list: %q %v", entry, err)})
			continue
		}
		a.rules = append(a.rules, r)
	}
	return a, fault.InvalidDetails(faults)
}

// Loopback lists this machine's own addresses, 127.0.0.0/8 and ::1: the default of the local
// process, and of nothing else.
func Loopback() Allow {
	return Allow{rules: []rule{
		{prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)},
		{prefix: netip.PrefixFrom(netip.IPv6Loopback(), 128)},
	}}
}

// With returns a list of all that a and others list.
func (a Allow) With(others ...Allow) Allow {
	rules := slices.Clone(a.rules)
	for _, other := range others {
		rules = append(rules, other.rules...)
	}
	return Allow{rules: rules}
}

// Host lists the host that an operator configured by its URL, whatever it resolves to, at the URL's port.
// A text that is no URL, the empty one too, lists nothing.
func Host(text string) Allow {
	u, err := url.Parse(text)
	if err != nil {
		return Allow{}
	}
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	r, err := parseRule(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return Allow{}
	}
	return Allow{rules: []rule{r}}
}

// String returns the list as ParseAllow reads it.
func (a Allow) String() string {
	entries := make([]string, len(a.rules))
	for i, r := range a.rules {
		entries[i] = r.String()
	}
	return strings.Join(entries, ",")
}

func (r rule) String() string {
	name := r.host
	if name == "" {
		if r.port == 0 {
			return r.prefix.String()
		}
		name = r.prefix.Addr().String()
	}
	if r.port == 0 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(int(r.port)))
}

func parseRule(entry string) (rule, error) {
	switch {
	case strings.Contains(entry, "://"):
		return rule{}, errors.New("is a URL; give its host, or host:port")
	case strings.Contains(entry, "*"):
		return rule{}, errors.New("has a wildcard; give each host, or the CIDR of their addresses")
	case strings.Contains(entry, "/"):
		return parseCIDR(entry)
	}
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]")); err == nil {
		return addressRule(addr, 0)
	}
	if ap, err := netip.ParseAddrPort(entry); err == nil {
		if ap.Port() == 0 {
			return rule{}, errors.New("has no port between 1 and 65535 after its colon")
		}
		return addressRule(ap.Addr(), ap.Port())
	}
	host, port := entry, uint64(0)
	if i := strings.LastIndexByte(entry, ':'); i >= 0 {
		var err error
		if port, err = strconv.ParseUint(entry[i+1:], 10, 16); err != nil || port == 0 {
			return rule{}, errors.New("has no port between 1 and 65535 after its colon")
		}
		host = entry[:i]
	}
	host = foldHost(host)
	if err := checkName(host); err != nil {
		return rule{}, err
	}
	return rule{host: host, port: uint16(port)}, nil
}

func parseCIDR(entry string) (rule, error) {
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		return rule{}, errors.New("is no CIDR such as 10.0.0.0/8 or fd00::/8")
	}
	if p.Addr().Is4In6() {
		return rule{}, errors.New("is an IPv4 range in IPv6's form; write it as IPv4")
	}
	if p != p.Masked() {
		return rule{}, fmt.Errorf("has bits set beyond its length; %v is the range, %v/%d the address",
			p.Masked(), p.Addr(), p.Addr().BitLen())
	}
	return rule{prefix: p}, nil
}

func addressRule(addr netip.Addr, port uint16) (rule, error) {
	if addr.Zone() != "" {
		return rule{}, errors.New("has a zone; leave it out")
	}
	addr = addr.Unmap()
	return rule{prefix: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
}

// checkName refuses what no resolver finds, and the old ways to write an IPv4 address (127.1,
// 0x7f000001), which some resolvers read as one: RFC 1123, section 2.1.
func checkName(host string) error {
	if len(host) > 253 {
		return errors.New("is longer than a host name can be")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("is no host name, address or CIDR")
		}
		for _, c := range label {
			switch {
			case c >= 0x80:
				return errors.New("is not ASCII; give the name in its xn-- form")
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			default:
				return errors.New("is no host name, address or CIDR")
			}
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	for _, base := range []int{0, 10} {
		if _, err := strconv.ParseUint(last, base, 64); !errors.Is(err, strconv.ErrSyntax) {
			return errors.New("is no host name; write an IPv4 address with its four decimal numbers")
		}
	}
	return nil
}

// foldHost makes spellings of one name equal.
func foldHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// host reports whether the name is allowed, whatever it resolves to.
func (a Allow) host(name string, port uint16) bool {
	name = foldHost(name)
	for _, r := range a.rules {
		if r.host != "" && r.host == name && (r.port == 0 || r.port == port) {
			return true
		}
	}
	return false
}

// address reports whether the address is allowed, whatever name led to it.
func (a Allow) address(ap netip.AddrPort) bool {
	addr := ap.Addr().Unmap().WithZone("")
	for _, r := range a.rules {
		if r.host == "" && r.prefix.Contains(addr) && (r.port == 0 || r.port == ap.Port()) {
			return true
		}
	}
	return false
}
