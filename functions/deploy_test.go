package functions_test

import (
	"regexp"
	"strings"
	"testing"
)

// What runs is a version, and SAM publishes one if the code changes or what the template says of a function, but
// not if a parameter does: the version of Settings has to move with each of them, and every function with it.
func TestEachParameterComesIntoUse(t *testing.T) {
	t.Parallel()
	root := template(t)
	parameters, _ := root["Parameters"].(map[string]node)
	for name := range parameters {
		if !refers(at(root, "Resources", "Settings", "Properties", "Content"), name) {
			t.Errorf("a deployment that changes %s alone would change no function: it is not in Settings", name)
		}
	}
	// Lambda publishes no version of a function that is what it was.
	if !refers(at(root, "Globals", "Function", "Environment"), "Settings") {
		t.Error("the functions' environment does not have the version of Settings")
	}
	for name, f := range resources(t, "AWS::Serverless::Function") {
		if !refers(at(f, "Properties", "VersionDescription"), "Settings") {
			t.Errorf("no version of %s is published when Settings change", name)
		}
	}
}

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

// A deployment that shifts traffic step by step goes back when functions fail.
func TestStepwiseDeploymentsAreWatched(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, r := range resources(t, "AWS::CloudWatch::Alarm") {
		if name, ok := at(r, "Properties", "AlarmName", "!Sub").(string); ok {
			named[name] = true
		}
	}
	choice, _ := at(template(t), "Globals", "Function", "DeploymentPreference", "Alarms", "!If").([]node)
	if len(choice) != 3 || choice[0] != "RollsBack" {
		t.Fatalf("alarms are %v", choice)
	}
	alarms, _ := choice[1].([]node)
	for _, a := range alarms {
		name, _ := at(a, "!Sub").(string)
		if !named[name] {
			t.Errorf("no alarm is called %q", name)
		}
		delete(named, name)
	}
	if len(alarms) == 0 || len(named) > 0 {
		t.Errorf("%d alarms are asked, not asked are %v", len(alarms), named)
	}
}

// A parameter that no function takes is refused before anything is deployed.
func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ good, bad []string }{
		"CallTimeout":      {[]string{"25s", "1.5s"}, []string{"", "45", "1h", "1d"}},
		"ConnectTimeout":   {[]string{"5s", "100ms"}, []string{"", "5", "1d"}},
		"BaseUrl":          {[]string{"", "https://longshore.example.com", "http://10.0.0.1:8080"}, []string{"longshore.example.com", "https://longshore.example.com/", "https://a/b"}},
		"CorsAllowOrigins": {[]string{"", "https://a.example", "https://a.example,https://b.example"}, []string{"https://a.example, https://b.example"}},
	} {
		text, _ := at(template(t), "Parameters", name, "AllowedPattern").(string)
		pattern, err := regexp.Compile(text)
		if err != nil || text == "" {
			t.Errorf("%s has the pattern %q: %v", name, text, err)
			continue
		}
		for _, value := range c.good {
			if !pattern.MatchString(value) {
				t.Errorf("%s: %q is refused", name, value)
			}
		}
		for _, value := range c.bad {
			if pattern.MatchString(value) {
				t.Errorf("%s: %q is taken", name, value)
			}
		}
	}
}

// Lambda, too, may leave out lines by their level: none that a function writes.
func TestLambdaLeavesNoLineOut(t *testing.T) {
	t.Parallel()
	if got := at(template(t), "Globals", "Function", "LoggingConfig", "ApplicationLogLevel"); got != "DEBUG" {
		t.Errorf("lines are left out below the level %v, want DEBUG", got)
	}
}

func TestOutputsNameWhereEventsGo(t *testing.T) {
	t.Parallel()
	outputs, _ := template(t)["Outputs"].(map[string]node)
	for output, path := range map[string]string{"GitHubWebhookUrl": "/webhooks/github", "GitLabWebhookUrl": "/webhooks/gitlab"} {
		value, _ := at(outputs[output], "Value", "!Sub").([]node)
		if len(value) == 0 || value[0] != "${Url}"+path {
			t.Errorf("%s is %v, want it to end in %s", output, value, path)
		}
	}
}
