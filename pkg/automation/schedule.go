package automation

import (
	"context"
	"encoding/json"
	"log/slog"

	"longshore/pkg/action"
	"longshore/pkg/event"
	"longshore/pkg/run"
	"longshore/pkg/schedule"
)

// scheduleContext is the context of a schedule's event.
type scheduleContext struct {
	Expression string `json:"expression"`
	// Timezone is null where the schedule has none.
	Timezone *string `json:"timezone"`
}

// TakeSchedule starts the automation whose schedule EventBridge Scheduler says has come. It returns false for
// any other text. What cannot be decoded is logged and dropped: it will not get better.
func (a *Automation) TakeSchedule(ctx context.Context, text json.RawMessage) (taken bool, err error) {
	due, is, err := schedule.ParseDue(text)
	if !is {
		return false, nil
	}
	if err != nil {
		a.Log.LogAttrs(ctx, slog.LevelError, "schedule dropped", slog.Any("error", err))
		return true, nil
	}
	return true, a.StartScheduled(ctx, due)
}

// StartScheduled starts an automation whose schedule has come, if its condition holds: once, however often it
// is told. One that is gone, switched off or has another schedule meanwhile is dropped with a log line. It is to
// be told again after an error.
func (a *Automation) StartScheduled(ctx context.Context, due schedule.Due) error {
	entries, err := a.Actions.List(ctx)
	if err != nil {
		return failed(ctx, "read the automations", err)
	}
	log := a.Log.With(slog.String("action_id", due.ActionID), slog.Time("scheduled", due.At))
	for _, entry := range entries {
		if entry.Record.ID != due.ActionID {
			continue
		}
		log = log.With(slog.String("action", entry.Record.Identifier))
		t, has := action.TimetableOf(entry.Record.Definition)
		switch {
		case entry.Err != nil:
			log.LogAttrs(ctx, slog.LevelError, "schedule dropped: its automation cannot be read", slog.Any("error", entry.Err))
			return nil
		case !has || !t.Published || t.Expression != due.Expression || t.Timezone != due.Timezone:
			log.LogAttrs(ctx, slog.LevelInfo, "schedule dropped: its automation has another one meanwhile, or is switched off")
			return nil
		}
		return a.startScheduled(ctx, due, entry)
	}
	log.LogAttrs(ctx, slog.LevelInfo, "schedule dropped: its automation is gone")
	return nil
}

func (a *Automation) startScheduled(ctx context.Context, due schedule.Due, entry *action.Entry) error {
	of := scheduleContext{Expression: due.Expression}
	if due.Timezone != "" {
		of.Timezone = &due.Timezone
	}
	where, err := jsonText(of)
	if err != nil {
		return failed(ctx, "make the event of a schedule", err)
	}
	return a.start(ctx, &event.Event{
		ID:     event.ScheduleID(due.ActionID, due.At),
		Action: event.Scheduled, Resource: event.Schedule, UserID: run.Own, Origin: run.SourceAutomation, At: due.At,
		Context: where,
	}, []*action.Entry{entry})
}
