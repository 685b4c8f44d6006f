package automation

import (
	"context"
	"errors"
	"strconv"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

// entity handles a change of an entity.
func (a *Automation) entity(ctx context.Context, c *feed.Entity) error {
	told, err := a.Entities.Told(ctx, c.Before, c.After, c.By)
	if err != nil {
		return failed(ctx, "read a change of an entity", err)
	}
	var kept error
	if a.Audit != nil {
		kept = a.recorded(ctx, told.Entry())
	}
	if told.Blueprint == nil {
		return kept
	}
	x, err := a.index(ctx)
	if err != nil {
		return errors.Join(kept, failed(ctx, "read the automations", err))
	}
	kind := kindOf(c)
	listening := x.listening[listener{kind.event, told.Blueprint.Identifier, ""}]
	if len(listening) == 0 && a.Changelog == nil || told.Unchanged() {
		return kept
	}
	e, err := entityEvent(c, kind.action, told)
	if err != nil {
		return errors.Join(kept, failed(ctx, "make the event of an entity", err))
	}
	var delivered error
	if a.Changelog != nil {
		delivered = failed(ctx, "tell the changelog of "+e.ID, a.Changelog.Deliver(ctx, e, told.Blueprint))
	}
	return errors.Join(kept, delivered, a.start(ctx, e, listening))
}

// kind is what happens to a thing: the type that automations listen to, and the event's action.
type kind struct{ event, action string }

func kindOf(c *feed.Entity) kind {
	switch {
	case c.Before == nil:
		return kind{action.EntityCreated, event.Create}
	case c.After == nil:
		return kind{action.EntityDeleted, event.Delete}
	}
	return kind{action.EntityUpdated, event.Update}
}

// entityContext is an entity's event's context.
type entityContext struct {
	Blueprint string `json:"blueprintIdentifier"`
	Entity    string `json:"entityIdentifier"`
	// Property is there for a timer only.
	Property string `json:"propertyIdentifier,omitempty"`
}

// entityEvent makes the event of a change. Its id is made of the entity, of the rev that the change found, and
// of the change's time, since an entity that gets an identifier back begins anew there.
func entityEvent(c *feed.Entity, doing string, told *catalog.Told) (*event.Event, error) {
	of, found := c.After, int64(0)
	if of == nil {
		of = c.Before
	}
	if c.Before != nil {
		found = c.Before.Rev
	}
	where, err := jsonText(entityContext{Blueprint: told.Blueprint.Identifier, Entity: of.Identifier})
	if err != nil {
		return nil, err
	}
	return &event.Event{
		ID:     event.ID(event.Entity, of.ID, doing, of.Identifier, strconv.FormatInt(found, 10), strconv.FormatInt(c.By.At.UnixMilli(), 10)),
		Action: doing, Resource: event.Entity, UserID: c.By.ID, Email: c.By.Email, Origin: c.By.Origin, At: c.By.At,
		Context: where, Blueprint: told.Blueprint.Identifier, Entity: of.Identifier,
		Before: told.Before(), After: told.After(), RunID: maker(c.By), Depth: c.By.Cause.Depth,
	}, nil
}

// maker is the run that made a change, empty for none.
func maker(by catalog.Author) string {
	if by.Cause.RunID != "" {
		return by.Cause.RunID
	}
	return by.RunID
}

// timer handles a timer that has ended, unless its entity is gone.
func (a *Automation) timer(ctx context.Context, t *feed.Timer) error {
	e, err := a.Entities.EntityNow(ctx, t.Key)
	if fault.KindOf(err) == fault.NotFound || err == nil && e.ID != t.EntityID {
		return nil
	}
	var told *catalog.Told
	if err == nil {
		told, err = a.Entities.Told(ctx, nil, e, e.Last)
	}
	if err != nil {
		return failed(ctx, "read the entity of a timer", err)
	}
	if told.Blueprint == nil {
		return nil
	}
	x, err := a.index(ctx)
	if err != nil {
		return failed(ctx, "read the automations", err)
	}
	listening := x.listening[listener{action.TimerPropertyExpired, told.Blueprint.Identifier, t.Property}]
	if len(listening) == 0 {
		return nil
	}
	where, err := jsonText(entityContext{told.Blueprint.Identifier, t.Identifier, t.Property})
	if err != nil {
		return failed(ctx, "make the event of a timer", err)
	}
	at := t.Fired
	if at.IsZero() {
		at = t.At
	}
	return a.start(ctx, &event.Event{
		ID:     event.TimerID(t.EntityID, t.Property, t.At),
		Action: event.TimerExpired, Resource: event.Entity, UserID: run.Own, Origin: run.SourceAutomation, At: at,
		Context: where, Blueprint: told.Blueprint.Identifier, Entity: t.Identifier,
		// Whoever set the timer, or changed the entity since, is behind it.
		After: told.After(), RunID: maker(e.Last), Depth: e.Last.Cause.Depth,
	}, listening)
}
