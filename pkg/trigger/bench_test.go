package trigger_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// nowhere accepts every run and keeps none.
type nowhere struct{}

func (nowhere) Accept(context.Context, *run.Run, *run.Body, *queue.Message, *run.Log) error {
	return nil
}

// BenchmarkStart triggers an action whose payload has 4 KiB, without a store.
func BenchmarkStart(b *testing.B) {
	text := strings.Repeat("Lorem ipsum dolor sit amet, consectetur. ", 88)
	properties := `{"name":"checkout","tier":"gold","replicas":3,"notify":true,"tags":["a","b","c"],"description":"` + text + `"}`
	const inputs = `{"properties":{"name":{"type":"string"},"tier":{"type":"string","enum":["gold","silver"]},` +
		`"replicas":{"type":"number","minimum":1},"notify":{"type":"boolean"},"tags":{"type":"array","items":{"type":"string"}},` +
		`"description":{"type":"string","maxLength":5000}},"required":["name"]}`
	for _, c := range []struct{ name, definition string }{
		{"v2", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":` + inputs + `},
			"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hooks/{{ .inputs.name }}","headers":{"X-Run":"{{ .run.id }}"},
			"body":{"{{ spreadValue() }}":"{{ .inputs }}","context":{"runId":"{{ .run.id }}","by":"{{ .trigger.by.userId }}","action":"{{ .action.identifier }}"}}}}`},
		{"v1", `{"identifier":"a","trigger":"CREATE","userInputs":` + inputs + `,"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := &definitions{records: map[string]*action.Record{}}
			d.add(b, c.definition)
			tr := trigger.New(trigger.Config{
				Permissions: permission.New(permission.Config{}), Actions: action.NewCache(d), Accepter: nowhere{}, OrgID: "org_1",
				Configured: func(string) bool { return true }, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
			})
			b.ReportAllocs()
			for b.Loop() {
				// Decoding is part of a request; properties are never shared between two.
				if _, err := tr.Start(b.Context(), request(b, "a", properties)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
