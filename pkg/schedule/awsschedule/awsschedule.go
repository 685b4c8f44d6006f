// Package awsschedule keeps an entry of EventBridge Scheduler for every automation that starts by a
// schedule. It promises:
//   - an entry is named by the internal id of its automation, so that a renamed one keeps its entry;
//   - the same change may come again, and one that comes late does not undo a later one: an entry says of
//     which rev of the definition it is;
//   - what does not touch the schedule leaves the entry alone, so that a rate goes on from where it began;
//   - an at(…) that has passed leaves no entry.
package awsschedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/schedule"
)

// Client is what is used of EventBridge Scheduler's client.
type Client interface {
	CreateSchedule(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	UpdateSchedule(context.Context, *scheduler.UpdateScheduleInput, ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error)
	DeleteSchedule(context.Context, *scheduler.DeleteScheduleInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error)
	GetSchedule(context.Context, *scheduler.GetScheduleInput, ...func(*scheduler.Options)) (*scheduler.GetScheduleOutput, error)
}

// Config says where entries are and what they start. All but Now are required.
type Config struct {
	Client Client
	// Group is the name of the schedule group. Without one no entries are kept, as in a deployment whose
	// template is older than its code.
	Group string
	// Target is the ARN of what is invoked, Role that of the role which may do so.
	Target, Role string
	Log          *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Schedules are the entries of one group.
type Schedules struct{ c Config }

// New returns the entries of a group.
func New(c Config) *Schedules {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Schedules{c}
}

const (
	// retryAfter is what callers are told to wait when EventBridge Scheduler is throttled or out of reach.
	retryAfter = 2 * time.Second
	// maxTries is how often a change begins anew because the entry came or went meanwhile.
	maxTries = 3
	// late is how long after its time an at(…) is still started that had passed before its entry was made.
	late = time.Hour
	// soon is how long ahead such an entry is set: EventBridge Scheduler is precise to a minute.
	soon = time.Minute
	// maxAge and maxRetries are how long, and how often, an invocation that fails is tried again.
	maxAge, maxRetries = 3600, 100
)

// revMark begins the description of an entry; the rev follows.
const revMark = "Longshore, rev "

// entry is what an entry is to be.
type entry struct {
	expression, timezone, input string
}

// Reconcile makes the entry what a change of a definition asks for: before is nil for a new definition, after
// for a deleted one. Errors: fault.Unavailable when the same change is worth another try; any other error is
// one that stays.
func (s *Schedules) Reconcile(ctx context.Context, before, after *action.Record) error {
	was, had := timetable(before)
	wanted, has := timetable(after)
	if !had && !has {
		return nil
	}
	of := after
	if of == nil {
		of = before
	}
	if s.c.Group == "" {
		s.c.Log.WarnContext(ctx, "schedule not kept: this deployment has no schedule group", slog.String("action", of.Identifier))
		return nil
	}
	if before != nil && after != nil && before.ID != after.ID {
		return fmt.Errorf("reconcile schedule of %s: it was %s before", after.ID, before.ID)
	}
	want, err := s.entry(of, wanted, has && wanted.Published)
	if err != nil {
		return err
	}
	// A change of the schedule is written down even if the entry is such already: the change between that made
	// it another one may be yet to come.
	changed := before != nil && was != wanted
	log := s.c.Log.With(slog.String("action", of.Identifier), slog.String("schedule", of.ID))
	for range maxTries {
		done, err := s.try(ctx, of.ID, of.Rev, want, changed, log)
		if done || err != nil {
			return failed(err, of.ID)
		}
	}
	return fault.Busy(fmt.Errorf("reconcile schedule %s: others keep writing it", of.ID), retryAfter, "the schedule cannot be kept now")
}

func timetable(r *action.Record) (action.Timetable, bool) {
	if r == nil {
		return action.Timetable{}, false
	}
	return action.TimetableOf(r.Definition)
}

// entry returns what the entry of a definition is to be, nil for none.
func (s *Schedules) entry(r *action.Record, t action.Timetable, published bool) (*entry, error) {
	if !published {
		return nil, nil
	}
	compiled, err := t.Schedule()
	if err != nil {
		return nil, fmt.Errorf("read schedule of %s: %w", r.ID, err)
	}
	due := schedule.Due{ActionID: r.ID, Expression: t.Expression, Timezone: t.Timezone}
	e := &entry{compiled.Expression(), t.Timezone, due.Input()}
	if at, once := compiled.Once(); once {
		switch now := s.c.Now(); {
		case at.After(now):
		case at.After(r.UpdatedAt) && now.Sub(at) < late:
			// It passed on the way from the definition to here.
			due.At = at
			e = &entry{"at(" + now.Add(soon).UTC().Format("2006-01-02T15:04:05") + ")", "", due.Input()}
		default:
			return nil, nil
		}
	}
	return e, nil
}

// try brings the entry from what it is to what it is to be; false when it came or went meanwhile.
func (s *Schedules) try(ctx context.Context, name string, rev int64, want *entry, changed bool, log *slog.Logger) (done bool, err error) {
	is, err := s.c.Client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name, GroupName: &s.c.Group})
	if missing(err) {
		if want == nil {
			return true, nil
		}
		_, err = s.c.Client.CreateSchedule(ctx, s.create(name, rev, want))
		if _, conflict := errors.AsType[*types.ConflictException](err); conflict {
			return false, nil
		}
		if err == nil {
			log.InfoContext(ctx, "schedule created", slog.String("expression", want.expression))
		}
		return true, err
	}
	if err != nil {
		return true, err
	}
	kept, _ := strconv.ParseInt(strings.TrimPrefix(aws.ToString(is.Description), revMark), 10, 64)
	switch {
	case kept > rev:
		log.InfoContext(ctx, "schedule left alone: it is of a later change", slog.Int64("rev", rev), slog.Int64("kept", kept))
		return true, nil
	case want == nil:
		_, err = s.c.Client.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: &name, GroupName: &s.c.Group})
		if err == nil || missing(err) {
			log.InfoContext(ctx, "schedule deleted")
			return true, nil
		}
		return true, err
	case s.same(is, want) && (kept == rev || !changed):
		return true, nil
	}
	_, err = s.c.Client.UpdateSchedule(ctx, s.update(name, rev, want))
	if missing(err) {
		return false, nil
	}
	if err == nil {
		log.InfoContext(ctx, "schedule changed", slog.String("expression", want.expression))
	}
	return true, err
}

// missing reports whether there is no such entry, or no such group, which the next call tells.
func missing(err error) bool {
	_, is := errors.AsType[*types.ResourceNotFoundException](err)
	return is
}

func (s *Schedules) target(e *entry) *types.Target {
	return &types.Target{
		Arn: &s.c.Target, RoleArn: &s.c.Role, Input: &e.input,
		RetryPolicy: &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(maxAge), MaximumRetryAttempts: aws.Int32(maxRetries)},
	}
}

func zone(e *entry) *string {
	if e.timezone == "" {
		return aws.String("UTC")
	}
	return &e.timezone
}

func describe(rev int64) *string { return aws.String(revMark + strconv.FormatInt(rev, 10)) }

func (s *Schedules) create(name string, rev int64, e *entry) *scheduler.CreateScheduleInput {
	return &scheduler.CreateScheduleInput{
		Name: &name, GroupName: &s.c.Group, Description: describe(rev),
		ScheduleExpression: &e.expression, ScheduleExpressionTimezone: zone(e), Target: s.target(e),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		// One that has come for the last time goes away.
		ActionAfterCompletion: types.ActionAfterCompletionDelete, State: types.ScheduleStateEnabled,
	}
}

// update replaces all of an entry: what a request leaves out falls back to its default.
func (s *Schedules) update(name string, rev int64, e *entry) *scheduler.UpdateScheduleInput {
	c := s.create(name, rev, e)
	return &scheduler.UpdateScheduleInput{
		Name: c.Name, GroupName: c.GroupName, Description: c.Description,
		ScheduleExpression: c.ScheduleExpression, ScheduleExpressionTimezone: c.ScheduleExpressionTimezone, Target: c.Target,
		FlexibleTimeWindow: c.FlexibleTimeWindow, ActionAfterCompletion: c.ActionAfterCompletion, State: c.State,
	}
}

// same reports whether an entry is as it is to be, but for its rev.
func (s *Schedules) same(is *scheduler.GetScheduleOutput, want *entry) bool {
	return aws.ToString(is.ScheduleExpression) == want.expression && aws.ToString(is.ScheduleExpressionTimezone) == *zone(want) &&
		is.State == types.ScheduleStateEnabled && is.Target != nil && aws.ToString(is.Target.Input) == want.input &&
		aws.ToString(is.Target.Arn) == s.c.Target && aws.ToString(is.Target.RoleArn) == s.c.Role
}

// failed says whether a change that failed is worth another try.
func failed(err error, name string) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("reconcile schedule %s: %w", name, err)
	_, internal := errors.AsType[*types.InternalServerException](err)
	_, conflict := errors.AsType[*types.ConflictException](err)
	_, throttled := errors.AsType[*types.ThrottlingException](err)
	if internal || conflict || throttled || errors.Is(err, context.DeadlineExceeded) ||
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool() {
		return fault.Busy(err, retryAfter, "the schedule cannot be kept now")
	}
	return err
}
