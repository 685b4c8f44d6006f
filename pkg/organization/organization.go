// Package organization keeps the organization's settings and its secrets.
//
// It promises that a secret's value is sealed before it is stored, that nothing but a Vault opens it
// again, and that no answer, error or audit entry holds one.
package organization

import (
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/secret"
)

const (
	// MaxSecrets is how many secrets there may be, MaxValue how many bytes a value may have.
	MaxSecrets = 1000
	MaxValue   = 32 << 10
	// MaxSettings is how many bytes the settings may have, as compact JSON.
	MaxSettings = 350 << 10
)

// Settings are what the organization was told of itself.
type Settings struct {
	// Content is a JSON object of the members that were sent, name among them; empty for none yet.
	Content json.RawMessage
	// Rev is raised by every write; 0 before the first.
	Rev       int64
	UpdatedAt time.Time
	UpdatedBy string
}

// Secret is a secret without its value.
type Secret struct {
	Name string
	// ID tells a secret from an earlier one of its name.
	ID string
	// Description is empty when there is none.
	Description string
	// Sealed is the value, sealed for the name; see Vault.
	Sealed               []byte
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string
	// Rev is the store's: every write raises it.
	Rev int64
}

// View returns a secret as answers have it: never with its value.
func (s *Secret) View() *jqtemplate.Object {
	o := new(jqtemplate.Object)
	o.Set("secretName", s.Name)
	if s.Description != "" {
		o.Set("description", s.Description)
	}
	o.Set("createdAt", timeText(s.CreatedAt))
	o.Set("updatedAt", timeText(s.UpdatedAt))
	o.Set("createdBy", s.CreatedBy)
	o.Set("updatedBy", s.UpdatedBy)
	return o
}

// audited is a secret as audit entries have it.
func (s *Secret) audited() json.RawMessage {
	if s == nil {
		return nil
	}
	o := new(jqtemplate.Object)
	o.Set("secretName", s.Name)
	o.Set("secretValue", secret.Hidden)
	if s.Description != "" {
		o.Set("description", s.Description)
	}
	return jqtemplate.Encode(o)
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Store keeps settings and secrets. Each change writes its audit entry, if it is not nil, in its own
// transaction. Every method may return fault.Unavailable; what it was to write is then whole or absent.
type Store interface {
	// Stamp returns a number that moves with every change of a secret.
	Stamp(ctx context.Context) (int64, error)
	// Settings reads the settings, consistently; those of Rev 0 before they were written.
	Settings(ctx context.Context) (*Settings, error)
	// ReplaceSettings writes settings in the place of those of the same Rev. fault.Conflict when there
	// are others.
	ReplaceSettings(ctx context.Context, s *Settings, e *audit.Entry) error
	// Secrets returns all secrets by name, consistently.
	Secrets(ctx context.Context) ([]*Secret, error)
	// Secret reads one, consistently. fault.NotFound when there is none.
	Secret(ctx context.Context, name string) (*Secret, error)
	// CreateSecret adds one. fault.Conflict, identifier_taken, when there is one of the name.
	CreateSecret(ctx context.Context, s *Secret, e *audit.Entry) error
	// ReplaceSecret writes a secret in the place of the one of the same Name, ID and Rev.
	// fault.NotFound when there is none, fault.Conflict when there is another.
	ReplaceSecret(ctx context.Context, s *Secret, e *audit.Entry) error
	// DeleteSecret removes a secret of that Name, ID and Rev, its value at once. The errors are those of
	// ReplaceSecret.
	DeleteSecret(ctx context.Context, s *Secret, by audit.Author, e *audit.Entry) error
}
