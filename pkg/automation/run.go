package automation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

// maxRun is how many bytes of a run an event has, as much as an answer has of one.
const maxRun = 5_000_000

// run handles a change of a run.
func (a *Automation) run(ctx context.Context, c *feed.Run) error {
	if c.After == nil || c.After.NoticeOf != "" {
		return nil
	}
	var kept error
	if a.Audit != nil {
		kept = a.recorded(ctx, entryOf(c))
	}
	if c.Before != nil && !run.Differs(c.Before.Run, c.After.Run) && bytes.Equal(c.Before.Response, c.After.Response) {
		return kept
	}
	x, err := a.index(ctx)
	if err != nil {
		return errors.Join(kept, failed(ctx, "read the automations", err))
	}
	// A definition that was renamed is listened to by the name that it has now.
	name, there := x.names[c.After.Action.ID]
	if !there {
		name = c.After.Action.Identifier
	}
	kind := kind{action.RunUpdated, event.Update}
	if c.Before == nil {
		kind.event, kind.action = action.RunCreated, event.Create
	}
	listening := x.listening[listener{kind.event, name, ""}]
	if len(listening) == 0 {
		return kept
	}
	e, err := a.runEvent(ctx, c, kind.action, name, there)
	if err != nil {
		return errors.Join(kept, failed(ctx, "make the event of run "+c.After.ID, err))
	}
	return errors.Join(kept, a.start(ctx, e, listening))
}

// entryOf is the entry of a change in the audit log.
func entryOf(c *feed.Run) *audit.Entry {
	if c.Before == nil {
		return run.Created(c.After.Run)
	}
	return run.Changed(c.Before.Run, c.After.Run)
}

// runEvent makes the event of a change of a run of the action called name, if that is still there.
func (a *Automation) runEvent(ctx context.Context, c *feed.Run, doing, name string, there bool) (*event.Event, error) {
	by := c.After.Creator()
	if c.Before != nil {
		by = c.After.Last
	}
	definition, err := a.actionOf(ctx, c.After, name, there)
	if err != nil {
		return nil, err
	}
	where, err := jsonText(struct {
		Action json.RawMessage `json:"action"`
	}{definition})
	if err != nil {
		return nil, err
	}
	e := &event.Event{
		ID:     event.ID(event.Run, c.After.ID, strconv.FormatInt(c.After.Rev, 10)),
		Action: doing, Resource: event.Run, UserID: by.ID, Email: by.Email, Origin: by.Origin, At: by.At, Context: where,
		RunID: c.After.ID, Depth: max(c.After.Cause.Depth, by.Cause.Depth),
	}
	if e.After, err = run.View(c.After, !there, maxRun); err != nil {
		return nil, err
	}
	if c.Before != nil {
		e.Before, err = run.View(c.Before, !there, maxRun)
	}
	return e, err
}

// actionOf is the definition of a run's action as GET returns it; of one that is not there any more it is what the run
// knows of it.
func (a *Automation) actionOf(ctx context.Context, r *run.Record, name string, there bool) (json.RawMessage, error) {
	if there {
		entry, err := a.Actions.Get(ctx, name)
		switch {
		case entry != nil && entry.Record.ID == r.Action.ID:
			return action.View(entry.Record, entry.Definition, "")
		case err != nil && fault.KindOf(err) != fault.NotFound:
			return nil, err
		}
	}
	orNil := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	return jsonText(struct {
		Identifier string  `json:"identifier"`
		Title      *string `json:"title"`
		Icon       *string `json:"icon"`
		ID         string  `json:"id"`
	}{r.Action.Identifier, orNil(r.Action.Title), orNil(r.Action.Icon), r.Action.ID})
}

// jsonText writes compact JSON that is not made safe for HTML.
func jsonText(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
