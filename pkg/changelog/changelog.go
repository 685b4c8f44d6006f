// Package changelog tells whoever a blueprint's changelogDestination names of the changes of its entities:
// a webhook, or the organization's topic of changes on Kafka.
//
// It promises that a change is recorded before its message is sent, and that a change which is told again
// has one delivery: the sweeper sends what was not sent, and a delivery is tried, and given up, as a run's
// is. No delivery is a run: it is in no list, has no log, and makes no event of its own.
package changelog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// sendFor bounds the sending of a message whose delivery is recorded.
const sendFor = 5 * time.Second

// Config is what a Changelog works with. All but Now is required.
type Config struct {
	// Runs keeps deliveries; its comments say what Create promises.
	Runs interface {
		Create(ctx context.Context, r *run.Run, b *run.Body) error
	}
	Send queue.Sender
	// Configured says whether this deployment has a backend; deliveries for any other wait.
	Configured func(backend string) bool
	OrgID      string
	Log        *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Changelog delivers changes. It is safe for concurrent use.
type Changelog struct{ c Config }

// New returns a changelog.
func New(c Config) *Changelog {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Changelog{c}
}

// destination is a blueprint's changelogDestination.
type destination struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Agent bool   `json:"agent"`
	// text is what the definition has.
	text json.RawMessage
}

// destinationOf reads where the changes of a blueprint's entities go; nil for nowhere.
func destinationOf(b *catalog.Blueprint) (*destination, error) {
	const member = "changelogDestination"
	if b == nil || !bytes.Contains(b.Definition, []byte(member)) {
		return nil, nil
	}
	var definition struct {
		Destination json.RawMessage `json:"changelogDestination"`
	}
	if err := json.Unmarshal(b.Definition, &definition); err != nil {
		return nil, fmt.Errorf("read blueprint %s: %w", b.Identifier, err)
	}
	d := &destination{text: definition.Destination}
	if len(d.text) == 0 || string(d.text) == "null" {
		return nil, nil
	}
	if err := json.Unmarshal(d.text, d); err != nil {
		return nil, fmt.Errorf("read the %s of blueprint %s: %w", member, b.Identifier, err)
	}
	return d, nil
}

// Deliver records the delivery of a change of an entity where its blueprint asks for one, and sends its
// message. What is no change of an entity has none, a timer that ended neither. A message that cannot be
// sent is the sweeper's; a blueprint or an event that cannot be read is logged. The error is that of a store
// that could not record the delivery, a fault.Unavailable: Deliver is to be called again.
func (l *Changelog) Deliver(ctx context.Context, e *event.Event, b *catalog.Blueprint) error {
	if e.Resource != event.Entity || e.Action == event.TimerExpired {
		return nil
	}
	d, err := destinationOf(b)
	if d == nil && err == nil {
		return nil
	}
	var call *invocation.Invocation
	if err == nil {
		call, err = l.call(e, d)
	}
	if err != nil {
		l.c.Log.LogAttrs(ctx, slog.LevelError, "changelog message not made", slog.String("event_id", e.ID), slog.Any("error", err))
		return nil
	}
	r := &run.Run{
		ID: run.ChangeID(e.At, e.ID), NoticeOf: e.ID, Backend: call.Backend, Source: e.Origin,
		Blueprint: e.Blueprint, Entity: e.Entity, CreatedBy: run.Own, UpdatedBy: run.Own,
	}
	waiting := run.Waiting(call.Backend, l.c.Configured)
	r.Start(l.c.Now().UTC().Truncate(time.Millisecond), waiting)
	switch err := l.c.Runs.Create(ctx, r, &run.Body{Properties: []byte("{}"), Invocation: call}); {
	case fault.KindOf(err) == fault.Conflict:
		// It was recorded before: whether it was sent too, the sweeper knows.
		return nil
	case err != nil:
		return fmt.Errorf("record the changelog message of %s: %w", e.ID, err)
	}
	log := l.c.Log.With(slog.String("delivery_id", r.ID), slog.String("event_id", e.ID), slog.String("backend", r.Backend))
	if waiting != "" {
		log.LogAttrs(ctx, slog.LevelInfo, "changelog message waits", slog.String("waiting", waiting))
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendFor)
	defer cancel()
	m := queue.Message{V: queue.Version, PK: r.ID, Generation: r.Generation, Kind: queue.KindRun, Invocation: call}
	if err := l.c.Send.Send(ctx, r.Backend, m, 0, call.Group()); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "changelog message not sent; the sweeper sends it", slog.Any("error", err))
	}
	return nil
}

// call is what tells a destination of a change: the event object. On Kafka it says which destination it is
// for, since agents read what is for others too; those of webhooks that only an agent reaches go there.
func (l *Changelog) call(e *event.Event, d *destination) (*invocation.Invocation, error) {
	text, err := e.JSON(l.c.OrgID)
	if err != nil {
		return nil, err
	}
	if d.Type == "WEBHOOK" && !d.Agent {
		body := string(text)
		return &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			// Its address is no literal text of an action: no call of ours carries a token there.
			Webhook: &invocation.Webhook{URL: d.URL, Method: http.MethodPost, Body: &body},
		}, nil
	}
	payload := append(bytes.Clone(text[:len(text)-1]), `,"changelogDestination":`...)
	payload = append(append(payload, d.text...), '}')
	return &invocation.Invocation{
		V: invocation.Version, Type: invocation.TypeChange, Backend: invocation.BackendKafka,
		Key: e.Blueprint + "/" + e.Entity, Payload: payload,
	}, nil
}
