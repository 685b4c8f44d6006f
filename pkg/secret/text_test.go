package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"longshore/pkg/secret"
)

func TestTextHidesItself(t *testing.T) {
	t.Parallel()
	const value = "hunter2-hunter2"
	type open struct{ T secret.Text }
	type closed struct {
		t secret.Text
		p *secret.Text
		m map[string]secret.Text
	}
	s := secret.NewText(value)
	held := closed{s, &s, map[string]secret.Text{"a": s}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "text", s, "in", open{s}, "err", fmt.Errorf("with %v", s))
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "text", s, "in", open{s}, "held", held)
	shown := []string{log.String(), s.String(), errors.New(fmt.Sprint(s)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%10.3s", "%T"} {
		for _, v := range []any{s, &s, open{s}, &open{s}, held, &held, []secret.Text{s}} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{s, open{s}, []any{s}, map[string]any{"a": &s}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(text))
	}
	if text, err := xml.Marshal(open{s}); err == nil {
		shown = append(shown, string(text))
	}
	var stream bytes.Buffer
	if err := gob.NewEncoder(&stream).Encode(open{s}); err != nil {
		t.Fatal(err)
	}
	shown = append(shown, stream.String())
	for _, text := range shown {
		for _, sight := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
			if strings.Contains(text, sight) {
				t.Errorf("the value shows: %q", text)
			}
		}
	}
	if s.Reveal() != value || (secret.Text{}).Reveal() != "" {
		t.Error("the value does not come back")
	}
	if !s.Equal(secret.NewText(value)) || s.Equal(secret.NewText("other")) {
		t.Error("equality is not that of the values")
	}
}
