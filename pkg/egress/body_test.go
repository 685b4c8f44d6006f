package egress_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/pkg/egress"
)

func TestBodyErrors(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	address := func(end func(*net.TCPConn)) string {
		return raw(t, func(_ int64, c *net.TCPConn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
			end(c)
		})
	}
	for name, c := range map[string]struct {
		end  func(*net.TCPConn)
		want string
	}{
		"closed": {func(*net.TCPConn) {}, "broke off in the middle of its answer"},
		"slow":   {func(*net.TCPConn) { <-hold }, "did not finish its answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := address(c.end)
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			if name == "closed" {
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			}
			defer cancel()
			resp, err := loopback(t, nil).Do(request(t, http.MethodPost, "http://"+host+"/", "{}").WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, _, err := egress.ReadUpTo(resp.Body, 100)
			var e *egress.Error
			if !errors.As(err, &e) || e.Error() != host+" "+c.want {
				t.Errorf("error = %v, want %s %s", err, host, c.want)
			}
			if string(got) != "half " {
				t.Errorf("read %q, want what had come", got)
			}
		})
	}
}

func TestReadUpTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		limit int64
		want  string
		more  bool
	}{
		{"", 3, "", false},
		{"ab", 3, "ab", false},
		{"abc", 3, "abc", false},
		{"abcd", 3, "abc", true},
		{"abcd", 0, "", true},
	} {
		got, more, err := egress.ReadUpTo(strings.NewReader(c.text), c.limit)
		if string(got) != c.want || more != c.more || err != nil {
			t.Errorf("ReadUpTo(%q, %d) = %q, %v, %v; want %q, %v", c.text, c.limit, got, more, err, c.want, c.more)
		}
	}
}
