package local_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// writeEntities follows runs of UPSERT_ENTITY from the request to the entity, as a client sees them.
func writeEntities(t *testing.T, c local.Config) {
	t.Helper()
	api, q, _ := open(t, c)
	q.call("POST", "/v1/blueprints/_user/entities", `{"identifier":"ada@example.com","properties":{}}`)
	q.call("POST", "/v1/blueprints", `{"identifier":"system","title":"System","schema":{"properties":{}}}`)
	q.call("POST", "/v1/blueprints", `{"identifier":"service","title":"Service","schema":{"properties":{"ttl":{"type":"string","format":"date-time"},
		"n":{"type":"number"}}},"relations":{"system":{"target":"system","required":false,"many":false}}}`)
	q.call("POST", "/v1/blueprints/service/entities", `{"identifier":"org/cart","title":"Cart","properties":{"n":7}}`)
	q.call("POST", "/v1/organization/secrets", `{"secretName":"WORD","secretValue":"hidden-word"}`)
	for name, mapping := range map[string]string{
		"extend": `{"identifier":"{{ .entity.identifier }}","properties":{"ttl":"{{ .inputs.until }}"}}`,
		"create": `{"title":"By {{ .trigger.by.user.email }}","properties":{"n":"{{ .inputs.n }}"}}`,
		"relate": `{"identifier":"{{ .inputs.name }}","relations":{"system":"{{ .secrets.WORD }}"}}`,
	} {
		trigger := `{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"n":{"type":"number"},"name":{"type":"string"}}}}`
		if name == "extend" {
			trigger = `{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service","userInputs":{"properties":{"until":{"type":"string"}}}}`
		}
		q.call("POST", "/v1/actions", `{"identifier":"`+name+`","trigger":`+trigger+`,
			"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":`+mapping+`}}`)
	}
	// end starts a run for Ada and returns it once it has ended.
	end := func(action, body, status string) map[string]any {
		t.Helper()
		id := q.call("POST", "/v1/actions/"+action+"/runs?run_as=ada@example.com", body)["run"].(map[string]any)["id"].(string)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := api.Follow(ctx, id, 20*time.Millisecond, func(client.Log) {}); err != nil {
			t.Fatal(err)
		}
		r := q.call("GET", "/v1/actions/runs/"+id, "")["run"].(map[string]any)
		if r["status"] != status {
			t.Fatalf("run of %s: %v, want %s; log %v", action, r, status, q.call("GET", "/v1/actions/runs/"+id+"/logs", ""))
		}
		return r
	}
	// entity is what a run's link leads to.
	entity := func(r map[string]any) map[string]any {
		t.Helper()
		link, _ := r["link"].(string)
		path, found := strings.CutPrefix(link, q.url)
		if !found {
			t.Fatalf("link is %v, want one of %s", r["link"], q.url)
		}
		return q.call("GET", path, "")["entity"].(map[string]any)
	}

	r := end("extend", `{"entity":"org/cart","properties":{"until":"2030-01-01T00:00:00Z"}}`, "SUCCESS")
	e := entity(r)
	properties := e["properties"].(map[string]any)
	if e["identifier"] != "org/cart" || e["title"] != "Cart" || properties["ttl"] != "2030-01-01T00:00:00Z" || properties["n"] != 7.0 {
		t.Errorf("entity is %v", e)
	}
	if e["createdBy"] != "client_1" || e["updatedBy"] != r["userId"] || r["userId"] == "client_1" {
		t.Errorf("created by %v, updated by %v; want the client, and the run's user %v", e["createdBy"], e["updatedBy"], r["userId"])
	}
	var told []string
	for _, a := range q.call("GET", "/v1/audit-log?resources=entity&run_id="+r["id"].(string), "")["audits"].([]any) {
		a := a.(map[string]any)
		by := a["trigger"].(map[string]any)["by"].(map[string]any)
		told = append(told, a["action"].(string))
		if a["context"].(map[string]any)["runId"] != r["id"] || by["userId"] != r["userId"] {
			t.Errorf("entry of the change: %v", a)
		}
	}
	if len(told) != 1 || told[0] != "UPDATE" {
		t.Errorf("the audit log has %q of the run's entity, want one UPDATE", told)
	}
	payload := r["payload"].(map[string]any)
	if payload["type"] != "UPSERT_ENTITY" || payload["mapping"].(map[string]any)["identifier"] != "org/cart" {
		t.Errorf("payload is %v", payload)
	}

	e = entity(end("create", `{"properties":{"n":1}}`, "SUCCESS"))
	if e["title"] != "By ada@example.com" || e["createdBy"] != r["userId"] || len(e["identifier"].(string)) != 26 {
		t.Errorf("entity is %v", e)
	}

	// Every fault, and nothing written. A value that the log shows is masked where it is a secret.
	r = end("extend", `{"entity":"org/cart","properties":{"until":"tomorrow"}}`, "FAILURE")
	q.log(r["id"].(string), "properties.ttl: ")
	r = end("relate", `{"properties":{"name":"new"}}`, "FAILURE")
	q.log(r["id"].(string), `the blueprint system has no entity "******"`)
	r = end("relate", `{"properties":{"name":"a b"}}`, "FAILURE")
	if n := q.call("GET", "/v1/blueprints/service/entities-count", "")["count"]; n != 2.0 {
		t.Errorf("there are %v entities, want two", n)
	}
	q.call("POST", "/v1/blueprints/system/entities", `{"identifier":"hidden-word"}`)
	q.call("POST", "/v1/actions/runs/"+r["id"].(string)+"/redeliver", "")
	r = end("relate", `{"properties":{"name":"new"}}`, "SUCCESS")
	if e := entity(r); e["relations"].(map[string]any)["system"] != "hidden-word" {
		t.Errorf("entity is %v", e)
	}
	if p := r["payload"].(map[string]any)["mapping"].(map[string]any)["relations"].(map[string]any)["system"]; p != "******" {
		t.Errorf("payload has %v, want it masked", p)
	}
}

func TestUpsertOnSQLite(t *testing.T) {
	t.Parallel()
	writeEntities(t, local.WithChaos(config(t.TempDir())))
}

func TestUpsertOnAWS(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": emulator.DynamoDB(t), "AWS_ENDPOINT_URL_SQS": emulator.SQS(t),
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "runs-upsert-"+name, "catalog-upsert-"+name
	writeEntities(t, c)
}
