// Package functions_test checks that the template, the folders here and what they link agree, and
// runs the functions under sam local.
package functions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"longshore/pkg/local"
	"longshore/pkg/queue"
	"longshore/pkg/store/dynamostore"
)

// node is a YAML value with CloudFormation's tags kept: {"!Ref": x} for !Ref x.
type node = any

func template(t *testing.T) map[string]node {
	t.Helper()
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	root, ok := plain(document.Content[0]).(map[string]node)
	if !ok {
		t.Fatal("template.yaml is no mapping")
	}
	return root
}

func plain(n *yaml.Node) node {
	if n.Kind == yaml.AliasNode {
		return plain(n.Alias)
	}
	var v node
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]node{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := []node{}
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		v = list
	default:
		v = n.Value
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return map[string]node{n.Tag: v}
	}
	return v
}

// at walks down mappings; nil where there is nothing.
func at(n node, path ...string) node {
	for _, name := range path {
		m, _ := n.(map[string]node)
		n = m[name]
	}
	return n
}

func resources(t *testing.T, kind string) map[string]node {
	t.Helper()
	found := map[string]node{}
	all, _ := template(t)["Resources"].(map[string]node)
	for name, r := range all {
		if at(r, "Type") == kind {
			found[name] = r
		}
	}
	return found
}

func TestEachFolderIsOneFunction(t *testing.T) {
	t.Parallel()
	var folders, declared []string
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "local" {
			folders = append(folders, "functions/"+e.Name()+"/")
		}
	}
	for _, r := range resources(t, "AWS::Serverless::Function") {
		declared = append(declared, at(r, "Properties", "CodeUri").(string))
	}
	slices.Sort(declared)
	if diff := cmp.Diff(folders, declared); diff != "" {
		t.Errorf("folders and functions (-folders +template):\n%s", diff)
	}
}

// A function that the API routes to and that refers to the API is a circular dependency, which
// CloudFormation finds only when it deploys.
func TestNoRoutedFunctionRefersToTheAPI(t *testing.T) {
	t.Parallel()
	for name, r := range resources(t, "AWS::Serverless::Function") {
		events, _ := at(r, "Properties", "Events").(map[string]node)
		routed := false
		for _, e := range events {
			routed = routed || at(e, "Type") == "HttpApi"
		}
		properties, _ := at(r, "Properties").(map[string]node)
		for part, value := range properties {
			if routed && part != "Events" && refers(value, "Api") {
				t.Errorf("%s refers to Api in %s and has a route of it", name, part)
			}
		}
	}
}

// refers reports whether a value holds !Ref, !GetAtt or !Sub of a resource.
func refers(n node, resource string) bool {
	switch n := n.(type) {
	case map[string]node:
		for key, v := range n {
			text, _ := v.(string)
			if (key == "!Ref" || key == "!GetAtt") && (text == resource || strings.HasPrefix(text, resource+".")) ||
				key == "!Sub" && (strings.Contains(text, "${"+resource+"}") || strings.Contains(text, "${"+resource+".")) ||
				refers(v, resource) {
				return true
			}
		}
	case []node:
		return slices.ContainsFunc(n, func(v node) bool { return refers(v, resource) })
	}
	return false
}

func TestReferToTheAPIIsNoticed(t *testing.T) {
	t.Parallel()
	for _, n := range []node{
		map[string]node{"!Ref": "Api"}, map[string]node{"X": []node{map[string]node{"!Sub": "https://${Api}.x"}}},
	} {
		if !refers(n, "Api") {
			t.Errorf("%v does not refer to Api", n)
		}
	}
	if refers(map[string]node{"!Ref": "ApiLogs"}, "Api") {
		t.Error("ApiLogs was taken for Api")
	}
}

func TestTablesAreThoseOfTheStore(t *testing.T) {
	t.Parallel()
	tables := resources(t, "AWS::DynamoDB::Table")
	for name, want := range map[string]*dynamodb.CreateTableInput{
		"RunsTable": dynamostore.RunsTable("x"), "CatalogTable": dynamostore.CatalogTable("x"),
	} {
		properties := at(tables[name], "Properties")
		if diff := cmp.Diff(keys(want), templateKeys(properties)); diff != "" {
			t.Errorf("%s (-store +template):\n%s", name, diff)
		}
		for _, must := range []string{"PointInTimeRecoverySpecification", "TimeToLiveSpecification", "StreamSpecification", "DeletionProtectionEnabled"} {
			if at(properties, must) == nil {
				t.Errorf("%s has no %s", name, must)
			}
		}
		if at(tables[name], "DeletionPolicy") != "Retain" {
			t.Errorf("%s is not retained", name)
		}
	}
}

// keys writes a table's keys and indexes as lines.
func keys(in *dynamodb.CreateTableInput) []string {
	var lines []string
	for _, a := range in.AttributeDefinitions {
		lines = append(lines, "attribute "+*a.AttributeName+" "+string(a.AttributeType))
	}
	for _, k := range in.KeySchema {
		lines = append(lines, "key "+*k.AttributeName+" "+string(k.KeyType))
	}
	for _, i := range in.GlobalSecondaryIndexes {
		for _, k := range i.KeySchema {
			lines = append(lines, "index "+*i.IndexName+" "+*k.AttributeName+" "+string(k.KeyType))
		}
		lines = append(lines, "index "+*i.IndexName+" "+string(i.Projection.ProjectionType)+" "+strings.Join(i.Projection.NonKeyAttributes, ","))
	}
	slices.Sort(lines)
	return lines
}

func templateKeys(properties node) []string {
	var lines []string
	each := func(n node, f func(node)) {
		list, _ := n.([]node)
		for _, v := range list {
			f(v)
		}
	}
	text := func(n node, name string) string { s, _ := at(n, name).(string); return s }
	each(at(properties, "AttributeDefinitions"), func(a node) {
		lines = append(lines, "attribute "+text(a, "AttributeName")+" "+text(a, "AttributeType"))
	})
	each(at(properties, "KeySchema"), func(k node) {
		lines = append(lines, "key "+text(k, "AttributeName")+" "+text(k, "KeyType"))
	})
	each(at(properties, "GlobalSecondaryIndexes"), func(i node) {
		each(at(i, "KeySchema"), func(k node) {
			lines = append(lines, "index "+text(i, "IndexName")+" "+text(k, "AttributeName")+" "+text(k, "KeyType"))
		})
		var names []string
		each(at(i, "Projection", "NonKeyAttributes"), func(a node) { names = append(names, a.(string)) })
		lines = append(lines, "index "+text(i, "IndexName")+" "+text(at(i, "Projection"), "ProjectionType")+" "+strings.Join(names, ","))
	})
	slices.Sort(lines)
	return lines
}

// What a function links decides how fast it starts.
func TestFunctionsLinkOnlyWhatTheyNeed(t *testing.T) {
	t.Parallel()
	heavy := map[string][]string{
		"github.com/itchyny/gojq":                              {"trigger", "api", "dispatch-upsertentity", "automate", "local"},
		"modernc.org/sqlite":                                   {"local"},
		"github.com/aws/aws-sdk-go-v2/service/secretsmanager":  {"trigger", "api", "dispatch-webhook", "dispatch-github", "dispatch-gitlab", "dispatch-kafka", "dispatch-azuredevops", "dispatch-upsertentity", "automate"},
		"github.com/aws/aws-sdk-go-v2/service/sqs":             {"trigger", "api", "dispatch-webhook", "dispatch-github", "dispatch-gitlab", "dispatch-kafka", "dispatch-azuredevops", "dispatch-upsertentity", "automate", "tick", "local"},
		"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams": {"local"},
		"github.com/twmb/franz-go/pkg/kgo":                     {"dispatch-kafka", "local"},
		"github.com/aws/aws-sdk-go-v2/service/sesv2":           {"dispatch-webhook", "local"},
		"github.com/santhosh-tekuri/jsonschema/v6":             {"trigger", "api", "dispatch-upsertentity", "automate", "local"},
		"github.com/google/go-github/v62/github":               {"dispatch-github", "local"},
		"github.com/xanzy/go-gitlab":                           {"dispatch-gitlab", "local"},
		"longshore/pkg/trigger":                                {"trigger", "api", "automate", "local"},
		"testing":                                              {},
	}
	folders, err := filepath.Glob("*/main.go")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no functions here: %v", err)
	}
	for _, main := range folders {
		name := filepath.Dir(main)
		out, err := exec.Command("go", "list", "-deps", "./"+name).Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", name, err)
		}
		linked := strings.Fields(string(out))
		for pkg, allowed := range heavy {
			if slices.Contains(linked, pkg) && !slices.Contains(allowed, name) {
				t.Errorf("%s links %s", name, pkg)
			}
		}
	}
}

func TestMainsAreWiringOnly(t *testing.T) {
	t.Parallel()
	mains, _ := filepath.Glob("*/main.go")
	for _, main := range mains {
		text, err := os.ReadFile(main)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > 60 {
			t.Errorf("%s has %d lines, at most 60", main, lines)
		}
	}
}

// A queue that a function takes messages off has workers in the local process, and the other way round.
func TestEachQueueIsWorkedLocally(t *testing.T) {
	t.Parallel()
	worked := append(local.Backends(), queue.DeadLetter)
	var want []string
	for _, f := range functions(t) {
		if slices.Contains(f.sources, "SQS") {
			want = append(want, strings.TrimPrefix(f.folder, "dispatch-"))
		}
	}
	slices.Sort(worked)
	slices.Sort(want)
	if diff := cmp.Diff(want, worked); diff != "" {
		t.Errorf("queues with workers (-template +local):\n%s", diff)
	}
}
