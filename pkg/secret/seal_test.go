package secret_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"longshore/pkg/fault"
	"longshore/pkg/secret"
)

func key(t *testing.T, id string, fill byte) secret.Key {
	t.Helper()
	k, err := secret.NewKey(id, bytes.Repeat([]byte{fill}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedIsOpenedOnlyAsItWasSealed(t *testing.T) {
	t.Parallel()
	ctx, plain := t.Context(), []byte("the value")
	one, two := key(t, "one", 1), key(t, "two", 2)
	sealed, err := secret.NewSealer(secret.Ring{one}).Seal(ctx, "run r_1", plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		keys    secret.Ring
		context string
		sealed  []byte
		want    error
	}{
		"as it was":         {secret.Ring{one}, "run r_1", sealed, nil},
		"after a rotation":  {secret.Ring{two, one}, "run r_1", sealed, nil},
		"key gone":          {secret.Ring{two}, "run r_1", sealed, secret.ErrNoKey},
		"no key":            {nil, "run r_1", sealed, secret.ErrNoKey},
		"other key, one id": {secret.Ring{key(t, "one", 3)}, "run r_1", sealed, secret.ErrSealed},
		"other context":     {secret.Ring{one}, "run r_2", sealed, secret.ErrSealed},
		"empty":             {secret.Ring{one}, "run r_1", nil, secret.ErrSealed},
		"no nonce":          {secret.Ring{one}, "run r_1", sealed[:5], secret.ErrSealed},
		"truncated":         {secret.Ring{one}, "run r_1", sealed[:len(sealed)-1], secret.ErrSealed},
		"longer":            {secret.Ring{one}, "run r_1", append(slices.Clone(sealed), 0), secret.ErrSealed},
		"in clear":          {secret.Ring{one}, "run r_1", plain, secret.ErrSealed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := secret.NewSealer(test.keys).Open(t.Context(), test.context, test.sealed)
			if !errors.Is(err, test.want) || test.want == nil && !bytes.Equal(got, plain) {
				t.Errorf("got %q, %v, want %v", got, err, test.want)
			}
		})
	}
	ring := secret.NewSealer(secret.Ring{one, two})
	for i := range sealed {
		for bit := range 8 {
			flipped := slices.Clone(sealed)
			flipped[i] ^= 1 << bit
			if got, err := ring.Open(ctx, "run r_1", flipped); err == nil {
				t.Fatalf("bit %d of byte %d is flipped: got %q", bit, i, got)
			}
		}
	}
	again, err := secret.NewSealer(secret.Ring{one}).Seal(ctx, "run r_1", plain)
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealed twice it is the same, %v", err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("what is sealed holds the value")
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if _, err := secret.NewKey("", make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
	if _, err := secret.NewKey(string(make([]byte, 256)), make([]byte, 32)); err == nil {
		t.Error("an id of 256 bytes is taken")
	}
	a, b := key(t, "", 1), key(t, "", 2)
	if a.ID == "" || a.ID == b.ID || a.ID != key(t, "", 1).ID {
		t.Errorf("ids made of keys: %q, %q", a.ID, b.ID)
	}
	_, err := secret.NewSealer(nil).Seal(t.Context(), "c", nil)
	if fault.KindOf(err) != fault.Unavailable || !fault.Is(err, secret.CodeNoKey) {
		t.Errorf("seal without a key: got %v", err)
	}
}
