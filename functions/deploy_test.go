package functions_test

import (
	"strings"
	"testing"
)

// A stack may stand beside another one in the same account and region.
func TestNamesAreOfOneStack(t *testing.T) {
	t.Parallel()
	all, _ := template(t)["Resources"].(map[string]node)
	for name, r := range all {
		properties, _ := at(r, "Properties").(map[string]node)
		for property, value := range properties {
			if text, fixed := value.(string); fixed && strings.HasSuffix(property, "Name") && property != "MetricName" {
				t.Errorf("%s has the %s %s in every stack", name, property, text)
			}
		}
		events, _ := properties["Events"].(map[string]node)
		for event, e := range events {
			// SAM names it after the function and the event.
			if at(e, "Type") == "ScheduleV2" && at(e, "Properties", "OmitName") != "true" {
				t.Errorf("the schedule %s of %s has the same name in every stack", event, name)
			}
		}
	}
}

