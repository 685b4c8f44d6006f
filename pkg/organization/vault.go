package organization

import (
	"context"
	"fmt"
	"sync"

	"longshore/pkg/fault"
	"longshore/pkg/secret"
)

// Vault opens secrets for templates, and keeps what it opened until the store's stamp moves. It is safe
// for concurrent use.
type Vault struct {
	store  Store
	sealer *secret.Sealer

	mu    sync.Mutex
	stamp int64
	// known holds what was asked for since the stamp moved; nil stands for a secret that is not there.
	known map[string]*secret.Text
	// names are all of them, if whole says that they were asked for.
	names []string
	whole bool
}

// NewVault returns a vault over a store. Without a sealer it opens nothing: ErrNoKey.
func NewVault(s Store, sealer *secret.Sealer) *Vault {
	if sealer == nil {
		sealer = secret.NewSealer(nil)
	}
	return &Vault{store: s, sealer: sealer}
}

// Value is a secret's name and value.
type Value struct {
	Name string
	Text secret.Text
}

// Values returns those of the named secrets that are there, or with all every one by name. No others are
// opened. fault.Unavailable when one cannot be read or opened.
func (v *Vault) Values(ctx context.Context, names []string, all bool) ([]Value, error) {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := v.store.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of secrets: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil || v.stamp != stamp {
		v.stamp, v.known, v.names, v.whole = stamp, map[string]*secret.Text{}, nil, false
	}
	if all {
		if err := v.readAll(ctx); err != nil {
			return nil, err
		}
		names = v.names
	}
	var values []Value
	for _, name := range names {
		text, known := v.known[name]
		if !known {
			if text, err = v.read(ctx, name); err != nil {
				return nil, err
			}
		}
		if text != nil {
			values = append(values, Value{name, *text})
		}
	}
	return values, nil
}

// maxUnknown bounds how many names without a secret are remembered.
const maxUnknown = 10 * MaxSecrets

func (v *Vault) read(ctx context.Context, name string) (*secret.Text, error) {
	if len(v.known) > maxUnknown {
		clear(v.known)
	}
	if !names.MatchString(name) {
		return nil, nil
	}
	s, err := v.store.Secret(ctx, name)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		v.known[name] = nil
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return v.open(ctx, s)
}

func (v *Vault) readAll(ctx context.Context) error {
	if v.whole {
		return nil
	}
	all, err := v.store.Secrets(ctx)
	if err != nil {
		return fmt.Errorf("read all secrets: %w", err)
	}
	v.names = nil
	for _, s := range all {
		if _, err := v.open(ctx, s); err != nil {
			return err
		}
		v.names = append(v.names, s.Name)
	}
	v.whole = true
	return nil
}

func (v *Vault) open(ctx context.Context, s *Secret) (*secret.Text, error) {
	plain, err := v.sealer.Open(ctx, sealedFor(s.Name), s.Sealed)
	if err != nil {
		return nil, unreadable(s.Name, err)
	}
	text := secret.NewText(string(plain))
	v.known[s.Name] = &text
	return &text, nil
}
