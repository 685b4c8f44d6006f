package sqlitestore

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

// storable goes over its members with a coder.
type storable interface{ code(c *coder) }

// encode writes a change as it is stored, under the version of heads.
func encode(s storable) []byte {
	c := coder{text: append(make([]byte, 0, 1024), headVersion)}
	s.code(&c)
	return c.text
}

// decodeChange reads a row. A run is without its body.
func decodeChange(row storedChange) (*feed.Change, error) {
	if len(row.body) == 0 || row.body[0] != headVersion {
		return nil, fmt.Errorf("decode change %d: it was not written by this version of the program", row.position)
	}
	c := coder{reading: true, text: row.body[1:]}
	var (
		changed      feed.Change
		ofRun        storedRun
		ofEntity     storedEntity
		ofDefinition storedAction
		ofTimer      storedTimer
		err          error
	)
	switch row.kind {
	case kindRun:
		ofRun.code(&c)
		changed.Run, err = ofRun.change(row.item)
	case kindEntity:
		ofEntity.code(&c)
		changed.Entity = &ofEntity.Entity
	case kindAction:
		ofDefinition.code(&c)
		changed.Action = &ofDefinition.Action
	case kindTimer:
		ofTimer.code(&c)
		changed.Timer = &ofTimer.Timer
	default:
		return nil, fmt.Errorf("decode change %d: %q is no kind of this version of the program", row.position, row.kind)
	}
	if c.damaged {
		return nil, fmt.Errorf("decode change %d: the stored text is damaged", row.position)
	}
	return &changed, err
}

// storedRun is a change of a run: its heads as they are encoded, and its responses.
type storedRun struct {
	Before, After            []byte
	BeforeResponse, Response json.RawMessage
	// Kept says that the change wrote no response: the one before is there still, if any is.
	Kept bool
}

func (s *storedRun) code(c *coder) {
	text(c, &s.Before)
	text(c, &s.After)
	text(c, &s.BeforeResponse)
	c.flag(&s.Kept)
	text(c, &s.Response)
}

// change returns the change without the run's body.
func (s *storedRun) change(id string) (*feed.Run, error) {
	after, err := decodeHead(id, s.After)
	if err != nil {
		return nil, err
	}
	c := &feed.Run{After: &run.Record{Run: after}}
	if after.HasResponse {
		c.After.Response = s.Response
		if s.Kept {
			c.After.Response = s.BeforeResponse
		}
	}
	if s.Before == nil {
		return c, nil
	}
	before, err := decodeHead(id, s.Before)
	if err != nil {
		return nil, err
	}
	c.Before = &run.Record{Run: before, Response: s.BeforeResponse}
	return c, nil
}

type storedEntity struct{ feed.Entity }

func (s *storedEntity) code(c *coder) {
	optional(c, &s.Before, c.entity)
	optional(c, &s.After, c.entity)
	c.author(&s.By)
}

// entity goes over an entity; which of its timers are yet to be fired is no part of a change.
func (c *coder) entity(e *catalog.Entity) {
	text(c, &e.Blueprint)
	text(c, &e.Identifier)
	text(c, &e.ID)
	text(c, &e.Content)
	c.time(&e.CreatedAt)
	c.time(&e.UpdatedAt)
	text(c, &e.CreatedBy)
	text(c, &e.UpdatedBy)
	c.author(&e.Last)
	number(c, &e.Rev)
}

type storedAction struct{ feed.Action }

func (s *storedAction) code(c *coder) {
	optional(c, &s.Before, c.definition)
	optional(c, &s.After, c.definition)
}

func (c *coder) definition(r *action.Record) {
	text(c, &r.Identifier)
	text(c, &r.ID)
	text(c, &r.Definition)
	text(c, &r.Permissions)
	c.time(&r.CreatedAt)
	c.time(&r.UpdatedAt)
	text(c, &r.CreatedBy)
	text(c, &r.UpdatedBy)
	number(c, &r.Rev)
}

type storedTimer struct{ feed.Timer }

func (s *storedTimer) code(c *coder) {
	text(c, &s.Blueprint)
	text(c, &s.Identifier)
	text(c, &s.EntityID)
	text(c, &s.Property)
	c.time(&s.At)
	c.time(&s.Fired)
}

// optional goes over what may not be there.
func optional[T any](c *coder, v **T, members func(*T)) {
	there := *v != nil
	c.flag(&there)
	if !there {
		return
	}
	if c.reading {
		*v = new(T)
	}
	members(*v)
}
