package api

import (
	"context"
	"net/http"
	"time"

	"longshore/pkg/fault"
)

// readyTimeout is how long the parts of a deployment may take to say that they answer.
const readyTimeout = 5 * time.Second

// healthy answers GET /healthz: the process serves.
func (s *server) healthy(*request) (*answer, error) { return ok(okOnly{true}) }

// ready answers GET /readyz: store and queue answer.
func (s *server) ready(r *request) (*answer, error) {
	if s.Ready == nil {
		return ok(okOnly{true})
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		return nil, fault.Busy(err, time.Second, "the store or the queue does not answer")
	}
	return ok(okOnly{true})
}

// metrics answers GET /metrics, where the process counts anything.
func (s *server) metrics(w http.ResponseWriter, r *http.Request) (int, error) {
	if s.Metrics == nil {
		return writeFault(w, noRoute()), nil
	}
	s.Metrics.ServeHTTP(w, r)
	return http.StatusOK, nil
}
