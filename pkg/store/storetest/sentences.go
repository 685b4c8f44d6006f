package storetest

import (
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
)

// What callers read is the same whichever store there is.

func wantSentence(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func catalogSentences(t *testing.T, s catalog.Store) {
	now := startOfTest()
	_, err := s.Blueprint(t.Context(), "a b")
	wantSentence(t, err, `there is no blueprint "a b"`)
	e := newEntity(catalog.NewBlueprintID(), "cart", now)
	_, err = s.Entity(t.Context(), e.Key)
	wantSentence(t, err, `there is no entity "cart"`)
	wantSentence(t, s.ReplaceEntity(t.Context(), e, nil, nil), `there is no entity "cart"`)
	wantSentence(t, s.DeleteEntity(t.Context(), e, nil, author("client_1", now)), `there is no entity "cart"`)
	if err := s.CreateEntity(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	wantSentence(t, s.CreateEntity(t.Context(), e, nil), `an entity with the identifier "cart" exists already`)
	other := *e
	other.Rev = 7
	wantSentence(t, s.ReplaceEntity(t.Context(), &other, nil, nil), `the entity "cart" was changed meanwhile`)
	wantSentence(t, s.DeleteEntity(t.Context(), &other, nil, author("client_1", now)), `the entity "cart" was changed meanwhile`)
}

func actionSentences(t *testing.T, s action.Store) {
	_, err := s.Get(t.Context(), "deploy")
	wantSentence(t, err, `there is no action "deploy"`)
}

func runSentences(t *testing.T, s RunStore) {
	_, err := s.Get(t.Context(), "r_0000000000000000")
	wantSentence(t, err, "there is no run r_0000000000000000")
}
