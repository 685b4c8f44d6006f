package trace_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/trace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// The cases are those of W3C's own test suite of Trace Context.
func TestTraceparent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in, want string
	}{
		"as it should be":            {parent, parent},
		"not sampled":                {"00-" + traceID + "-" + spanID + "-00", "00-" + traceID + "-" + spanID + "-00"},
		"unknown flags":              {"00-" + traceID + "-" + spanID + "-ff", parent},
		"unknown flags, not sampled": {"00-" + traceID + "-" + spanID + "-fe", "00-" + traceID + "-" + spanID + "-00"},
		"a later version":            {"cc-" + traceID + "-" + spanID + "-01", parent},
		"a later version with more":  {"cc-" + traceID + "-" + spanID + "-01-what-the-future-will-be-like", parent},
		"later, not behind a dash":   {"cc-" + traceID + "-" + spanID + "-01.what", ""},
		"later, a dash only":         {"cc-" + traceID + "-" + spanID + "-01-", parent},
		"version ff":                 {"ff-" + traceID + "-" + spanID + "-01", ""},
		"00 with more":               {parent + "-what", ""},
		"00 with a dash":             {parent + "-", ""},
		"version of one digit":       {"0-" + traceID + "-" + spanID + "-01", ""},
		"version no hexadecimal":     {".0-" + traceID + "-" + spanID + "-01", ""},
		"version of three digits":    {"000-" + traceID + "-" + spanID + "-01", ""},
		"trace id zero":              {"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", ""},
		"trace id too long":          {"00-" + traceID + "0-" + spanID + "-01", ""},
		"trace id too short":         {"00-" + traceID[1:] + "-" + spanID + "-01", ""},
		"trace id in upper case":     {"00-" + strings.ToUpper(traceID) + "-" + spanID + "-01", ""},
		"trace id no hexadecimal":    {"00-." + traceID[1:] + "-" + spanID + "-01", ""},
		"parent id zero":             {"00-" + traceID + "-0000000000000000-01", ""},
		"parent id too short":        {"00-" + traceID + "-" + spanID[1:] + "-01", ""},
		"parent id in upper case":    {"00-" + traceID + "-" + strings.ToUpper(spanID) + "-01", ""},
		"flags too short":            {"00-" + traceID + "-" + spanID + "-1", ""},
		"flags too long":             {"00-" + traceID + "-" + spanID + "-001", ""},
		"flags no hexadecimal":       {"00-" + traceID + "-" + spanID + "-.0", ""},
		"empty":                      {"", ""},
		"dashes only":                {strings.Repeat("-", 55), ""},
		"underscores":                {strings.ReplaceAll(parent, "-", "_"), ""},
		"not ASCII":                  {"00-" + strings.Repeat("é", 16) + "-" + spanID + "-01", ""},
		"a line break":               {parent + "\r\nX-Evil: 1", ""},
		"very long":                  {strings.Repeat(parent, 1000), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, ok := trace.Parse(tt.in, "")
			if got := c.Traceparent(); got != tt.want || ok != (tt.want != "") {
				t.Errorf("Parse(%q) = %q, %v, want %q", tt.in, got, ok, tt.want)
			}
		})
	}
}

func TestTracestate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("v", 200)
	members := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, "k"+strings.Repeat("x", i)+"=1")
		}
		return strings.Join(all, ",")
	}
	tests := map[string]struct {
		in   []string
		want string
	}{
		"one":                       {[]string{"foo=1"}, "foo=1"},
		"several headers":           {[]string{"foo=1,bar=2", "rojo=1"}, "foo=1,bar=2,rojo=1"},
		"blanks and empty ones":     {[]string{"foo=1 ,\t bar=2, ,,"}, "foo=1,bar=2"},
		"a tenant":                  {[]string{"0t@v-*/_=a b"}, "0t@v-*/_=a b"},
		"32 members":                {[]string{members(20)}, members(20)},
		"33 members":                {[]string{members(33)}, ""},
		"twice the same":            {[]string{"foo=1,foo=1"}, ""},
		"no value":                  {[]string{"foo="}, ""},
		"no equals sign":            {[]string{"foo"}, ""},
		"two equals signs":          {[]string{"foo=1=2"}, ""},
		"an upper case key":         {[]string{"Foo=1"}, ""},
		"a key that begins with 1":  {[]string{"1foo=1"}, ""},
		"a long system":             {[]string{"t@" + strings.Repeat("v", 15) + "=1"}, ""},
		"two tenants":               {[]string{"foo@@bar=1,bar=2"}, ""},
		"not ASCII":                 {[]string{"foo=é"}, ""},
		"a line break":              {[]string{"foo=1\nbar"}, ""},
		"a key of 257":              {[]string{strings.Repeat("z", 257) + "=1"}, ""},
		"a value of 257":            {[]string{"t=" + strings.Repeat("v", 257)}, ""},
		"too long: long ones first": {[]string{"a=" + long + ",b=1,c=" + long + ",d=" + long}, "a=" + long + ",b=1,c=" + long},
		"endless":                   {[]string{strings.Repeat("a=1,", 100_000)}, ""},
		"nothing":                   {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, ok := trace.FromHeader(http.Header{"Traceparent": {parent}, "Tracestate": tt.in})
			if !ok || c.Traceparent() != parent {
				t.Fatalf("the traceparent was lost: %q, %v", c.Traceparent(), ok)
			}
			if diff := cmp.Diff(tt.want, c.State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if len(c.State) > trace.MaxState {
				t.Errorf("state of %d bytes", len(c.State))
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	if _, ok := trace.FromHeader(http.Header{"Traceparent": {parent, parent}}); ok {
		t.Error("two traceparents were taken for one")
	}
	c, ok := trace.FromHeader(http.Header{"Traceparent": {" " + parent + "\t"}, "Tracestate": {"foo=1"}})
	if !ok {
		t.Fatal("blanks around a traceparent made it none")
	}
	h := http.Header{}
	c.Set(h)
	if diff := cmp.Diff(http.Header{"Traceparent": {parent}, "Tracestate": {"foo=1"}}, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	for _, name := range []string{"Traceparent", "Tracestate"} {
		own := http.Header{name: {"of the action"}}
		c.Set(own)
		if diff := cmp.Diff(http.Header{name: {"of the action"}}, own); diff != "" {
			t.Errorf("headers of an action that has its own (-want +got):\n%s", diff)
		}
	}
	none := http.Header{}
	trace.Context{}.Set(none)
	if len(none) > 0 {
		t.Errorf("no trace set %v", none)
	}
}

func TestNewTracesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		text := trace.New().Traceparent()
		if _, ok := trace.Parse(text, ""); !ok || seen[text] {
			t.Fatalf("New gave %q, valid %v, seen %v", text, ok, seen[text])
		}
		seen[text] = true
	}
	if a, b := trace.Of("r_1"), trace.Of("r_1"); a != b || a.ID() == trace.Of("r_2").ID() {
		t.Errorf("the trace of a run is not one of its own: %v, %v", a, b)
	}
}

func TestXRay(t *testing.T) {
	t.Parallel()
	const root, span = "Root=1-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8"
	tests := map[string]struct{ in, want string }{
		"sampled":         {root + ";" + span + ";Sampled=1", "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"},
		"with more":       {root + "; " + span + "; Sampled=1; Lineage=a87bd80c:1", "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"},
		"not sampled":     {root + ";" + span + ";Sampled=0", ""},
		"no decision":     {root + ";" + span, ""},
		"no parent":       {root + ";Sampled=1", ""},
		"a bad root":      {"Root=1-5759e988-bd862e3fe1be46a99427279;" + span + ";Sampled=1", ""},
		"a zero root":     {"Root=1-00000000-000000000000000000000000;" + span + ";Sampled=1", ""},
		"another version": {"Root=2-5759e988-bd862e3fe1be46a994272793;" + span + ";Sampled=1", ""},
		"nothing":         {"", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, ok := trace.FromXRay(tt.in)
			if ok != (tt.want != "") || ok && c.Traceparent() != tt.want {
				t.Errorf("FromXRay = %q, %v, want %q", c.Traceparent(), ok, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(parent, "foo=1,bar@baz=2")
	f.Add("cc-"+traceID+"-"+spanID+"-01-more", "")
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		c, ok := trace.Parse(traceparent, tracestate)
		if !ok {
			return
		}
		again, ok := trace.Parse(c.Traceparent(), c.State)
		if !ok || again != c {
			t.Errorf("%q, %q became %+v, which reads as %+v, %v", traceparent, tracestate, c, again, ok)
		}
	})
}
