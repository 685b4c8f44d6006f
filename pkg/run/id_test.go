package run_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/pkg/run"
)

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	var ids []string
	// Steps from a millisecond to years cross every border between two digits of the alphabet.
	for at, step := start, time.Millisecond; len(ids) < 60; at, step = at.Add(step), step*3/2+1 {
		ids = append(ids, run.NewID(at))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids of ascending times do not ascend: %q", ids)
	}
}

func TestIDHoldsItsTime(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{
		"epoch":             time.UnixMilli(0),
		"now":               time.Date(2026, 7, 8, 9, 10, 11, 123e6, time.UTC),
		"finer than ms":     time.Date(2026, 7, 8, 9, 10, 11, 123456789, time.UTC),
		"other zone":        time.Date(2026, 7, 8, 9, 10, 11, 0, time.FixedZone("x", 3600)),
		"last with 8 chars": time.UnixMilli(218340105584895),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := run.IDTime(run.NewID(at))
			if want := at.UTC().Truncate(time.Millisecond); !ok || !got.Equal(want) {
				t.Errorf("IDTime(NewID(%s)) = %s, %t; want %s", at, got, ok, want)
			}
		})
	}
	if got, ok := run.IDTime(run.NewID(time.Time{})); !ok || !got.Equal(time.UnixMilli(0)) {
		t.Errorf("the id of a time before the epoch holds %s, %t; want the epoch", got, ok)
	}
}

func TestIDsAreWellFormedAndDiffer(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seen := map[string]bool{}
	used := map[byte]int{}
	for range 20_000 {
		id := run.NewID(now)
		if _, ok := run.IDTime(id); !ok || len(id) != 18 || !strings.HasPrefix(id, "r_") {
			t.Fatalf("NewID = %q", id)
		}
		if seen[id] {
			t.Fatalf("two ids are %q", id)
		}
		seen[id] = true
		for _, c := range []byte(id[10:]) {
			used[c]++
		}
	}
	// 160,000 characters of 62 are 2,580 each, with a deviation of 50.
	if len(used) != 62 {
		t.Errorf("random part uses %d characters, want 62", len(used))
	}
	for c, n := range used {
		if n < 2_200 || n > 3_000 {
			t.Errorf("character %q comes %d times, want about 2,580", c, n)
		}
	}
}

func TestIDTimeOfOtherText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "r_", "r_0000000000000000x", "r_000000000000000", "d_0000000000000000", "R_0000000000000000",
		"r_000000000000000-", "r_0000000000000000 "[:18] + " ", "r_00000000000000\x00\x00", "r_/000000000000000",
		"r_:000000000000000", "r_@000000000000000", "r_[000000000000000", "r_`000000000000000", "r_{000000000000000",
		"r_äääääääää"[:18], strings.Repeat("r", 400),
	} {
		if at, ok := run.IDTime(text); ok {
			t.Errorf("IDTime(%q) = %s, want none", text, at)
		}
	}
}

func TestLogIDsAscend(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var last string
	for i := range 1_000 {
		line := run.NewLog(now.Add(time.Duration(i/100)*time.Millisecond), "r_1", run.Own, "text")
		if line.ID <= last {
			t.Fatalf("line %d has id %s after %s", i, line.ID, last)
		}
		last = line.ID
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, c := range []struct {
		backend string
		setting time.Duration
		want    time.Duration
	}{
		{"webhook", 0, 7 * day},
		{"agent", 0, 7 * day},
		{"github", 0, 35 * day},
		{"gitlab", 0, 35 * day},
		{"webhook", time.Hour, time.Hour},
		{"github", time.Hour, time.Hour},
		{"gitlab", -time.Hour, 35 * day},
	} {
		if got := run.Timeouts(c.setting)(c.backend); got != c.want {
			t.Errorf("Timeouts(%s)(%q) = %s, want %s", c.setting, c.backend, got, c.want)
		}
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	configured := func(backend string) bool { return backend == "webhook" || backend == "agent" }
	for backend, want := range map[string]string{
		"webhook": "",
		"kafka":   "backend kafka is not configured in this deployment: the run waits until it is",
		"agent":   "the run waits until an agent or an integration claims it",
	} {
		if got := run.Waiting(backend, configured); got != want {
			t.Errorf("Waiting(%q) = %q, want %q", backend, got, want)
		}
	}
}

// pick is used by the random tests of this package.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func TestDerivedID(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
	id := run.DerivedID(at, "event_1", "action_1")
	if got, ok := run.IDTime(id); !ok || !got.Equal(at) || len(id) != 18 {
		t.Errorf("%s holds the time %s, %v, want %s", id, got, ok, at)
	}
	if again := run.DerivedID(at, "event_1", "action_1"); again != id {
		t.Errorf("the same event and automation have %s and %s", id, again)
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		run.DerivedID(at, "event_2", "action_1"), run.DerivedID(at, "event_1", "action_2"), run.DerivedID(at, "event_1a", "ction_1"),
		run.DerivedID(at.Add(time.Millisecond), "event_1", "action_1"),
	} {
		if seen[other] {
			t.Errorf("another event or automation has the same id %s", other)
		}
		seen[other] = true
	}
}
