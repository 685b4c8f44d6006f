// Package egresstest has a name server for tests of what calls out.
package egresstest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Names answers look-ups of a test's own names.
type Names struct {
	// Silent makes it answer nothing at all.
	Silent bool

	mu      sync.Mutex
	answers map[string][][]netip.Addr
	asked   map[string]int
}

// Set says what a name resolves to: one list of addresses for each look-up of the name, the last of
// them for all that follow. A name that was not set does not exist.
func (n *Names) Set(name string, answers ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		n.answers, n.asked = map[string][][]netip.Addr{}, map[string]int{}
	}
	n.answers[name] = nil
	for _, list := range answers {
		var addrs []netip.Addr
		for _, text := range list {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		n.answers[name] = append(n.answers[name], addrs)
	}
}

// Resolver returns a resolver that asks a name server on this machine, stopped when the test ends.
func (n *Names) Resolver(t testing.TB) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		question := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			if answer := n.answer(question[:size]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp4", conn.LocalAddr().String())
		},
	}
}

const (
	typeA    = 1
	typeAAAA = 28
	nxDomain = 3
)

// answer reads a query and writes its answer: RFC 1035, section 4.1.
func (n *Names) answer(query []byte) []byte {
	if n.Silent || len(query) < 12 {
		return nil
	}
	end := 12
	var labels []string
	for end < len(query) && query[end] != 0 {
		next := end + 1 + int(query[end])
		if next > len(query) {
			return nil
		}
		labels = append(labels, string(query[end+1:next]))
		end = next
	}
	end += 5
	if end > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end-4:])
	addrs, known := n.lookUp(strings.ToLower(strings.Join(labels, ".")), kind)

	out := append([]byte(nil), query[:end]...)
	out[2], out[3] = 0x84, 0x80
	if !known {
		out[3] |= nxDomain
	}
	clear(out[6:12])
	for _, a := range addrs {
		if (kind == typeA) != a.Is4() {
			continue
		}
		out[7]++
		// A pointer to the question's name, the type, class IN, no time to live, the address.
		out = append(out, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8))
		out = append(out, a.AsSlice()...)
	}
	return out
}

func (n *Names) lookUp(name string, kind uint16) ([]netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lists, known := n.answers[name]
	if !known || kind != typeA && kind != typeAAAA || len(lists) == 0 {
		return nil, known
	}
	// Both families are asked for in one look-up, in any order.
	i := n.asked[name] / 2
	n.asked[name]++
	return lists[min(i, len(lists)-1)], true
}
