package awsevent_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"longshore/pkg/awsevent"
)

func TestBesideHandsOnWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	h := awsevent.Beside(
		func(context.Context, json.RawMessage) (any, error) { return "handed on", nil },
		func(_ context.Context, text json.RawMessage) (bool, error) {
			switch string(text) {
			case `"taken"`:
				return true, nil
			case `"failed"`:
				return true, failed
			}
			return false, nil
		})
	for text, want := range map[string]struct {
		answer any
		err    error
	}{`"taken"`: {}, `"failed"`: {err: failed}, `"other"`: {answer: "handed on"}} {
		if got, err := h(t.Context(), json.RawMessage(text)); got != want.answer || !errors.Is(err, want.err) {
			t.Errorf("%s: got %v, %v; want %v, %v", text, got, err, want.answer, want.err)
		}
	}
}
