package action_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		// The whole.
		{"no JSON", `{`, []string{"malformed JSON at byte 1: unexpected end, wanted a member's name"}},
		{"no object", `[]`, []string{"a definition must be an object"}},
		{"nothing in it", `{}`, []string{"identifier: is required", "invocationMethod: is required", "trigger: is required"}},
		{"null for what is required", `{"identifier":null,"trigger":null,"invocationMethod":null}`, []string{
			"identifier: must be a string, got null", "invocationMethod: must be an object, got null", "trigger: must be an object, got null",
		}},
		{"unknown fields at every level", `{"identifier":"a","a":1,"trigger":{"type":"self-service","operation":"CREATE","b":1,"userInputs":{"c":1,
			"properties":{"x":{"type":"array","d":1,"items":{"e":1}}},"steps":[{"title":"1","f":1}],"titles":{"t":{"g":1}}}},
			"invocationMethod":{"type":"WEBHOOK","url":"x","h":1},"requiredApproval":{"type":"ANY","i":1}}`, []string{
			"a: unknown field", "invocationMethod.h: unknown field", "requiredApproval.i: unknown field", "trigger.b: unknown field",
			"trigger.userInputs.c: unknown field", "trigger.userInputs.properties.x.d: unknown field",
			"trigger.userInputs.properties.x.items.e: unknown field", "trigger.userInputs.steps[0].f: unknown field",
			"trigger.userInputs.titles.t.g: unknown field",
		}},
		{"wrong types at the top", with("top", `"title":1,"icon":[],"description":{},"publish":"true","allowAnyoneToViewRuns":0`), []string{
			"allowAnyoneToViewRuns: must be a boolean, got a number", "description: must be a string, got an object",
			"icon: must be a string, got an array", "publish: must be a boolean, got a string", "title: must be a string, got a number",
		}},
		{"an unknown field that is null", with("top", `"foo":null`), []string{"foo: unknown field"}},
		{"an unknown field with an odd name", with("method", `"a.b \"c":1`), []string{`invocationMethod["a.b \"c"]: unknown field`}},
		{"what only answers have", with("top", `"id":"action_1","createdAt":"2026-01-01T00:00:00.000Z"`), []string{"createdAt: unknown field", "id: unknown field"}},
		{"v1's fields in v2", with("top", `"userInputs":{"properties":{}},"blueprint":"service"`), []string{"blueprint: unknown field", "userInputs: unknown field"}},

		// Identifiers.
		{"identifier .", with("top", `"identifier":"."`), []string{identifierFault}},
		{"identifier ..", with("top", `"identifier":".."`), []string{identifierFault}},
		{"identifier runs", with("top", `"identifier":"runs"`), []string{identifierFault}},
		{"identifier bulk", with("top", `"identifier":"bulk"`), []string{identifierFault}},
		{"identifier empty", with("top", `"identifier":""`), []string{identifierFault}},
		{"identifier with a slash", with("top", `"identifier":"a/b"`), []string{identifierFault}},
		{"identifier with a line end", with("top", `"identifier":"a\n"`), []string{identifierFault}},
		{"identifier too long", with("top", `"identifier":"`+strings.Repeat("ü", 101)+`"`), []string{"identifier: must have at most 100 characters"}},
		{"blueprint ..", with("trigger", `"blueprintIdentifier":".."`), []string{"trigger.blueprintIdentifier: " + blueprintRule}},
		{"blueprint with a space", with("trigger", `"blueprintIdentifier":"a b"`), []string{"trigger.blueprintIdentifier: " + blueprintRule}},
		{"v1 blueprint", methodV1(`{"type":"KAFKA"},"blueprint":"a b"`), []string{"blueprint: " + blueprintRule}},
		{"names of inputs and titles", with("trigger", `"userInputs":{"properties":{"a.b":{"type":"string"},"":{"type":"string"}},"titles":{"ü":{}}}`), []string{
			`trigger.userInputs.properties["a.b"]: ` + nameRule, `trigger.userInputs.properties[""]: ` + nameRule, `trigger.userInputs.titles["ü"]: ` + nameRule,
		}},

		// Triggers.
		{"trigger of no type", trigger(`{}`), []string{"trigger.type: is required"}},
		{"trigger of an unknown type", trigger(`{"type":"timer","x":1}`), []string{`trigger.type: must be one of "self-service", "automation"`}},
		{"trigger that is a list", trigger(`[]`), []string{"trigger: must be an object, got an array"}},
		{"no operation", trigger(`{"type":"self-service"}`), []string{"trigger.operation: is required"}},
		{"an unknown operation", trigger(`{"type":"self-service","operation":"UPDATE"}`), []string{`trigger.operation: must be one of "CREATE", "DAY-2", "DELETE"`}},
		{"an unknown v1 operation", `{"identifier":"a","trigger":"UPDATE","invocationMethod":{"type":"KAFKA"}}`, []string{`trigger: must be one of "CREATE", "DAY-2", "DELETE"`}},
		{"button text too short", with("trigger", `"actionCardButtonText":"a"`), []string{"trigger.actionCardButtonText: must be one line of at least 2 characters without white space at its ends"}},
		{"button text empty", with("trigger", `"executeActionButtonText":""`), []string{"trigger.executeActionButtonText: must be one line of at least 2 characters without white space at its ends"}},
		{"button text too long", with("trigger", `"executeActionButtonText":"1234567890123456"`), []string{"trigger.executeActionButtonText: must have at most 15 characters"}},
		{"condition of a CREATE", with("trigger", `"blueprintIdentifier":"b","condition":{"type":"SEARCH","rules":[],"combinator":"and"}`), []string{"trigger.condition: only a DAY-2 or DELETE action has a condition"}},
		{"condition without a blueprint", trigger(`{"type":"self-service","operation":"DELETE","condition":{"type":"SEARCH","rules":[],"combinator":"and"}}`), []string{"trigger.condition: needs blueprintIdentifier beside it"}},
		{"condition of the wrong shape", trigger(`{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"b","condition":{"type":"JQ","rules":[{"property":"a"},{"rules":[{}]}],"x":1}}`), []string{
			"trigger.condition.combinator: is required", "trigger.condition.rules[0].operator: is required",
			"trigger.condition.rules[1].combinator: is required", "trigger.condition.rules[1].rules[0].operator: is required",
			`trigger.condition.type: must be "SEARCH"`, "trigger.condition.x: unknown field",
		}},
		{"condition that is no search", trigger(`{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"b","condition":{"type":"SEARCH","rules":[{"property":"a","operator":"between","value":1}],"combinator":"and"}}`), []string{
			"trigger.condition.rules[0].value: must be an object with from and to, or with preset",
		}},

		// Automations.
		{"automation without event", trigger(`{"type":"automation"}`), []string{"trigger.event: is required"}},
		{"automation with inputs", trigger(`{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"a"},"userInputs":{"properties":{}}}`), []string{"trigger.userInputs: unknown field"}},
		{"unknown event", trigger(`{"type":"automation","event":{"type":"TEAM_CREATED"}}`), []string{
			`trigger.event.type: must be one of "ENTITY_CREATED", "ENTITY_UPDATED", "ENTITY_DELETED", "ANY_ENTITY_CHANGE", "TIMER_PROPERTY_EXPIRED", "RUN_CREATED", "RUN_UPDATED", "ANY_RUN_CHANGE", "SCHEDULE"`,
		}},
		{"entity event without blueprint", trigger(`{"type":"automation","event":{"type":"ANY_ENTITY_CHANGE","actionIdentifier":"a"}}`), []string{
			"trigger.event.actionIdentifier: unknown field", "trigger.event.blueprintIdentifier: is required",
		}},
		{"entity event with null for its blueprint", trigger(`{"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":null}}`), []string{
			"trigger.event.blueprintIdentifier: must be a string, got null",
		}},
		{"timer event without property", trigger(`{"type":"automation","event":{"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"b"}}`), []string{"trigger.event.propertyIdentifier: is required"}},
		{"run event without action", trigger(`{"type":"automation","event":{"type":"RUN_UPDATED"}}`), []string{"trigger.event.actionIdentifier: is required"}},
		{"schedule without expression", trigger(`{"type":"automation","event":{"type":"SCHEDULE","timezone":1}}`), []string{
			"trigger.event.expression: is required", "trigger.event.timezone: must be a string, got a number",
		}},
		{"schedule of no known form", trigger(`{"type":"automation","event":{"type":"SCHEDULE","expression":"* * * * *"}}`), []string{"trigger.event.expression: must be rate(…), cron(…) or at(…)"}},
		{"automation condition", trigger(`{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"a"},"condition":{"type":"SEARCH","expressions":[true],"combinator":"xor"}}`), []string{
			`trigger.condition.combinator: must be one of "and", "or"`, "trigger.condition.expressions[0]: must be a string, got a boolean", `trigger.condition.type: must be "JQ"`,
		}},

		// Approval.
		{"approval of no known type", with("top", `"requiredApproval":{"type":"SOME"}`), []string{`requiredApproval.type: must be one of "ANY", "ALL"`}},
		{"approval without type", with("top", `"requiredApproval":{}`), []string{"requiredApproval.type: is required"}},
		{"approval that is a string", with("top", `"requiredApproval":"ANY"`), []string{"requiredApproval: must be a boolean or an object, got a string"}},
		{"notification without type", with("top", `"approvalNotification":{"url":"https://example.com"}`), []string{"approvalNotification.type: is required"}},
		{"notification without url", with("top", `"approvalNotification":{"type":"webhook"}`), []string{"approvalNotification.url: is required"}},
		{"notification with a bad url", with("top", `"approvalNotification":{"type":"webhook","url":"example.com","format":"xml"}`), []string{
			`approvalNotification.format: must be one of "json", "slack"`, "approvalNotification.url: must be an absolute URL with scheme and host",
		}},
		{"notification to no web server", with("top", `"approvalNotification":{"type":"webhook","url":"ftp://example.com"}`), []string{
			"approvalNotification.url: must be an http or https URL",
		}},
		{"a number beyond the doubles", with("method", `"body":{"a":[1,-1e999]}`), []string{"invocationMethod.body.a[1]: must be a number between -1.8e308 and 1.8e308"}},
		{"e-mail notification with a url", with("top", `"approvalNotification":{"type":"email","url":"https://example.com"}`), []string{"approvalNotification.url: cannot stand here"}},

		// Invocation methods.
		{"method of no type", method(`{"url":"x"}`), []string{"invocationMethod.type: is required"}},
		{"method of an unknown type", method(`{"type":"SLACK"}`), []string{
			`invocationMethod.type: must be one of "WEBHOOK", "GITHUB", "INTEGRATION_ACTION", "GITLAB", "AZURE_DEVOPS", "KAFKA", "UPSERT_ENTITY"`,
		}},
		{"v1's spelling in v2", method(`{"type":"AZURE-DEVOPS","org":"o","webhook":"w"}`), []string{
			`invocationMethod.type: must be one of "WEBHOOK", "GITHUB", "INTEGRATION_ACTION", "GITLAB", "AZURE_DEVOPS", "KAFKA", "UPSERT_ENTITY"`,
		}},
		{"v2's methods in v1", methodV1(`{"type":"UPSERT_ENTITY"}`), []string{
			`invocationMethod.type: must be one of "WEBHOOK", "KAFKA", "GITHUB", "GITLAB", "AZURE-DEVOPS"`,
		}},
		{"WEBHOOK", method(`{"type":"WEBHOOK","agent":1,"synchronized":[],"method":true,"headers":{"a":1},"body":"{{ .inputs }}"}`), []string{
			"invocationMethod.agent: must be a boolean or a string, got a number", "invocationMethod.body: must be an array or an object, got a string",
			"invocationMethod.headers.a: must be a string, got a number", "invocationMethod.method: must be a string, got a boolean",
			"invocationMethod.synchronized: must be a boolean or a string, got an array", "invocationMethod.url: is required",
		}},
		{"headers as a list", with("method", `"headers":["a"]`), []string{"invocationMethod.headers: must be an object, got an array"}},
		{"GET with an array", with("method", `"method":"GET","body":[1]`), []string{"invocationMethod.body: a GET has no array for a body; its members go into the query"}},
		{"GITHUB", method(`{"type":"GITHUB","reportWorkflowStatus":1,"workflowInputs":[]}`), []string{
			"invocationMethod.org: is required", "invocationMethod.repo: is required",
			"invocationMethod.reportWorkflowStatus: must be a boolean or a string, got a number", "invocationMethod.workflow: is required",
			"invocationMethod.workflowInputs: must be an object, got an array",
		}},
		{"INTEGRATION_ACTION", method(`{"type":"INTEGRATION_ACTION","integrationActionType":"other","integrationActionExecutionProperties":{"x":1}}`), []string{
			"invocationMethod.installationId: is required",
			"invocationMethod.integrationActionExecutionProperties.org: is required",
			"invocationMethod.integrationActionExecutionProperties.repo: is required",
			"invocationMethod.integrationActionExecutionProperties.workflow: is required",
			"invocationMethod.integrationActionExecutionProperties.x: unknown field",
			`invocationMethod.integrationActionType: must be "dispatch_workflow"`,
		}},
		{"GITLAB", method(`{"type":"GITLAB","defaultRef":1,"pipelineVariables":"x","agent":true}`), []string{
			"invocationMethod.agent: unknown field", "invocationMethod.defaultRef: must be a string, got a number",
			"invocationMethod.groupName: is required", "invocationMethod.pipelineVariables: must be an object, got a string",
			"invocationMethod.projectName: is required",
		}},
		{"AZURE_DEVOPS", method(`{"type":"AZURE_DEVOPS","payload":1}`), []string{
			"invocationMethod.org: is required", "invocationMethod.payload: must be an array or an object, got a number", "invocationMethod.webhook: is required",
		}},
		{"KAFKA", method(`{"type":"KAFKA","payload":"x","topic":"t"}`), []string{
			"invocationMethod.payload: must be an array or an object, got a string", "invocationMethod.topic: unknown field",
		}},
		{"UPSERT_ENTITY", method(`{"type":"UPSERT_ENTITY","mapping":{"identifier":1,"title":1,"team":[1],"icon":1,"properties":[],"relations":{"a":1,"b":[{}]},"x":1}}`), []string{
			"invocationMethod.blueprintIdentifier: is required", "invocationMethod.mapping.icon: must be a string, got a number",
			"invocationMethod.mapping.identifier: must be a string or an object, got a number",
			"invocationMethod.mapping.properties: must be an object, got an array",
			"invocationMethod.mapping.relations.a: must be a string, an array or an object, got a number",
			"invocationMethod.mapping.relations.b[0]: must be a string, got an object",
			"invocationMethod.mapping.team[0]: must be a string, got a number", "invocationMethod.mapping.title: must be a string, got a number",
			"invocationMethod.mapping.x: unknown field",
		}},
		{"v1 WEBHOOK", methodV1(`{"type":"WEBHOOK","agent":"true","body":{},"headers":{}}`), []string{
			"invocationMethod.agent: must be a boolean, got a string", "invocationMethod.body: unknown field",
			"invocationMethod.headers: unknown field", "invocationMethod.url: is required",
		}},
		{"v1 KAFKA", methodV1(`{"type":"KAFKA","payload":{}}`), []string{"invocationMethod.payload: unknown field"}},
		{"v1 GITHUB", methodV1(`{"type":"GITHUB","org":"o","repo":"r","workflow":true,"omitPayload":"x","agent":true}`), []string{
			"invocationMethod.agent: unknown field", "invocationMethod.omitPayload: must be a boolean, got a string",
			"invocationMethod.workflow: must be an integer or a string, got a boolean",
		}},
		{"v1 GITLAB", methodV1(`{"type":"GITLAB","pipelineVariables":{}}`), []string{
			"invocationMethod.groupName: is required", "invocationMethod.pipelineVariables: unknown field", "invocationMethod.projectName: is required",
		}},
		{"v1 AZURE-DEVOPS", methodV1(`{"type":"AZURE-DEVOPS","payload":{}}`), []string{
			"invocationMethod.org: is required", "invocationMethod.payload: unknown field", "invocationMethod.webhook: is required",
		}},

		// Templates.
		{"unbalanced and nested braces", with("method", `"headers":{"a":"{{ .x","b":"ü😀 .x }}"},"body":{"deep":[{"x":"{{ a {{ b }} }}"}]}`), []string{
			"invocationMethod.body.deep[0].x: Found double braces in index 5 inside other one in index 0 @5",
			"invocationMethod.headers.a: Found opening double braces in index 0 without closing double braces @0",
			"invocationMethod.headers.b: Found closing double braces in index 7 without opening double braces @7",
		}},
		{"braces beside other faults", `{"identifier":"a b","trigger":{"type":"self-service"},"invocationMethod":{"type":"WEBHOOK","url":"{{","x":"}}"}}`, []string{
			identifierFault,
			"invocationMethod.url: Found opening double braces in index 0 without closing double braces @0",
			"invocationMethod.x: Found closing double braces in index 0 without opening double braces @0",
			"invocationMethod.x: unknown field", "trigger.operation: is required",
		}},

		// User inputs.
		{"order and steps", with("inputs", `"order":[],"steps":[]`), []string{"trigger.userInputs.steps: order and steps exclude one another"}},
		{"steps", with("inputs", `"steps":[{},{"title":"12345678901234567890123456","order":"a","visible":"yes"},3]`), []string{
			"trigger.userInputs.steps[0].title: is required", "trigger.userInputs.steps[1].order: must be an array, got a string",
			"trigger.userInputs.steps[1].title: must have at most 25 characters",
			"trigger.userInputs.steps[1].visible: must be a boolean or an object, got a string",
			"trigger.userInputs.steps[2]: must be an object, got a number",
		}},
		{"titles", with("inputs", `"titles":{"a":{"title":"","description":"`+strings.Repeat("x", 1001)+`"},"b":"x"}`), []string{
			"trigger.userInputs.titles.a.description: must have at most 1000 characters", "trigger.userInputs.titles.a.title: must have at least 1 character",
			"trigger.userInputs.titles.b: must be an object, got a string",
		}},
		{"required and order", with("inputs", `"required":"a","order":[1]`), []string{
			"trigger.userInputs.order[0]: must be a string, got a number", "trigger.userInputs.required: must be an array or an object, got a string",
		}},
		{"inputs of v1", methodV1(`{"type":"KAFKA"},"userInputs":{"properties":{"a":{"type":"date"}}}`), []string{
			`userInputs.properties.a.type: must be one of "string", "number", "boolean", "object", "array"`,
		}},
		{"an input without type", input(`{}`), []string{"trigger.userInputs.properties.alpha.type: is required"}},
		{"an input that is null", input(`null`), []string{"trigger.userInputs.properties.alpha: must be an object, got null"}},
		{"an input that is a string", input(`"string"`), []string{"trigger.userInputs.properties.alpha: must be an object, got a string"}},
		{"a format that is none", input(`{"type":"string","format":"uri"}`), []string{
			`trigger.userInputs.properties.alpha.format: must be one of "date-time", "url", "email", "ipv4", "ipv6", "yaml", "markdown", "multi-line", "proto", "labeled-url", "entity", "user", "team"`,
		}},
		{"keywords of the wrong type", input(`{"type":"string","title":1,"enum":"a","enumColors":{"a":1},"dependsOn":"b","visible":0,"disabled":"","minLength":-1,"maxLength":1.5,"pattern":1,"minimum":"1","uniqueItems":1}`), []string{
			"trigger.userInputs.properties.alpha.dependsOn: must be an array, got a string",
			"trigger.userInputs.properties.alpha.disabled: must be a boolean or an object, got a string",
			"trigger.userInputs.properties.alpha.enum: must be an array or an object, got a string",
			"trigger.userInputs.properties.alpha.enumColors.a: must be a string, got a number",
			"trigger.userInputs.properties.alpha.maxLength: must be an integer, got a number",
			"trigger.userInputs.properties.alpha.minLength: must be at least 0",
			"trigger.userInputs.properties.alpha.minimum: must be a number, got a string",
			"trigger.userInputs.properties.alpha.pattern: must be a string or an object, got a number",
			"trigger.userInputs.properties.alpha.title: must be a string, got a number",
			"trigger.userInputs.properties.alpha.uniqueItems: must be a boolean, got a number",
			"trigger.userInputs.properties.alpha.visible: must be a boolean or an object, got a number",
		}},
		{"a pattern that does not compile", input(`{"type":"array","items":{"type":"string","pattern":"(a"}}`), []string{
			"trigger.userInputs.properties.alpha.items.pattern: must be a regular expression: error parsing regexp: missing closing ) in `(a`",
		}},
		{"multipleOf 0", input(`{"type":"number","multipleOf":0}`), []string{"trigger.userInputs.properties.alpha.multipleOf: must be more than 0"}},
		{"references", input(`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`), []string{
			`trigger.userInputs.properties.alpha.properties.a.$ref: unknown field`,
		}},
		{"an object that is no query", input(`{"type":"string","visible":{"jq":".x"},"enum":{"jqQuery":1},"minLength":{"jqQuery":"1"}}`), []string{
			"trigger.userInputs.properties.alpha.enum.jqQuery: must be a string, got a number",
			"trigger.userInputs.properties.alpha.minLength: must be an integer, got an object",
			"trigger.userInputs.properties.alpha.visible.jq: unknown field", "trigger.userInputs.properties.alpha.visible.jqQuery: is required",
		}},
		{"sort", input(`{"type":"string","sort":{"order":"UP"}}`), []string{
			`trigger.userInputs.properties.alpha.sort.order: must be one of "ASC", "DESC"`, "trigger.userInputs.properties.alpha.sort.property: is required",
		}},
		{"dataset", input(`{"type":"array","items":{"type":"string","format":"entity","dataset":{"combinator":"xor","rules":[{"property":1,"operator":"="},{"combinator":"and","rules":{}},{"operator":2,"x":1}]}}}`), []string{
			`trigger.userInputs.properties.alpha.items.dataset.combinator: must be one of "and", "or"`,
			"trigger.userInputs.properties.alpha.items.dataset.rules[0].property: must be a string or an object, got a number",
			"trigger.userInputs.properties.alpha.items.dataset.rules[1].rules: must be an array, got an object",
			"trigger.userInputs.properties.alpha.items.dataset.rules[2].operator: must be a string, got a number",
			"trigger.userInputs.properties.alpha.items.dataset.rules[2].x: unknown field",
		}},
		{"encryption of a number", input(`{"type":"number","encryption":"aes256-gcm"}`), []string{"trigger.userInputs.properties.alpha.encryption: only inputs of type string or object can be encrypted"}},
		{"encryption of a part", input(`{"type":"object","properties":{"a":{"type":"string","encryption":"aes256-gcm"}}}`), []string{
			"trigger.userInputs.properties.alpha.properties.a.encryption: only a whole input can be encrypted, no part of one",
		}},
		{"encryption by an unknown name", input(`{"type":"string","encryption":"rot13"}`), []string{`trigger.userInputs.properties.alpha.encryption: must be "aes256-gcm"`}},
		{"encryption by an unknown algorithm", input(`{"type":"string","encryption":{"algorithm":"rot13"}}`), []string{
			`trigger.userInputs.properties.alpha.encryption.algorithm: must be one of "aes256-gcm", "client-side"`,
		}},
		{"client-side encryption without key", input(`{"type":"string","encryption":{"algorithm":"client-side"}}`), []string{"trigger.userInputs.properties.alpha.encryption.key: is required"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := action.Parse(json.RawMessage(tt.text))
			if diff := cmp.Diff(sorted(tt.want), sorted(faultLines(t, err))); diff != "" || d != nil {
				t.Errorf("Parse(%s) = %v, faults (-want +got):\n%s", tt.text, d, diff)
			}
		})
	}
}

const (
	identifierRule  = `must be made of letters, digits and @ _ . + : = -, and be none of ".", "..", "runs", "bulk"`
	identifierFault = "identifier: " + identifierRule
	blueprintRule   = `must be made of letters, digits and @ _ . + : \ / -, and be neither "." nor ".."`
	nameRule        = `a name must be made of letters A to Z, digits and @ _ = \ -`
)

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"identifier of every character":   with("top", `"identifier":"Größe.0-9@_+:=日本"`),
		"identifier of 100 characters":    with("top", `"identifier":"`+strings.Repeat("ü", 100)+`"`),
		"blueprint with a slash":          with("trigger", `"blueprintIdentifier":"org/repo\\x"`),
		"DAY-2 without a blueprint":       trigger(`{"type":"self-service","operation":"DAY-2"}`),
		"DELETE with a condition":         trigger(`{"type":"self-service","operation":"DELETE","blueprintIdentifier":"b","condition":{"type":"SEARCH","combinator":"or","rules":[{"operator":"relatedTo","blueprint":"c","value":"x","direction":"upstream","required":true},{"property":{"context":"user","property":"x"},"operator":"=","value":null},{"property":"$title","operator":"between","value":{"preset":"today"}},{"operator":"=","propertySchema":{"type":"string"}},{"combinator":"and","rules":[]}]}}`),
		"no user inputs":                  trigger(`{"type":"self-service","operation":"CREATE"}`),
		"user inputs that are null":       trigger(`{"type":"self-service","operation":"CREATE","userInputs":null}`),
		"null wherever it may stand":      with("top", `"title":null,"icon":null,"description":null,"requiredApproval":null,"approvalNotification":null,"publish":null,"allowAnyoneToViewRuns":null`),
		"null in the method":              with("method", `"agent":null,"synchronized":null,"method":null,"headers":null,"body":null`),
		"null in the inputs":              with("trigger", `"blueprintIdentifier":null,"condition":null,"actionCardButtonText":null,"userInputs":{"properties":null,"required":null,"order":null,"steps":null,"titles":null}`),
		"null in an input":                input(`{"type":"string","title":null,"default":null,"enum":null,"visible":null,"format":null,"pattern":null,"minLength":null,"encryption":null,"items":null,"properties":null,"required":null,"sort":null,"dataset":null,"jqQuery":null}`),
		"order names titles":              with("inputs", `"titles":{"t":{"title":"T","description":"d","visible":false}},"order":["t"]`),
		"steps name titles":               with("inputs", `"titles":{"t":{}},"steps":[{"title":"1234567890123456789012345","order":["t"],"visible":{"jqQuery":"true"}},{"title":""}]`),
		"button texts":                    with("trigger", `"actionCardButtonText":"Go","executeActionButtonText":"123456789 12345"`),
		"approval true":                   with("top", `"requiredApproval":true`),
		"approval ALL":                    with("top", `"requiredApproval":{"type":"ALL"}`),
		"webhook notification":            with("top", `"approvalNotification":{"type":"webhook","url":"https://example.com/x","format":"slack"}`),
		"e-mail notification":             with("top", `"approvalNotification":{"type":"email"}`),
		"WEBHOOK of templates":            method(`{"type":"WEBHOOK","url":"{{ .inputs.url }}","agent":"{{ .inputs.a }}","synchronized":"false","method":"{{ .inputs.m }}","headers":{"{{ .inputs.h }}":"{{ .x }}","Y":null},"body":[{"{{ spreadValue() }}":"{{ .inputs }}"}]}`),
		"WEBHOOK to Slack":                method(`{"type":"WEBHOOK","url":"https://hooks.slack.com/x","body":{"text":"hi"}}`),
		"GET with an object":              with("method", `"method":"GET","body":{"a":[1]}`),
		"GET that may have an array":      with("method", `"method":"{{ .inputs.method }}","body":[1]`),
		"GITHUB":                          method(`{"type":"GITHUB","org":"o","repo":"r","workflow":"w.yml","workflowInputs":{"a":{"b":1}},"reportWorkflowStatus":"{{ true }}"}`),
		"INTEGRATION_ACTION":              method(`{"type":"INTEGRATION_ACTION","installationId":"1","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w","workflowInputs":{},"reportWorkflowStatus":false}}`),
		"GITLAB":                          method(`{"type":"GITLAB","projectName":"p","groupName":"g","defaultRef":"main","pipelineVariables":{}}`),
		"AZURE_DEVOPS":                    method(`{"type":"AZURE_DEVOPS","webhook":"w","org":"o","payload":[]}`),
		"KAFKA":                           method(`{"type":"KAFKA","payload":{}}`),
		"UPSERT_ENTITY of nothing":        method(`{"type":"UPSERT_ENTITY","blueprintIdentifier":"{{ .inputs.b }}","mapping":{}}`),
		"UPSERT_ENTITY":                   method(`{"type":"UPSERT_ENTITY","blueprintIdentifier":"b","mapping":{"identifier":"i","title":"t","team":["a"],"icon":"x","properties":{"a":[1]},"relations":{"a":"x","b":["y"],"c":null,"d":{"combinator":"and","rules":[]}}}}`),
		"UPSERT_ENTITY, team a template":  method(`{"type":"UPSERT_ENTITY","blueprintIdentifier":"b","mapping":{"team":"{{ .inputs.team }}"}}`),
		"v1 WEBHOOK":                      methodV1(`{"type":"WEBHOOK","url":"https://x","agent":true,"method":"PUT","synchronized":false}`),
		"v1 braces are no template":       methodV1(`{"type":"WEBHOOK","url":"https://x/{{"}`),
		"v1 KAFKA":                        methodV1(`{"type":"KAFKA"}`),
		"v1 GITHUB":                       methodV1(`{"type":"GITHUB","org":"o","repo":"r","workflow":17,"omitPayload":true,"omitUserInputs":false,"reportWorkflowStatus":true}`),
		"v1 GITLAB":                       methodV1(`{"type":"GITLAB","projectName":"p","groupName":"g","agent":true,"defaultRef":"main","omitPayload":true,"omitUserInputs":true}`),
		"v1 AZURE-DEVOPS":                 methodV1(`{"type":"AZURE-DEVOPS","org":"o","webhook":"w"}`),
		"v1 of every field":               methodV1(`{"type":"KAFKA"},"title":"t","icon":"i","description":"d","blueprint":"b","userInputs":{"properties":{"a":{"type":"string"}},"required":["a"]},"requiredApproval":true,"approvalNotification":{"type":"email"},"publish":false`),
		"entity event":                    trigger(`{"type":"automation","event":{"type":"ENTITY_UPDATED","blueprintIdentifier":"b"},"condition":{"type":"JQ","expressions":[],"combinator":"or"}}`),
		"timer event":                     trigger(`{"type":"automation","event":{"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"b","propertyIdentifier":"p"}}`),
		"run event":                       trigger(`{"type":"automation","event":{"type":"ANY_RUN_CHANGE","actionIdentifier":"a"},"condition":{"type":"JQ","expressions":["true"]}}`),
		"schedule":                        trigger(`{"type":"automation","event":{"type":"SCHEDULE","expression":"cron(0 9 ? * MON-FRI *)","timezone":"Europe/Berlin"}}`),
		"a string input":                  input(`{"type":"string","title":"t","description":"d","icon":"i","tooltip":"x","default":"a","enum":["a"],"enumColors":{"a":"red"},"dependsOn":["b"],"visible":true,"disabled":false,"minLength":0,"maxLength":9,"pattern":"^(?!b)\\p{L}+$","format":"labeled-url"}`),
		"a number input":                  input(`{"type":"number","minimum":1,"maximum":9,"exclusiveMinimum":0.5,"exclusiveMaximum":1e3,"multipleOf":0.5,"enum":[1,2.0]}`),
		"an array input":                  input(`{"type":"array","items":{"type":"string","format":"entity","blueprint":"b","default":"x","dataset":{"combinator":"and","rules":[{"property":"$team","operator":"containsAny","value":{"jqQuery":".user.teams"}}]}},"minItems":1,"maxItems":2,"uniqueItems":true,"sort":{"property":"$title","order":"ASC"}}`),
		"an array of anything":            input(`{"type":"array"}`),
		"an object input":                 input(`{"type":"object","properties":{"a":{"type":"string"},"$ref":{"enum":[1]}},"required":["a","a"],"additionalProperties":{"type":"number"},"minProperties":1,"maxProperties":9,"encryption":{"algorithm":"aes256-gcm"}}`),
		"client-side encryption":          input(`{"type":"string","encryption":{"algorithm":"client-side","key":` + publicKey(t) + `}}`),
		"queries wherever they may stand": input(`{"type":"array","default":{"jqQuery":"[]"},"enum":{"jqQuery":"[]"},"visible":{"jqQuery":"true"},"disabled":{"jqQuery":"false"},"minItems":{"jqQuery":"1"},"maxItems":{"jqQuery":"2"},"required":{"jqQuery":"[]"},"items":{"type":"string","pattern":{"jqQuery":"\"x\""}}}`),
		"of a repeated member the last":   with("top", `"identifier":"a b","identifier":"ok"`),
		"keywords of another type":        input(`{"type":"number","minLength":3,"items":{"type":"string"}}`),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := parse(t, text); len(d.Warnings) > 0 {
				t.Errorf("warnings %v", d.Warnings)
			}
		})
	}
}
