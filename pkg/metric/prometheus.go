package metric

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// buckets are the upper bounds of a timing, in seconds: a store's answer to a call's deadline.
func buckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 300}
}

func (s *series) observe(seconds float64) {
	bounds := buckets()
	if s.buckets == nil {
		s.buckets = make([]uint64, len(bounds))
	}
	if i, _ := slices.BinarySearch(bounds, seconds); i < len(bounds) {
		s.buckets[i]++
	}
	s.count++
	s.value += seconds
}

// ContentType is that of Text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Text is all metrics in Prometheus' text format, version 0.0.4, sorted by name; nothing for a nil
// registry.
func (r *Registry) Text() []byte {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(r.families)) {
		f := r.families[name]
		name, help, _ := described(name)
		if help != "" {
			fmt.Fprintf(&out, "# HELP %s %s\n", name, help)
		}
		fmt.Fprintf(&out, "# TYPE %s %s\n", name, [...]string{counter: "counter", level: "gauge", timing: "histogram"}[f.kind])
		for _, key := range slices.Sorted(maps.Keys(f.series)) {
			s := f.series[key]
			if f.kind != timing {
				fmt.Fprintf(&out, "%s%s %s\n", name, labelText(s.labels), number(s.value))
				continue
			}
			var upTo uint64
			for i, bound := range buckets() {
				if s.buckets != nil {
					upTo += s.buckets[i]
				}
				fmt.Fprintf(&out, "%s_bucket%s %d\n", name, labelText(s.labels, "le", number(bound)), upTo)
			}
			fmt.Fprintf(&out, "%s_bucket%s %d\n", name, labelText(s.labels, "le", "+Inf"), s.count)
			fmt.Fprintf(&out, "%s_sum%s %s\n", name, labelText(s.labels), number(s.value))
			fmt.Fprintf(&out, "%s_count%s %d\n", name, labelText(s.labels), s.count)
		}
	}
	return out.Bytes()
}

func labelText(labels []string, more ...string) string {
	all := append(slices.Clip(labels), more...)
	if len(all) == 0 {
		return ""
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	pairs := make([]string, 0, len(all)/2)
	for i := 0; i < len(all); i += 2 {
		pairs = append(pairs, all[i]+`="`+escape.Replace(strings.ToValidUTF8(all[i+1], "\uFFFD"))+`"`)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
