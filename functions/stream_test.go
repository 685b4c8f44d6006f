package functions_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// pattern is a filter of an event source, as far as ours use them: lists of values and of prefixes.
type pattern struct {
	EventName []string
	DynamoDB  struct {
		Keys map[string]map[string][]any
	}
}

func (p pattern) takes(event, pk, sk string) bool {
	keys := map[string]string{"pk": pk, "sk": sk}
	listed := func(list []any, value string) bool {
		for _, one := range list {
			if prefix, ok := one.(map[string]any); ok && strings.HasPrefix(value, prefix["prefix"].(string)) || one == value {
				return true
			}
		}
		return false
	}
	named := false
	for _, name := range p.EventName {
		named = named || name == event
	}
	for name, want := range p.DynamoDB.Keys {
		if !listed(want["S"], keys[name]) {
			return false
		}
	}
	return named
}

// The streams start the function for what is a change, and for nothing that costs an invocation in vain.
func TestStreamsTellOfWhatChangesOnly(t *testing.T) {
	t.Parallel()
	filters := map[string][]pattern{}
	sources, _ := at(resources(t, "AWS::Serverless::Function")["AutomateFunction"], "Properties", "Events").(map[string]node)
	for name, source := range sources {
		for must, want := range map[string]string{
			"BisectBatchOnFunctionError": "true", "MaximumRetryAttempts": "-1", "MaximumRecordAgeInSeconds": "43200", "ParallelizationFactor": "4", "BatchSize": "50",
		} {
			if got := at(source, "Properties", must); got != want {
				t.Errorf("%s has %s %v, want %s", name, must, got, want)
			}
		}
		if at(source, "Properties", "DestinationConfig", "OnFailure", "Destination") == nil {
			t.Errorf("%s has no place for what it gives up on", name)
		}
		list, _ := at(source, "Properties", "FilterCriteria", "Filters").([]node)
		for _, f := range list {
			var p pattern
			if err := json.Unmarshal([]byte(at(f, "Pattern").(string)), &p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			filters[name] = append(filters[name], p)
		}
	}
	takes := func(stream, event, pk, sk string) bool {
		for _, p := range filters[stream] {
			if p.takes(event, pk, sk) {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		stream, pk, sk string
		want           bool
	}{
		{"Runs", "r_0Ulb3v7wXhQ2kZ9a", "head", true},
		{"Runs", "r_0Ulb3v7wXhQ2kZ9a", "log#01", false},
		{"Runs", "r_0Ulb3v7wXhQ2kZ9a", "body", false},
		{"Runs", "d_0Ulb3v7wXhQ2kZ9a", "head", false},
		{"Runs", "host#webhook", "example.com", false},
		{"Catalog", "entity#bp_1#0", "cart", true},
		{"Catalog", "event#event_1", "event", true},
		{"Catalog", "action", "deploy", true},
		{"Catalog", "edge#bp_1#cart", "x", false},
		{"Catalog", "audit#2026-01-01#0", "x", false},
		{"Catalog", "stamp", "action", false},
		{"Catalog", "blueprint", "service", false},
		{"Catalog", "feed", "arn", false},
		{"Catalog", "migration", "m", false},
	} {
		for _, event := range []string{"INSERT", "MODIFY"} {
			if got := takes(c.stream, event, c.pk, c.sk); got != c.want {
				t.Errorf("%s of %s, %s: told %t, want %t", event, c.pk, c.sk, got, c.want)
			}
		}
		if takes(c.stream, "REMOVE", c.pk, c.sk) {
			t.Errorf("what was removed of %s, %s is told", c.pk, c.sk)
		}
	}
}
