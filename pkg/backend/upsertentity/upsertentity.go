// Package upsertentity carries out runs that create or change an entity of the catalog: type
// UPSERT_ENTITY.
//
// It promises that an attempt writes the whole entity or nothing, that a second attempt of a run writes
// the same entity, and that the change bears the run and its user. No permission of that user is asked:
// the action's own were, when it was started.
package upsertentity

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"longshore/pkg/backend"
	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// maxLink is the longest link that a run has, in characters.
const maxLink = 2000

// Config is what a Backend works with. All of it is required.
type Config struct {
	Entities interface {
		// CreateEntity is catalog.Service's.
		CreateEntity(ctx context.Context, blueprint string, text json.RawMessage, w catalog.EntityWrite) (*catalog.Saved, error)
	}
	// BaseURL returns the address that clients use; links begin with it.
	BaseURL func() string
}

// Backend carries out invocations of type UPSERT_ENTITY. It is safe for concurrent use.
type Backend struct{ c Config }

var _ backend.Backend = (*Backend)(nil)

// New returns a backend.
func New(c Config) *Backend { return &Backend{c} }

// Call makes one attempt, whose outcome ends the run: it succeeds with a link to the entity, or fails
// with all that is wrong with the mapping. It is repeated while the catalog cannot be used, or somebody
// else is changing what it has to change.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	if c.Invocation == nil || c.Invocation.Type != "UPSERT_ENTITY" {
		return backend.Refuse("the run's invocation is none of UPSERT_ENTITY")
	}
	var method struct {
		Blueprint any             `json:"blueprintIdentifier"`
		Mapping   json.RawMessage `json:"mapping"`
	}
	if json.Unmarshal(c.Invocation.Payload, &method) != nil {
		return backend.Refuse("the invocation cannot be read")
	}
	blueprint, ok := method.Blueprint.(string)
	if !ok || blueprint == "" {
		return backend.Refuse("blueprintIdentifier must be the identifier of a blueprint")
	}
	entity, err := document.ParseMembers(method.Mapping)
	if err != nil {
		return backend.Refuse("mapping must be an object")
	}
	if !document.IsSet(entity.Get("identifier")) {
		entity.Set("identifier", json.RawMessage(`"`+identifier(c.RunID)+`"`))
	}
	saved, err := b.c.Entities.CreateEntity(ctx, blueprint, entity.Encode(), catalog.EntityWrite{Upsert: true, Merge: true, By: c.By})
	if err != nil {
		return failed(ctx, err)
	}
	return backend.Outcome{Verdict: run.Succeed, Link: b.link(saved)}
}

// identifier is that of an entity whose mapping has none. It looks as those that the catalog generates.
func identifier(runID string) string {
	sum := sha256.Sum256([]byte("entity of run " + runID))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// link is the JSON text of the address that the API has the entity at, nil where that is too long.
func (b *Backend) link(s *catalog.Saved) json.RawMessage {
	address := strings.TrimRight(b.c.BaseURL(), "/") + "/v1/blueprints/" + url.PathEscape(s.Blueprint.Record.Identifier) +
		"/entities/" + url.PathEscape(s.Entity.Identifier)
	text, err := json.Marshal(address)
	if err != nil || len(address) > maxLink {
		return nil
	}
	return text
}

// failed says what an error of the catalog means for the run.
func failed(ctx context.Context, err error) backend.Outcome {
	o := backend.Outcome{Verdict: run.Retry, StatusLabel: backend.DeliveryFailed}
	var e *fault.Error
	known := errors.As(err, &e)
	switch {
	case ctx.Err() != nil:
		o.Error = "the catalog did not answer in time"
	case !known || e.Kind == fault.Internal || e.Kind == fault.Unavailable:
		o.Error, o.Cause = "the catalog cannot be used now", err.Error()
	case e.Kind == fault.Conflict:
		// The entity is being written by others, or a migration has its blueprint or its identifier.
		o.Error = e.Message
	default:
		o.Verdict = run.Fail
		o.Error = "the catalog refused the entity: " + e.Message
		if len(e.Details) > 1 {
			o.Error = fmt.Sprintf("the catalog refused the entity, with %d faults", len(e.Details))
			for _, d := range e.Details {
				o.Faults = append(o.Faults, strings.TrimPrefix(d.Path+": "+d.Message, ": "))
			}
		}
	}
	return o
}
