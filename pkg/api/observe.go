package api

import (
	"cmp"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"

	"longshore/pkg/fault"
	"longshore/pkg/logline"
	"longshore/pkg/trace"
)

// observed returns the request with a context whose log lines name it, its trace and its run, and whose
// trace is the client's, the platform's or a new one; the request's id; and its step of the trace. The id
// is the platform's or drawn here: one that the client brings along is noted beside it, so that nobody
// can make lines look like another request's.
func (s *server) observed(r *http.Request, found match) (*http.Request, string, *trace.Span) {
	ctx := r.Context()
	id := cmp.Or(logline.Get(ctx, logline.RequestID), rand.Text())
	if c, ok := trace.FromHeader(r.Header); ok {
		ctx = trace.With(ctx, c)
	}
	// Steps are of requests that do something, not of probes.
	tracer := s.Trace
	if found.route != nil && (found.access == Open && r.Method == http.MethodGet || found.access == Loopback) {
		tracer = nil
	}
	ctx, span := tracer.Start(ctx, cmp.Or(r.Method+" "+found.pattern, r.Method), trace.Server,
		slog.String("http.request.method", r.Method), slog.String("http.route", found.pattern))
	attributes := append(make([]slog.Attr, 0, 4), slog.String(logline.RequestID, id), slog.String(logline.TraceID, trace.From(ctx).ID()))
	if client := r.Header.Get("X-Request-Id"); plainWord(client) {
		attributes = append(attributes, slog.String(logline.ClientRequestID, client))
	}
	if run := found.params["run_id"]; run != "" {
		attributes = append(attributes, slog.String(logline.RunID, run))
		span.Set(slog.String("longshore.run.id", run))
	}
	return r.WithContext(logline.Begin(ctx, attributes...)), id, span
}

// over ends a request's step.
func over(span *trace.Span, status int, err error) {
	span.Set(slog.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		word := "internal_error"
		var f *fault.Error
		if errors.As(err, &f) {
			word = f.Word()
		}
		span.Fail(word)
	}
	span.End()
}

// plainWord reports whether an id of a client's may stand in a log line.
func plainWord(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_', c == '.', c == ':', c == '=':
		default:
			return false
		}
	}
	return true
}
