package storetest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// newSealed returns a body whose invocation is sealed as text.
func newSealed(name string, text []byte) *run.Body {
	b := newBody(name)
	b.Secrets, b.Sealed = true, text
	return b
}

// What is sealed comes back to who asks for it, byte by byte, and to no other reader.
func sealedInvocationIsApart(t *testing.T, s RunStore) {
	now := startOfTest()
	for _, size := range []int{1, 5 << 10, 3 << 20} {
		text := make([]byte, size)
		_, _ = rand.Read(text)
		r, _ := newRun(now)
		if err := s.Create(t.Context(), r, newSealed("one", text)); err != nil {
			t.Fatalf("create run: %v", err)
		}
		check := func(when string) {
			t.Helper()
			got := read(t, s, r.ID)
			if !got.Secrets || got.Sealed != nil || got.Invocation == nil {
				t.Errorf("%s: secrets %t, sealed %d bytes, want true and none", when, got.Secrets, len(got.Sealed))
			}
			if sealed, err := s.Sealed(t.Context(), r.ID); err != nil || !bytes.Equal(sealed, text) {
				t.Errorf("%s: sealed %d bytes, %v, want %d", when, len(sealed), err, size)
			}
		}
		check("new")
		update(t, s, r.ID, claim(now, 1, "a"))
		update(t, s, r.ID, settle(now, 1, "a", run.Outcome{Verdict: run.Fail, StatusCode: 500, Response: json.RawMessage(`"no"`)}))
		check("ended")
		redeliver(t, s, r.ID, now)
		check("in the next generation")
	}
	plain := create(t, s, now)
	if read(t, s, plain.ID).Secrets {
		t.Error("a run without secrets has some")
	}
	for _, id := range []string{plain.ID, run.NewID(now), "none"} {
		_, err := s.Sealed(t.Context(), id)
		wantKind(t, err, fault.NotFound)
	}
	old, _ := newRun(now.Add(-366 * 24 * time.Hour))
	if err := s.Create(t.Context(), old, newSealed("old", []byte("old"))); err != nil {
		t.Fatalf("create run: %v", err)
	}
	_, err := s.Sealed(t.Context(), old.ID)
	wantKind(t, err, fault.NotFound)
}

// Of several writers of one run id the one whose head is there has its sealed invocation there, too.
func sealedInvocationOfTheWinner(t *testing.T, s RunStore) {
	now := startOfTest()
	id := run.NewID(now)
	winner := -1
	for i, err := range gather(16, func(i int) error {
		r, _ := newRun(now, func(r *run.Run) { r.ID = id })
		name := fmt.Sprintf("writer %d", i)
		return s.Create(t.Context(), r, newSealed(name, []byte(name)))
	}) {
		if err == nil {
			winner = i
		}
	}
	want := fmt.Sprintf("writer %d", winner)
	sealed, err := s.Sealed(t.Context(), id)
	if err != nil || string(sealed) != want || string(read(t, s, id).Properties) != `{"name":"`+want+`"}` {
		t.Errorf("sealed by %q, %v, body %s; want those of %s", sealed, err, read(t, s, id).Properties, want)
	}
}
