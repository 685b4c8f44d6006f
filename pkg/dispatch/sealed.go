package dispatch

import (
	"context"

	"longshore/pkg/backend"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
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
	if o.Response != nil {
		o.Response = mask.JSON(o.Response)
	}
	return o
}
