package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

const (
	// claimed is how many runs a claim gets that names no limit.
	claimed = 10
	// maxExcluded is how many actions a claim may leave out.
	maxExcluded = 90
	// reads is how many claimed runs are read at once.
	reads = 16
)

// claimPending answers POST /v1/actions/runs/claim-pending: it leases the oldest runs that wait for an
// agent or an integration.
func (s *server) claimPending(r *request) (*answer, error) {
	f, lease, err := readClaim(r)
	if err != nil {
		return nil, err
	}
	// What the answer needs is read first: runs are leased for nothing where it cannot be had.
	there, err := s.definitions(r)
	if err != nil {
		return nil, err
	}
	now := s.now()
	runs, err := run.ClaimPending(r.Context(), s.Runs, now, f, lease)
	if err != nil && len(runs) == 0 {
		return nil, fmt.Errorf("claim runs: %w", err)
	}
	if err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelWarn, "claims cut short", slog.Int("claimed", len(runs)), slog.Any("error", err))
	}
	views, err := s.showClaimed(r, runs, there)
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK   bool              `json:"ok"`
		Runs []json.RawMessage `json:"runs"`
	}{true, views})
}

// readClaim reads what is claimed, and for how long.
func readClaim(r *request) (f run.PendingFilter, lease time.Duration, err error) {
	b, err := members(r.body)
	if err != nil {
		return f, 0, err
	}
	f = run.PendingFilter{
		Installation: b.required("installationId", invocation.MaxInstallation),
		Limit:        b.number("limit", claimed, 1, run.MaxClaims),
		Method: b.word("invocationMethod", "WEBHOOK", "INTEGRATION_ACTION", "GITHUB", "GITLAB", "AZURE_DEVOPS", "AZURE-DEVOPS",
			"KAFKA", "UPSERT_ENTITY"),
		Exclude: b.texts("exclude"),
	}
	if f.Installation == "" && b.has("installationId") && len(b.faults) == 0 {
		b.fault("installationId", "must not be empty")
	}
	if len(f.Exclude) > maxExcluded {
		b.fault("exclude", "must have at most %d members, it has %d", maxExcluded, len(f.Exclude))
	}
	const milliseconds = int(time.Millisecond)
	lease = time.Duration(b.number("visibilityTimeoutMs", int(run.ClaimFor)/milliseconds, 1, int(run.MaxClaimFor)/milliseconds) * milliseconds)
	return f, lease, b.done()
}

// showClaimed reads claimed runs and writes them as their claimer gets them; there says whether the action of
// one still exists. What does not fit into one answer is given back, most of it unread.
func (s *server) showClaimed(r *request, runs []*run.Run, there func(*run.Record) bool) ([]json.RawMessage, error) {
	views := []json.RawMessage{}
	size := envelope
	var last error
	for from := 0; from < len(runs); from += reads {
		texts, faults := s.readClaimed(r, runs[from:min(from+reads, len(runs))], there)
		for i, text := range texts {
			last = faults[i]
			switch {
			case last != nil:
				s.Log.LogAttrs(r.Context(), slog.LevelWarn, "claimed run not given out; its lease lapses",
					slog.String("run_id", runs[from+i].ID), slog.Any("error", last))
			case size+len(text)+1 > MaxAnswer && len(views) > 0:
				s.letGo(r.Context(), runs[from+i:])
				return views, nil
			default:
				size += len(text) + 1
				views = append(views, text)
			}
		}
	}
	if len(views) == 0 && last != nil {
		return nil, last
	}
	return views, nil
}

// readClaimed reads and writes claimed runs at once; of each it returns the text or a fault.
func (s *server) readClaimed(r *request, runs []*run.Run, there func(*run.Record) bool) ([]json.RawMessage, []error) {
	texts := make([]json.RawMessage, len(runs))
	faults := make([]error, len(runs))
	var all sync.WaitGroup
	for i, claim := range runs {
		all.Go(func() {
			record, err := s.Runs.Read(r.Context(), claim.ID)
			if err != nil {
				faults[i] = fmt.Errorf("read claimed run: %w", err)
				return
			}
			// The run as it was claimed, whatever has become of it since.
			record.Run = claim
			texts[i], faults[i] = s.showClaim(r.Context(), record, !there(record))
		})
	}
	all.Wait()
	return texts, faults
}

// showClaim writes a run with the payload that its claimer needs.
func (s *server) showClaim(ctx context.Context, record *run.Record, deleted bool) (json.RawMessage, error) {
	if err := s.openClaimed(ctx, record); err != nil {
		return nil, err
	}
	return showRun(record, deleted)
}

// openClaimed puts what is sent in clear in the place of a masked invocation. This is the one place where
// secrets of a run leave by the API: its claimer needs them.
func (s *server) openClaimed(ctx context.Context, record *run.Record) error {
	sent, _, err := s.opened(ctx, record)
	if err == nil && sent != nil {
		record.Invocation = sent
	}
	return err
}

// opened returns what is sent of a run with secrets, and the mask for what comes back; nil for a run
// without.
func (s *server) opened(ctx context.Context, record *run.Record) (*invocation.Invocation, *secret.Mask, error) {
	if !record.Secrets {
		return nil, nil, nil
	}
	sealed, err := s.Runs.Sealed(ctx, record.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("read what is sent: %w", err)
	}
	sent, mask, err := invocation.Open(ctx, s.Sealer, record.ID, sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("open what is sent: %w", err)
	}
	return sent, mask, nil
}

// reportMask returns what hides the secrets of a run in a report on it: an agent repeats what it was given in
// clear, and what its target answered. It is nil for a run without secrets, and for one that no agent has:
// what a receiver itself reports is kept as it is.
func (s *server) reportMask(ctx context.Context, record *run.Record) (*secret.Mask, error) {
	i := record.Invocation
	if record.Backend != invocation.BackendAgent && (i == nil || i.Webhook == nil || !i.Webhook.Agent) {
		return nil, nil
	}
	_, mask, err := s.opened(ctx, record)
	return mask, err
}

// letGo gives runs back; what cannot be given back is pending again once its lease has lapsed.
func (s *server) letGo(ctx context.Context, runs []*run.Run) {
	for _, claim := range runs {
		_, err := s.Runs.Update(ctx, claim.ID, func(r *run.Run) (*run.Write, error) {
			return &run.Write{}, r.LetGo(claim.Pending.ClaimedUntil)
		})
		if err != nil && !errors.Is(err, run.ErrNotPending) {
			s.Log.LogAttrs(ctx, slog.LevelWarn, "claimed run not given back; its lease lapses",
				slog.String("run_id", claim.ID), slog.Any("error", err))
		}
	}
}

// acknowledge answers PATCH /v1/actions/runs/ack: of one run, or of several of which those count that a
// claim holds.
func (s *server) acknowledge(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	one := b.text("runId", 0)
	several := b.texts("runIds")
	switch {
	case len(several) > run.MaxClaims:
		b.fault("runIds", "must have at most %d members, it has %d", run.MaxClaims, len(several))
	case one == nil && !b.has("runIds"):
		b.fault("runIds", "is required and must be an array of strings, unless runId is given")
	case one != nil && b.has("runIds"):
		b.fault("runIds", "must be absent where runId is given")
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	acknowledge := func(id string) error {
		if _, isID := run.IDTime(id); !isID {
			return fault.New(fault.NotFound, "", "there is no such run")
		}
		now := s.now()
		_, err := s.Runs.Update(r.Context(), id, func(current *run.Run) (*run.Write, error) {
			return &run.Write{}, current.Acknowledge(now, r.caller.ID)
		})
		return err
	}
	if one != nil {
		if err := acknowledge(*one); err != nil {
			return nil, fmt.Errorf("acknowledge run: %w", err)
		}
		return acked(1)
	}
	n := 0
	for _, id := range several {
		switch err := acknowledge(id); {
		case err == nil:
			n++
		case errors.Is(err, run.ErrAcknowledged), errors.Is(err, run.ErrNotClaimed), fault.KindOf(err) == fault.NotFound:
		case n == 0:
			return nil, fmt.Errorf("acknowledge runs: %w", err)
		default:
			// Those that count are the claimer's now and must be told; the others come again.
			s.Log.LogAttrs(r.Context(), slog.LevelWarn, "run not acknowledged", slog.String("run_id", id), slog.Any("error", err))
		}
	}
	return acked(n)
}

func acked(n int) (*answer, error) {
	return ok(struct {
		OK    bool `json:"ok"`
		Count int  `json:"ackedCount"`
	}{true, n})
}

// putResponse answers PATCH /v1/actions/runs/{run_id}/response: what the target of an agent's call said.
func (s *server) putResponse(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	value := b.value("response")
	if !b.has("response") {
		b.fault("response", "is required; it may be any JSON value")
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	_, mask, err := s.opened(r.Context(), record)
	if err != nil {
		return nil, err
	}
	text := jqtemplate.Encode(value)
	if mask != nil {
		text = mask.JSON(text)
	}
	more := len(text) > run.MaxResponse
	response := run.Response(text[:min(len(text), run.MaxResponse)], more)
	deleted, err := s.deleted(r, record)
	if err != nil {
		return nil, err
	}
	by := s.author(r)
	moved, err := s.Runs.Update(r.Context(), record.ID, func(current *run.Run) (*run.Write, error) {
		if err := current.Answer(by.At, by.ID); err != nil {
			return nil, err
		}
		return &run.Write{Response: response, By: &by}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("report the response of a run: %w", err)
	}
	record.Run, record.Response = moved, response
	return runAnswer(200, record, deleted)
}

// noWorkflows answers what agents ask about workflows, which are not there.
func (s *server) noWorkflows(*request) (*answer, error) {
	return ok(struct {
		OK       bool              `json:"ok"`
		NodeRuns []json.RawMessage `json:"nodeRuns"`
	}{true, []json.RawMessage{}})
}

// KafkaCredentials are what agents reach the organization's topics with: a user of their own.
type KafkaCredentials struct {
	Brokers  []string `json:"brokers"`
	Username string   `json:"username"`
	Password string   `json:"password"`
}

// kafkaCredentials answers GET /v1/kafka-credentials.
func (s *server) kafkaCredentials(r *request) (*answer, error) {
	if s.AgentKafka == nil {
		return nil, fault.New(fault.NotFound, "kafka_not_configured", "Kafka is not configured in this deployment")
	}
	credentials, err := s.AgentKafka(r.Context())
	if err != nil {
		return nil, fmt.Errorf("read Kafka's credentials: %w", err)
	}
	if credentials == nil {
		return nil, fault.New(fault.NotFound, "kafka_not_configured", "no Kafka credentials for agents are configured in this deployment")
	}
	return ok(struct {
		OK          bool              `json:"ok"`
		Credentials *KafkaCredentials `json:"credentials"`
	}{true, credentials})
}
