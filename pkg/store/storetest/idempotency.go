package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

// reservation returns a new reservation of a key for a run that nobody has recorded.
func reservation(key, bodyHash string, now time.Time) run.Reservation {
	return run.Reservation{
		Key: key, RunID: run.NewID(now), BodyHash: bodyHash,
		Until: now.Add(run.ReserveFor), Expires: now.Add(run.KeyLifetime),
	}
}

// reserve checks who holds a key after a try to take it.
func reserve(t *testing.T, s RunStore, want run.Reservation, now time.Time, wantHeld run.Reservation, wantWon bool) {
	t.Helper()
	held, won, err := s.Reserve(t.Context(), want, now)
	if err != nil {
		t.Fatalf("reserve: %v", err)
	}
	if won != wantWon {
		t.Errorf("won is %t, want %t", won, wantWon)
	}
	if diff := cmp.Diff(wantHeld, held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if got, found, err := s.Reserved(t.Context(), want.Key, now); err != nil || !found || !cmp.Equal(got, wantHeld) {
		t.Errorf("reserved is %+v, %t, %v; want %+v", got, found, err, wantHeld)
	}
	if got, found, err := s.Reserved(t.Context(), want.Key, wantHeld.Expires); err != nil || found {
		t.Errorf("after its end the key is held by %+v, %v", got, err)
	}
	if got, found, err := s.Reserved(t.Context(), want.Key+" of nobody", now); err != nil || found {
		t.Errorf("a free key is held by %+v, %v", got, err)
	}
}

// record creates the run of a reservation.
func record(t *testing.T, s RunStore, r run.Reservation, now time.Time) {
	t.Helper()
	create(t, s, now, func(stored *run.Run) { stored.ID = r.RunID })
}

func idempotencyReplay(t *testing.T, s RunStore) {
	now := startOfTest()
	first := reservation("key", "hash", now)
	reserve(t, s, first, now, first, true)
	// While the first is being recorded, and whenever it has been.
	reserve(t, s, reservation("key", "hash", now), now, first, false)
	record(t, s, first, now)
	for _, later := range []time.Duration{0, run.ReserveFor + time.Second, run.KeyLifetime - time.Second} {
		at := now.Add(later)
		reserve(t, s, reservation("key", "hash", at), at, first, false)
	}
	another := reservation("another key", "hash", now)
	reserve(t, s, another, now, another, true)
}

func idempotencyOtherBody(t *testing.T, s RunStore) {
	now := startOfTest()
	first := reservation("key", "hash", now)
	reserve(t, s, first, now, first, true)
	record(t, s, first, now)
	reserve(t, s, reservation("key", "other hash", now), now, first, false)
}

func idempotencyTakeoverKeepsRunID(t *testing.T, s RunStore) {
	now := startOfTest()
	first := reservation("key", "hash", now)
	reserve(t, s, first, now, first, true)
	early := now.Add(run.ReserveFor - time.Second)
	reserve(t, s, reservation("key", "hash", early), early, first, false)

	late := now.Add(run.ReserveFor + time.Second)
	winners := make([]run.Reservation, 16)
	won := together(t, len(winners), func(i int) error {
		held, won, err := s.Reserve(t.Context(), reservation("key", "hash", late), late)
		if won {
			winners[i] = held
		}
		return err
	}, nil)
	if won != len(winners) {
		t.Fatalf("%d of %d callers got an answer", won, len(winners))
	}
	want := reservation("key", "hash", late)
	want.RunID = first.RunID
	took := 0
	for _, held := range winners {
		if held.Key == "" {
			continue
		}
		took++
		if diff := cmp.Diff(want, held); diff != "" {
			t.Errorf("taken over (-want +got):\n%s", diff)
		}
	}
	if took != 1 {
		t.Errorf("%d callers took the key over, want 1", took)
	}
	record(t, s, want, late)
	later := late.Add(run.ReserveFor + time.Second)
	reserve(t, s, reservation("key", "hash", later), later, want, false)
}

func idempotencyExpiredIsFree(t *testing.T, s RunStore) {
	now := startOfTest()
	first := reservation("key", "hash", now)
	reserve(t, s, first, now, first, true)
	record(t, s, first, now)
	late := now.Add(run.KeyLifetime + time.Second)
	second := reservation("key", "other hash", late)
	reserve(t, s, second, late, second, true)
	reserve(t, s, reservation("key", "other hash", late), late, second, false)
}
