package metric_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/metric"
)

func scrape(t *testing.T, r *metric.Registry) string {
	t.Helper()
	return string(r.Text())
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	r := metric.New()
	r.Count("runs_total")
	r.Add("runs_total", 2)
	r.Count("deliveries_total", "backend", "webhook", "verdict", "retry")
	r.Count("deliveries_total", "backend", "webhook", "verdict", "deliver")
	r.Count("deliveries_total", "backend", "webhook", "verdict", "deliver")
	r.Count("hosts_total", "host", "a\\b\"c\nd\xffe")
	r.Set("lag_seconds", 5)
	r.Set("lag_seconds", 2.5)
	for _, d := range []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Second, time.Hour, -time.Second} {
		r.Observe("call_seconds", d, "backend", "webhook")
	}
	want := strings.TrimLeft(`
# TYPE call_seconds histogram
call_seconds_bucket{backend="webhook",le="0.001"} 2
call_seconds_bucket{backend="webhook",le="0.0025"} 3
call_seconds_bucket{backend="webhook",le="0.005"} 3
call_seconds_bucket{backend="webhook",le="0.01"} 3
call_seconds_bucket{backend="webhook",le="0.025"} 3
call_seconds_bucket{backend="webhook",le="0.05"} 3
call_seconds_bucket{backend="webhook",le="0.1"} 3
call_seconds_bucket{backend="webhook",le="0.25"} 3
call_seconds_bucket{backend="webhook",le="0.5"} 3
call_seconds_bucket{backend="webhook",le="1"} 4
call_seconds_bucket{backend="webhook",le="2.5"} 4
call_seconds_bucket{backend="webhook",le="5"} 4
call_seconds_bucket{backend="webhook",le="10"} 4
call_seconds_bucket{backend="webhook",le="25"} 4
call_seconds_bucket{backend="webhook",le="60"} 4
call_seconds_bucket{backend="webhook",le="300"} 4
call_seconds_bucket{backend="webhook",le="+Inf"} 5
call_seconds_sum{backend="webhook"} 3601.003
call_seconds_count{backend="webhook"} 5
# TYPE deliveries_total counter
deliveries_total{backend="webhook",verdict="deliver"} 2
deliveries_total{backend="webhook",verdict="retry"} 1
# TYPE hosts_total counter
hosts_total{host="a\\b\"c\nd`+"\uFFFD"+`e"} 1
# TYPE lag_seconds gauge
lag_seconds 2.5
# TYPE runs_total counter
runs_total 3
`, "\n")
	if diff := cmp.Diff(want, scrape(t, r)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if err := r.Flush(); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if diff := cmp.Diff(want, scrape(t, r)); diff != "" {
		t.Errorf("text after Flush (-want +got):\n%s", diff)
	}
}

func TestNilDoesNothing(t *testing.T) {
	t.Parallel()
	var r *metric.Registry
	r.Count("a")
	r.Add("a", 1)
	r.Set("b", 1)
	r.Observe("c", time.Second)
	if err := r.Flush(); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if got := scrape(t, r); got != "" {
		t.Errorf("text = %q, want none", got)
	}
}

func TestMisuseIsIgnored(t *testing.T) {
	t.Parallel()
	r := metric.New()
	r.Count("a")
	r.Add("a", -1)
	r.Add("a", math.NaN())
	r.Add("a", math.Inf(1))
	r.Set("a", 7)
	r.Observe("a", time.Second)
	r.Count("b", "odd")
	r.Set("c", math.NaN())
	want := "# TYPE a counter\na 1\n# TYPE b counter\nb{odd=\"\"} 1\n"
	if diff := cmp.Diff(want, scrape(t, r)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestManyLabelsBecomeOther(t *testing.T) {
	t.Parallel()
	r := metric.New()
	for i := range 1000 {
		r.Count("a", "host", fmt.Sprint(i))
	}
	text := scrape(t, r)
	if n := strings.Count(text, "\na{"); n != 201 {
		t.Errorf("%d series, want 201", n)
	}
	if !strings.Contains(text, "a{host=\"other\"} 800\n") {
		t.Errorf("no series of 800 others in\n%s", text)
	}
}

func TestLabelsAreCopied(t *testing.T) {
	t.Parallel()
	r := metric.New()
	labels := []string{"backend", "webhook"}
	r.Count("a", labels...)
	labels[1] = "kafka"
	r.Count("a", labels...)
	want := "# TYPE a counter\na{backend=\"kafka\"} 1\na{backend=\"webhook\"} 1\n"
	if diff := cmp.Diff(want, scrape(t, r)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	r := metric.New()
	e := metric.NewEMF(io.Discard, "Longshore", time.Now)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				for _, r := range []*metric.Registry{r, e} {
					r.Count("a", "b", fmt.Sprint(i%3))
					r.Observe("c", time.Second)
					r.Set("d", float64(i))
				}
				if i%100 == 0 {
					scrape(t, r)
					if err := e.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	text := scrape(t, r)
	for _, want := range []string{"a{b=\"0\"} 1336\n", "c_count 4000\n", "c_sum 4000\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// lines decodes what was written, one JSON document a line.
func lines(t *testing.T, out *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for text := range strings.Lines(out.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, l)
	}
	out.Reset()
	return all
}

func TestEMF(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := metric.NewEMF(&out, "Longshore", func() time.Time { return time.UnixMilli(1700000000123) })
	flush := func() []map[string]any {
		t.Helper()
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		return lines(t, &out)
	}
	r.Set("sweep_lag", 12.5)
	r.Count("sent_total")
	r.Add("sent_total", 2)
	r.Count("deliveries_total", "backend", "webhook", "verdict", "retry", "host", "")
	r.Observe("delivery_seconds", 1500*time.Millisecond, "backend", "webhook", "verdict", "retry", "host", "")
	r.Observe("delivery_seconds", 500*time.Millisecond, "backend", "webhook", "verdict", "retry", "host", "")
	meta := func(dimensions []any, metrics ...any) map[string]any {
		return map[string]any{"Timestamp": 1700000000123.0, "CloudWatchMetrics": []any{map[string]any{
			"Namespace": "Longshore", "Dimensions": []any{dimensions}, "Metrics": metrics,
		}}}
	}
	of := func(name, unit string) any { return map[string]any{"Name": name, "Unit": unit} }
	want := []map[string]any{
		{
			"_aws":       meta([]any{}, of("sent_total", "Count"), of("sweep_lag", "Seconds")),
			"sent_total": 3.0, "sweep_lag": 12.5,
		},
		{
			"_aws":    meta([]any{"backend", "verdict"}, of("deliveries_total", "Count"), of("delivery_seconds", "Seconds")),
			"backend": "webhook", "verdict": "retry", "deliveries_total": 1.0, "delivery_seconds": []any{1.5, 0.5},
		},
	}
	if diff := cmp.Diff(want, flush()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := flush(); got != nil {
		t.Errorf("flushed again: %v", got)
	}

	// A counter's line has what came since the last one, not the sum.
	r.Count("sent_total")
	want = []map[string]any{{"_aws": meta([]any{}, of("sent_total", "Count")), "sent_total": 1.0}}
	if diff := cmp.Diff(want, flush()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestEMFWritesBeforeATimingHasTooManyValues(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := metric.NewEMF(&out, "Longshore", time.Now)
	for range 250 {
		r.Observe("a", time.Second)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, l := range lines(t, &out) {
		values, _ := l["a"].([]any)
		got = append(got, len(values))
	}
	if diff := cmp.Diff([]int{100, 100, 50}, got); diff != "" {
		t.Errorf("values a line (-want +got):\n%s", diff)
	}
}

func TestEMFCutsLongDimensions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := metric.NewEMF(&out, "Longshore", time.Now)
	r.Count("a", "host", strings.Repeat("é", 600))
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := lines(t, &out)[0]["host"], strings.Repeat("é", 512); got != want {
		t.Errorf("dimension = %q", got)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestEMFReportsTheWritersError(t *testing.T) {
	t.Parallel()
	r := metric.NewEMF(broken{}, "Longshore", time.Now)
	for range 100 {
		r.Observe("a", time.Second)
	}
	if err := r.Flush(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error = %v, want the writer's", err)
	}
	if err := r.Flush(); err != nil {
		t.Errorf("error once more: %v", err)
	}
}

// The text is what Prometheus' own parser reads.
func TestPrometheusReadsTheText(t *testing.T) {
	t.Parallel()
	r := metric.New()
	record(r)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(r.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range metric.Descriptions() {
		f := families[d.Prometheus()]
		if f == nil {
			t.Errorf("no %s in the text", d.Prometheus())
			continue
		}
		if f.GetHelp() != d.Help {
			t.Errorf("help of %s: %q", f.GetName(), f.GetHelp())
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if diff := cmp.Diff(d.Labels, labels); diff != "" {
			t.Errorf("labels of %s (-want +got):\n%s", f.GetName(), diff)
		}
	}
	if len(families) != len(metric.Descriptions()) {
		t.Errorf("%d families, want %d", len(families), len(metric.Descriptions()))
	}
}

// record records each described metric once.
func record(r *metric.Registry) {
	for _, d := range metric.Descriptions() {
		var labels []string
		for _, name := range d.Labels {
			labels = append(labels, name, "some\"thing\\")
		}
		switch {
		case strings.HasSuffix(d.Prometheus(), "_total"):
			r.Count(d.Name, labels...)
		case d.Name == metric.SweepLag || d.Name == metric.QueueAge || d.Name == metric.FailingHosts:
			r.Set(d.Name, 1.5, labels...)
		default:
			r.Observe(d.Name, time.Second, labels...)
		}
	}
}

// The schema is that of CloudWatch ("Specification: Embedded metric format", "JSON schema"), with what
// the text of that page says beside it: up to 100 metrics and values, and that each name is a member.
const emfSchema = `{
  "type": "object", "required": ["_aws"],
  "properties": {"_aws": {"type": "object", "required": ["Timestamp", "CloudWatchMetrics"], "properties": {
    "Timestamp": {"type": "integer"},
    "CloudWatchMetrics": {"type": "array", "items": {"type": "object", "required": ["Namespace", "Dimensions", "Metrics"], "properties": {
      "Namespace": {"type": "string", "pattern": "^(.*)$", "minLength": 1},
      "Dimensions": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "maxItems": 30,
        "items": {"type": "string", "pattern": "^(.*)$", "minLength": 1, "maxLength": 250}}},
      "Metrics": {"type": "array", "maxItems": 100, "items": {"type": "object", "required": ["Name"], "properties": {
        "Name": {"type": "string", "pattern": "^(.*)$", "minLength": 1, "maxLength": 1024},
        "Unit": {"enum": ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Count/Second", "None"]},
        "StorageResolution": {"enum": [1, 60]}}}}}}}}}},
  "additionalProperties": {"anyOf": [{"type": ["number", "string"]}, {"type": "array", "maxItems": 100, "items": {"type": "number"}}]}
}`

func TestEMFIsWhatCloudWatchReads(t *testing.T) {
	t.Parallel()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(emfSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("emf.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("emf.json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := metric.NewEMF(&out, "Longshore", time.Now, "Stack", "prod")
	for range 150 {
		record(r)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for text := range strings.Lines(out.String()) {
		if len(text) > 1<<20 {
			t.Errorf("a line of %d bytes: a log event has at most 1 MiB", len(text))
		}
		line, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(line); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var l struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		var members map[string]any
		if err := errors.Join(json.Unmarshal([]byte(text), &l), json.Unmarshal([]byte(text), &members)); err != nil {
			t.Fatal(err)
		}
		for _, d := range l.AWS.CloudWatchMetrics {
			for _, name := range d.Dimensions[0] {
				if value, ok := members[name].(string); !ok || value == "" {
					t.Errorf("%s: the dimension %s has no value", text, name)
				}
			}
			for _, m := range d.Metrics {
				seen[m.Name] = true
				if members[m.Name] == nil {
					t.Errorf("%s: the metric %s has no value", text, m.Name)
				}
			}
		}
	}
	for _, d := range metric.Descriptions() {
		if !seen[d.Name] {
			t.Errorf("no line has %s", d.Name)
		}
	}
}
