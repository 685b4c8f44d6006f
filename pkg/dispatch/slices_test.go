package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
)

// sliced answers for migrations by their ids.
type sliced map[string]error

// Continue implements what Slices needs.
func (s sliced) Continue(_ context.Context, id string, n int) (bool, error) {
	if id == "mig_panics" {
		panic("at the wrong moment")
	}
	return n == 3, s[id]
}

func TestSlices(t *testing.T) {
	t.Parallel()
	message := func(m queue.Message) string {
		text, err := queue.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	slice := func(id string, n int) string {
		return message(queue.Message{PK: id, Generation: n, Kind: queue.KindDelete})
	}
	var events []dispatch.Event
	counted := make(chan dispatch.Event, 10)
	h := dispatch.NewSlices(dispatch.SlicesConfig{
		Migrations: sliced{
			"mig_gone": fault.New(fault.NotFound, "", "none"), "mig_busy": fault.Busy(errors.New("x"), 0, "busy"),
		},
		Log: slog.New(slog.DiscardHandler), Count: func(e dispatch.Event) { counted <- e },
	})
	var messages []queue.Received
	for id, body := range map[string]string{
		"done": slice("mig_1", 3), "old": slice("mig_1", 2), "gone": slice("mig_gone", 3), "busy": slice("mig_busy", 3),
		"panics": slice("mig_panics", 3), "run": message(queue.Message{PK: "r_1", Generation: 1, Kind: queue.KindRun}), "text": "text",
	} {
		messages = append(messages, queue.Received{ID: id, Body: body, Count: 1})
	}
	again := h.Handle(t.Context(), messages)
	slices.Sort(again)
	if diff := cmp.Diff([]string{"busy", "panics", "run", "text"}, again); diff != "" {
		t.Errorf("messages that come again (-want +got):\n%s", diff)
	}
	for range messages {
		events = append(events, <-counted)
	}
	slices.Sort(events)
	want := []dispatch.Event{
		dispatch.Broken, dispatch.Broken, dispatch.Continued, dispatch.Dropped, dispatch.Dropped, dispatch.Undecodable, dispatch.Undecodable,
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
