package functions_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/metric"
)

// shown is a metric that an alarm or the dashboard names.
type shown struct {
	namespace, name string
	// dimensions has their names, and what they are set to: a resource in braces, or a text.
	dimensions map[string]string
}

// reference writes a dimension's value.
func reference(n node) string {
	for _, tag := range []string{"!Ref", "!GetAtt", "!Sub"} {
		if text, ok := at(n, tag).(string); ok {
			if tag == "!Sub" {
				return text
			}
			return "${" + text + "}"
		}
	}
	text, _ := n.(string)
	return text
}

// alarmMetrics returns what each alarm looks at.
func alarmMetrics(t *testing.T) map[string][]shown {
	t.Helper()
	all := map[string][]shown{}
	one := func(n node) shown {
		s := shown{dimensions: map[string]string{}}
		s.namespace, _ = at(n, "Namespace").(string)
		s.name = reference(at(n, "MetricName"))
		list, _ := at(n, "Dimensions").([]node)
		for _, d := range list {
			s.dimensions[at(d, "Name").(string)] = reference(at(d, "Value"))
		}
		return s
	}
	for name, r := range resources(t, "AWS::CloudWatch::Alarm") {
		properties := at(r, "Properties")
		if at(properties, "MetricName") != nil {
			all[name] = append(all[name], one(properties))
		}
		list, _ := at(properties, "Metrics").([]node)
		for _, m := range list {
			if metric := at(m, "MetricStat", "Metric"); metric != nil {
				all[name] = append(all[name], one(metric))
			}
		}
		if len(all[name]) == 0 || len(all[name]) > 10 {
			t.Errorf("%s looks at %d metrics, want 1 to 10", name, len(all[name]))
		}
		if at(r, "Condition") != "HasAlarms" || at(properties, "AlarmActions") == nil {
			t.Errorf("%s is there without a topic, or tells nobody", name)
		}
	}
	return all
}

var search = regexp.MustCompile(`SEARCH\('\{([^}]*)\} Stack="\$\{AWS::StackName\}" MetricName="([a-z_]*)"', '[A-Za-z0-9]+', 60\)`)

// dashboardMetrics returns what the dashboard shows.
func dashboardMetrics(t *testing.T) []shown {
	t.Helper()
	var all []shown
	for name, r := range resources(t, "AWS::CloudWatch::Dashboard") {
		var body struct {
			Widgets []struct {
				Properties struct {
					Title   string
					Metrics [][]any
				}
			}
		}
		text, _ := at(r, "Properties", "DashboardBody", "!Sub").(string)
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range body.Widgets {
			var last []string
			for _, m := range w.Properties.Metrics {
				if options, ok := m[0].(map[string]any); ok {
					found := search.FindStringSubmatch(options["expression"].(string))
					if found == nil {
						t.Errorf("%s: cannot read the expression %s", w.Properties.Title, options["expression"])
						continue
					}
					names := strings.Split(found[1], ",")
					s := shown{namespace: names[0], name: found[2], dimensions: map[string]string{}}
					for _, d := range names[1:] {
						s.dimensions[d] = ""
					}
					all = append(all, s)
					continue
				}
				// A dot is what stands above it, three all that come before (Dashboard Body Structure and Syntax).
				var whole []string
				for i, v := range m {
					text := v.(string)
					switch text {
					case ".":
						text = last[i]
					case "...":
						whole = append(whole, last[:len(last)-len(m)+1]...)
						continue
					}
					whole = append(whole, text)
				}
				last = whole
				s := shown{namespace: whole[0], name: whole[1], dimensions: map[string]string{}}
				for i := 2; i+1 < len(whole); i += 2 {
					s.dimensions[whole[i]] = whole[i+1]
				}
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("the dashboard shows nothing")
	}
	return all
}

// What an alarm or the dashboard names is recorded, by the code or by a filter of its log.
func TestMetricsOfTheTemplateAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	recorded := map[string][]string{}
	for _, d := range metric.Descriptions() {
		if !d.Local {
			recorded[d.Name] = append([]string{"Stack"}, d.Labels...)
		}
	}
	for _, r := range resources(t, "AWS::Logs::MetricFilter") {
		list, _ := at(r, "Properties", "MetricTransformations").([]node)
		for _, m := range list {
			recorded[reference(at(m, "MetricName"))] = nil
		}
	}
	all := dashboardMetrics(t)
	for _, metrics := range alarmMetrics(t) {
		all = append(all, metrics...)
	}
	used := map[string]bool{}
	for _, m := range all {
		if m.namespace != "Longshore" {
			continue
		}
		used[m.name] = true
		want, ok := recorded[m.name]
		if !ok {
			t.Errorf("nobody records %s", m.name)
		}
		got := slices.Sorted(maps.Keys(m.dimensions))
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has the dimensions %v, the template asks for %v", m.name, want, got)
		}
	}
	for name := range recorded {
		if !used[name] {
			t.Errorf("%s is recorded and nowhere shown", name)
		}
	}
}

// Every function, queue and table that an alarm or the dashboard names is there, and every one that is
// there is watched.
func TestAlarmsAreAboutWhatIsThere(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{
		"FunctionName": "AWS::Serverless::Function", "QueueName": "AWS::SQS::Queue", "TableName": "AWS::DynamoDB::Table", "ApiId": "AWS::Serverless::HttpApi",
	}
	watched := map[string][]string{}
	look := func(by string, m shown) {
		for name, value := range m.dimensions {
			kind, ok := kinds[name]
			if !ok {
				continue
			}
			resource, attribute, _ := strings.Cut(strings.Trim(value, "${}"), ".")
			if resources(t, kind)[resource] == nil || attribute != "" && (name != "QueueName" || attribute != "QueueName") {
				t.Errorf("%s looks at %s, which is no %s", by, value, kind)
			}
			watched[m.name] = append(watched[m.name], resource)
		}
	}
	for name, metrics := range alarmMetrics(t) {
		for _, m := range metrics {
			look(name, m)
		}
	}
	functions := slices.Sorted(maps.Keys(resources(t, "AWS::Serverless::Function")))
	tables := slices.Sorted(maps.Keys(resources(t, "AWS::DynamoDB::Table")))
	// What fails five times is dealt with at once by its function; what is parked has an alarm of its own from
	// the first message on.
	queues := slices.DeleteFunc(slices.Sorted(maps.Keys(resources(t, "AWS::SQS::Queue"))), func(q string) bool {
		return q == "DeadLetterQueue" || q == "ParkedQueue"
	})
	if got := watched["ApproximateNumberOfMessagesVisible"]; !slices.Equal(got, []string{"ParkedQueue"}) {
		t.Errorf("alarms watch the messages of %v, want those of the parked queue", got)
	}
	for name, want := range map[string][]string{
		"Errors": functions, "Throttles": functions, "ApproximateAgeOfOldestMessage": queues,
		"WriteThrottleEvents": tables, "ReadThrottleEvents": tables, "SystemErrors": tables,
	} {
		got := watched[name]
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("%s (-there +watched):\n%s", name, diff)
		}
	}
	clear(watched)
	for _, m := range dashboardMetrics(t) {
		look("the dashboard", m)
	}
	for _, name := range []string{"Errors", "Throttles"} {
		slices.Sort(watched[name])
		if diff := cmp.Diff(functions, watched[name]); diff != "" {
			t.Errorf("%s of the dashboard (-there +shown):\n%s", name, diff)
		}
	}
}

// The operator's page says what each alarm and each metric means.
func TestOperationsPageNamesAlarmsAndMetrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for name := range alarmMetrics(t) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/operations.md does not name the alarm %s", name)
		}
	}
	for _, d := range metric.Descriptions() {
		for _, name := range []string{d.Name, d.Prometheus()} {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/operations.md does not name the metric %s", name)
			}
		}
	}
}
