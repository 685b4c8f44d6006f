package run_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/metric"
	"longshore/pkg/run"
)

// one is a store of one run, whose moves are made twice, as after a conflict.
type one struct {
	run.Store
	r   *run.Run
	err error
}

func (o *one) Create(context.Context, *run.Run, *run.Body) error { return o.err }

func (o *one) Update(_ context.Context, _ string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	lost := *o.r
	lost.Attempts = append([]run.Attempt(nil), o.r.Attempts...)
	_, _ = move(&lost)
	moved := *o.r
	moved.Attempts = append([]run.Attempt(nil), o.r.Attempts...)
	w, err := move(&moved)
	if err = errors.Join(err, o.err); err != nil {
		return nil, err
	}
	if w != nil {
		o.r = &moved
	}
	return &moved, nil
}

func TestMetered(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	type step = func(*run.Run) (*run.Write, error)
	claim := func(r *run.Run) (*run.Write, error) {
		_, err := r.Claim(now.Add(2*time.Minute), r.Generation, "me", 5*time.Minute)
		return &run.Write{}, err
	}
	settle := func(o run.Outcome) step {
		return func(r *run.Run) (*run.Write, error) {
			return &run.Write{}, r.Settle(now.Add(2*time.Minute), r.Generation, "me", time.Hour, o)
		}
	}
	end := func(status run.Status) step {
		return func(r *run.Run) (*run.Write, error) {
			return &run.Write{}, r.End(now.Add(3*time.Minute), "somebody", status, "")
		}
	}
	redeliver := func(r *run.Run) (*run.Write, error) {
		_, err := r.Redeliver(now, "somebody")
		return &run.Write{}, err
	}
	const accepted = `longshore_runs_accepted_total{backend="webhook"} 1`
	tests := map[string]struct {
		notice bool
		steps  []step
		want   []string
	}{
		"accepted": {false, nil, []string{accepted}},
		"claimed":  {false, []step{claim}, []string{accepted}},
		"delivered, then reported": {false, []step{claim, settle(run.Outcome{Verdict: run.Deliver}), end(run.Success)}, []string{
			`longshore_delivery_age_seconds_sum{backend="webhook"} 120`, accepted, `longshore_runs_delivered_total{backend="webhook"} 1`,
			`longshore_runs_ended_total{backend="webhook",status="SUCCESS"} 1`,
		}},
		"retried, then synchronized": {false, []step{
			claim, settle(run.Outcome{Verdict: run.Retry, NextTry: now.Add(time.Minute)}), claim, settle(run.Outcome{Verdict: run.Succeed}),
		}, []string{
			`longshore_delivery_age_seconds_sum{backend="webhook"} 120`, accepted, `longshore_runs_delivered_total{backend="webhook"} 1`,
			`longshore_runs_ended_total{backend="webhook",status="SUCCESS"} 1`, `longshore_runs_retried_total{backend="webhook"} 1`,
		}},
		"limited, then delivered": {false, []step{
			claim, settle(run.Outcome{Verdict: run.Retry, NextTry: now.Add(time.Minute), Limited: true}), claim, settle(run.Outcome{Verdict: run.Deliver}),
		}, []string{
			`longshore_delivery_age_seconds_sum{backend="webhook"} 120`, accepted, `longshore_runs_delivered_total{backend="webhook"} 1`,
		}},
		"failed, then redelivered": {false, []step{
			claim, settle(run.Outcome{Verdict: run.Fail}), redeliver, claim, settle(run.Outcome{Verdict: run.Deliver}),
		}, []string{
			accepted, `longshore_runs_delivered_total{backend="webhook"} 1`, `longshore_runs_ended_total{backend="webhook",status="FAILURE"} 1`,
			`longshore_runs_failed_total{backend="webhook"} 1`,
		}},
		"ended while it is called": {false, []step{claim, end(run.Failure), settle(run.Outcome{Verdict: run.Retry})}, []string{
			accepted, `longshore_runs_ended_total{backend="webhook",status="FAILURE"} 1`,
		}},
		"nothing written": {false, []step{func(*run.Run) (*run.Write, error) { return nil, nil }}, []string{accepted}},
		"refused":         {false, []step{settle(run.Outcome{Verdict: run.Deliver})}, []string{accepted}},
		"a notice":        {true, []step{claim, settle(run.Outcome{Verdict: run.Deliver})}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &run.Run{ID: "r_1", Backend: "webhook"}
			if tt.notice {
				r.NoticeOf = "r_0"
			}
			r.Start(now, "")
			metrics := metric.New()
			store := &run.Metered{Store: &one{r: r}, Metrics: metrics}
			if err := store.Create(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
			for _, move := range tt.steps {
				_, _ = store.Update(t.Context(), r.ID, move)
			}
			var got []string
			for line := range strings.Lines(string(metrics.Text())) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket") && !strings.Contains(line, "_count") {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
	metrics := metric.New()
	store := &run.Metered{Store: &one{err: errors.New("down")}, Metrics: metrics}
	if err := store.Create(t.Context(), &run.Run{}, nil); err == nil || len(metrics.Text()) > 0 {
		t.Errorf("a run that was not recorded was counted: %v\n%s", err, metrics.Text())
	}
}
