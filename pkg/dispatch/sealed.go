package dispatch

import (
	"context"

	"longshore/pkg/backend"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

// open returns what is sent for a run with secrets, and the mask for what comes back. Nil when it is
// not stored.
func (d *Dispatcher) open(ctx context.Context, id string) (*invocation.Invocation, *secret.Mask, error) {
	sealed, err := d.c.Runs.Sealed(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return invocation.Open(ctx, d.c.Sealer, id, sealed)
}

// hide masks what an outcome holds of its target's words.
func hide(o backend.Outcome, mask *secret.Mask) backend.Outcome {
	o.Error, o.StatusLabel = mask.Text(o.Error), mask.Text(o.StatusLabel)
	o.Cause, o.ExternalRunID = mask.Text(o.Cause), mask.Text(o.ExternalRunID)
	if o.Response != nil {
		o.Response = mask.JSON(o.Response)
	}
	if o.Link != nil {
		o.Link = mask.JSON(o.Link)
	}
	for i, f := range o.Faults {
		o.Faults[i] = mask.Text(f)
	}
	return o
}

// hideFound masks what a finding holds of its target's words.
func hideFound(f run.Finding, mask *secret.Mask) run.Finding {
	f.StatusLabel, f.Line, f.Waiting = mask.Text(f.StatusLabel), mask.Text(f.Line), mask.Text(f.Waiting)
	f.ExternalRunID = mask.Text(f.ExternalRunID)
	if f.Link != nil {
		f.Link = mask.JSON(f.Link)
	}
	return f
}
