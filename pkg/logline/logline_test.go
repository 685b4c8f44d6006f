package logline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/logline"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(logline.Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})))
	log.InfoContext(context.Background(), "nobody's")
	logline.Set(context.Background(), slog.String("run_id", "lost"))
	outer := logline.Begin(t.Context(), slog.String(logline.RequestID, "q"))
	inner := logline.Begin(outer, slog.String(logline.MessageID, "m"))
	logline.Set(inner, slog.String(logline.RunID, "r1"))
	logline.Set(inner, slog.String(logline.RunID, "r2"))
	log.With(slog.String("b", "c")).InfoContext(inner, "inner", slog.Int("n", 1))
	log.InfoContext(inner, "own", slog.String(logline.RunID, "mine"))
	log.InfoContext(outer, "outer")
	if got := logline.Get(inner, logline.RunID); got != "r2" {
		t.Errorf("Get = %q", got)
	}
	if got := logline.Get(outer, logline.RunID) + logline.Get(t.Context(), logline.RunID); got != "" {
		t.Errorf("Get of what is not there = %q", got)
	}
	want := `{"msg":"nobody's"}
{"msg":"inner","b":"c","n":1,"request_id":"q","message_id":"m","run_id":"r2"}
{"msg":"own","run_id":"mine","request_id":"q","message_id":"m"}
{"msg":"outer","request_id":"q"}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}
