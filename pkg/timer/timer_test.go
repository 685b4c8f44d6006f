package timer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/timer"
)

func at(text string) time.Time {
	t, ok := timer.Moment(text)
	if !ok {
		panic(text)
	}
	return t
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-25T10:00:00Z":           "2026-11-25T10:00:00Z",
		"2026-11-25T10:00:00+02:00":      "2026-11-25T08:00:00Z",
		"2026-11-25T10:00:00.000000001Z": "2026-11-25T10:00:00.001Z",
		"2026-11-25T10:00:00.001Z":       "2026-11-25T10:00:00.001Z",
		"0001-01-01T00:00:00Z":           "1970-01-01T00:00:00.001Z",
		"9999-12-31T23:59:59Z":           "2200-01-01T00:00:00Z",
		"2026-11-25":                     "",
		"soon":                           "",
	} {
		got := ""
		if at, ok := timer.Moment(text); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("moment %s: got %q, want %q", text, got, want)
		}
	}
}

func TestEncodedTimersComeBack(t *testing.T) {
	t.Parallel()
	want := []timer.Timer{{"ends", at("2026-11-25T10:00:00.001Z")}, {`"<größe>`, at("2026-11-25T10:00:01Z")}}
	got, err := timer.Decode(timer.Encode(want))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, timers (-want +got):\n%s", err, diff)
	}
	if text := timer.Encode(nil); text != "" {
		t.Errorf("no timers are %q, want nothing", text)
	}
	for _, text := range []string{"{", `[["a"]]`, `[[1,1]]`, `[["a","b"]]`} {
		if got, err := timer.Decode(text); err == nil {
			t.Errorf("decode %s: got %v, want an error", text, got)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	timers := []timer.Timer{{"c", at("2026-11-25T10:00:02Z")}, {"b", at("2026-11-25T10:00:01Z")}, {"a", at("2026-11-25T10:00:01Z")}}
	timer.Sort(timers)
	ended, ahead := timer.Split(timers, at("2026-11-25T10:00:01Z"))
	if diff := cmp.Diff([]timer.Timer{{"a", at("2026-11-25T10:00:01Z")}, {"b", at("2026-11-25T10:00:01Z")}}, ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]timer.Timer{{"c", at("2026-11-25T10:00:02Z")}}, ahead); diff != "" {
		t.Errorf("ahead (-want +got):\n%s", diff)
	}
}

// Of an entity that was written before its timers were kept, the dates from the earliest on are timers.
func TestStoredBeforeTimersWereKept(t *testing.T) {
	t.Parallel()
	content := func() ([]byte, error) {
		return []byte(`{"title":"2027-01-01T00:00:00Z","properties":{"ends":"2026-11-25T10:00:00.0005Z","fired":"2026-11-25T09:00:00Z",
			"warns":"2026-11-26T10:00:00Z","n":7,"text":"x","none":null}}`), nil
	}
	first := at("2026-11-25T10:00:00.0005Z")
	got, err := timer.Stored("", first, content)
	want := []timer.Timer{{"ends", first}, {"warns", at("2026-11-26T10:00:00Z")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, timers (-want +got):\n%s", err, diff)
	}
	got, err = timer.Stored(timer.Encode(want[1:]), first, content)
	if diff := cmp.Diff(want[1:], got); diff != "" || err != nil {
		t.Errorf("with timers: error %v, timers (-want +got):\n%s", err, diff)
	}
	unread := func() ([]byte, error) { return nil, errors.New("unreadable") }
	if got, err := timer.Stored("", time.Time{}, unread); len(got) > 0 || err != nil {
		t.Errorf("without a timer: got %v, %v", got, err)
	}
	if _, err := timer.Stored("", first, unread); err == nil {
		t.Error("unreadable content is no error")
	}
}
