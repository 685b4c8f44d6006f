package organization

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/audit"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/secret"
)

// writeTries is how often a change starts over because somebody else wrote the same thing meanwhile.
const writeTries = 20

// Service carries out what is asked of an organization. It is safe for concurrent use.
type Service struct {
	store  Store
	sealer *secret.Sealer
}

// NewService returns a service over a store. Without a sealer secrets can be listed and deleted.
func NewService(s Store, sealer *secret.Sealer) *Service {
	if sealer == nil {
		sealer = secret.NewSealer(nil)
	}
	return &Service{store: s, sealer: sealer}
}

// Organization returns the organization of an id as answers have it.
func (s *Service) Organization(ctx context.Context, id string) (*jqtemplate.Object, error) {
	settings, err := s.store.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the organization: %w", err)
	}
	return view(id, settings.Content)
}

// view is the organization with those members that it always has. Its name is the id until it got one.
func view(id string, content json.RawMessage) (*jqtemplate.Object, error) {
	o := new(jqtemplate.Object)
	o.Set("id", id)
	o.Set("name", id)
	o.Set("featureFlags", []any{})
	o.Set("settings", new(jqtemplate.Object))
	if len(content) == 0 {
		return o, nil
	}
	v, err := jqtemplate.Decode(content)
	if err != nil {
		return nil, fmt.Errorf("read the organization: %w", err)
	}
	stored, _ := v.(*jqtemplate.Object)
	for name, value := range stored.All() {
		o.Set(name, value)
	}
	return o, nil
}

// Change makes a PATCH of the organization: any part of it. fault.Invalid names every fault.
func (s *Service) Change(ctx context.Context, id string, body []byte, by audit.Author) (*jqtemplate.Object, error) {
	if _, err := decode(body, func(b *bodySchemas) *jsonschema.Schema { return b.organization }); err != nil {
		return nil, err
	}
	body, err := document.Compact(body)
	if err != nil {
		return nil, err
	}
	var changed json.RawMessage
	err = retry(ctx, func() error {
		settings, err := s.store.Settings(ctx)
		if err != nil {
			return err
		}
		before := settings.Content
		if changed, err = merged(before, body); err != nil {
			return err
		}
		if len(changed) > MaxSettings {
			return fault.InvalidDetails([]fault.Detail{{Message: fmt.Sprintf("the organization may have %d bytes, and would have %d", MaxSettings, len(changed))}})
		}
		settings.Content, settings.UpdatedAt, settings.UpdatedBy = changed, by.At, by.ID
		return s.store.ReplaceSettings(ctx, settings, audit.New(audit.Entry{
			Action: audit.Update, Resource: audit.Organization, Identifier: id, By: by, Before: before, After: changed,
		}, "settings "+strconv.FormatInt(settings.Rev, 10), settings.Rev))
	})
	if err != nil {
		return nil, fmt.Errorf("change the organization: %w", err)
	}
	return view(id, changed)
}

// Secrets returns all secrets by name.
func (s *Service) Secrets(ctx context.Context) ([]*Secret, error) {
	all, err := s.store.Secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return all, nil
}

var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// Secret returns one. fault.NotFound when there is none.
func (s *Service) Secret(ctx context.Context, name string) (*Secret, error) {
	if !names.MatchString(name) {
		return nil, fault.New(fault.NotFound, "", "there is no such secret")
	}
	return s.store.Secret(ctx, name)
}

// context is what a secret's value is sealed for.
func sealedFor(name string) string { return "secret " + name }

// CreateSecret makes a secret of a body. fault.Invalid names every fault; fault.Conflict,
// identifier_taken; fault.Unavailable, sealing_key_missing.
func (s *Service) CreateSecret(ctx context.Context, body []byte, by audit.Author) (*Secret, error) {
	o, err := decode(body, func(b *bodySchemas) *jsonschema.Schema { return b.create })
	if err != nil {
		return nil, err
	}
	created := &Secret{
		Name: document.Text(o, "secretName"), ID: "secret_" + crand.Text()[:16], Description: document.Text(o, "description"),
		CreatedAt: by.At, UpdatedAt: by.At, CreatedBy: by.ID, UpdatedBy: by.ID,
	}
	created.Sealed, err = s.sealer.Seal(ctx, sealedFor(created.Name), []byte(document.Text(o, "secretValue")))
	if err != nil {
		return nil, fmt.Errorf("create secret %s: %w", created.Name, err)
	}
	all, err := s.store.Secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("count secrets: %w", err)
	}
	if len(all) >= MaxSecrets {
		return nil, fault.New(fault.Invalid, "too_many_secrets", "the organization has %d secrets already, and may have no more", len(all))
	}
	if err := s.store.CreateSecret(ctx, created, entry(audit.Create, nil, created, by)); err != nil {
		return nil, err
	}
	return created, nil
}

// UpdateSecret changes what the body has. One with neither a value nor a description seals the value
// anew, under the key that is the deployment's now.
func (s *Service) UpdateSecret(ctx context.Context, name string, body []byte, by audit.Author) (*Secret, error) {
	o, err := decode(body, func(b *bodySchemas) *jsonschema.Schema { return b.update })
	if err != nil {
		return nil, err
	}
	var changed *Secret
	err = retry(ctx, func() error {
		before, err := s.Secret(ctx, name)
		if err != nil {
			return err
		}
		next := *before
		changed = &next
		if text, ok := document.Member(o, "description").(string); ok {
			changed.Description = text
		}
		value, sent := document.Member(o, "secretValue").(string)
		if !sent && o.Len() == 0 {
			plain, err := s.sealer.Open(ctx, sealedFor(name), before.Sealed)
			if err != nil {
				return unreadable(name, err)
			}
			value, sent = string(plain), true
		}
		if sent {
			if changed.Sealed, err = s.sealer.Seal(ctx, sealedFor(name), []byte(value)); err != nil {
				return err
			}
		}
		changed.UpdatedAt, changed.UpdatedBy = by.At, by.ID
		return s.store.ReplaceSecret(ctx, changed, entry(audit.Update, before, changed, by))
	})
	if err != nil {
		return nil, fmt.Errorf("change secret: %w", err)
	}
	return changed, nil
}

// DeleteSecret deletes one. Runs that were started with it keep what is sent.
func (s *Service) DeleteSecret(ctx context.Context, name string, by audit.Author) error {
	return retry(ctx, func() error {
		before, err := s.Secret(ctx, name)
		if err != nil {
			return err
		}
		return s.store.DeleteSecret(ctx, before, by, entry(audit.Delete, before, nil, by))
	})
}

// entry is the audit entry of a change; what is not there is nil.
func entry(action string, before, after *Secret, by audit.Author) *audit.Entry {
	of := after
	if before != nil {
		of = before
	}
	return audit.New(audit.Entry{
		Action: action, Resource: audit.Secret, Identifier: of.Name, By: by, Before: before.audited(), After: after.audited(),
	}, of.ID+" "+strconv.FormatInt(of.Rev, 10), of.Rev)
}

// unreadable is a value that cannot be opened, now or at all.
func unreadable(name string, err error) error {
	if fault.KindOf(err) == fault.Unavailable {
		return fmt.Errorf("read secret %s: %w", name, err)
	}
	return fault.Busy(err, time.Minute, "the secret %s cannot be read: another key sealed it, or it is damaged; give it its value anew", name)
}

// retry does something again while another write of the same thing comes first.
func retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if fault.KindOf(err) != fault.Conflict || try == writeTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(rand.IntN(try*5)+1) * time.Millisecond):
		}
	}
}
