package trigger

import (
	"context"
	"log/slog"

	"longshore/pkg/logline"
	"longshore/pkg/run"
	"longshore/pkg/trace"
)

// of names the run that a request is about, in its log lines and its span.
func of(ctx context.Context, span *trace.Span, r *run.Run) {
	logline.Set(ctx, slog.String(logline.RunID, r.ID))
	span.Set(slog.String("longshore.run.id", r.ID), slog.String("longshore.backend", r.Backend))
}

// over ends a span with the word of a fault, whose sentence may quote the request.
func over(span *trace.Span, err error) {
	if err != nil {
		word := "internal_error"
		if f, ok := asFault(err); ok {
			word = f.Word()
		}
		span.Fail(word)
	}
	span.End()
}
