// Package local is the whole product in one process: the API, the queue's workers, the sweeper, over
// SQLite or, with AWS set, over DynamoDB and SQS.
//
// It promises that what was answered survives a kill -9 at any moment: the next process on the same
// data directory takes over what was in hand.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/approval"
	"longshore/pkg/audit"
	"longshore/pkg/automation"
	"longshore/pkg/boot"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/breaker"
	"longshore/pkg/catalog"
	"longshore/pkg/changelog"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/feed"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/identity/oidc"
	"longshore/pkg/logline"
	"longshore/pkg/metric"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/schedule/localschedule"
	"longshore/pkg/secret"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/sweep"
	"longshore/pkg/trace"
	"longshore/pkg/trace/otlp"
	"longshore/pkg/trigger"
)

// Config is what a local process is told. Zero values mean the documented defaults.
type Config struct {
	// Addr is where to listen; port 0 picks one.
	Addr string
	// Data is the directory of database and generated credentials; it is made where it is missing.
	Data string
	// What is empty of these is generated on the first start and kept in Data.
	OrgID, ClientID, ClientSecret, TokenKey, SealingKey string
	ClientSecretPrevious                                string
	// SealingKeyPrevious are older sealing keys, separated by commas.
	SealingKeyPrevious          string
	EgressAllow                 egress.Allow
	Timeout                     func(backend string) time.Duration
	Retention, AuditRetention   time.Duration
	CallTimeout, ConnectTimeout time.Duration
	// AWS selects DynamoDB and SQS; AWSCreate makes tables and queues that are missing.
	AWS, AWSCreate          bool
	RunsTable, CatalogTable string
	// ApprovalTimeout is how long a run may wait for approval; 0 means run.ApprovalTimeout.
	ApprovalTimeout time.Duration
	// SESSender is the address that e-mails come from, empty for none; BaseURL the one that clients use,
	// empty for that of each request.
	SESSender, BaseURL string
	// Queues are the URLs of queues by backend; those without one are not configured then. Without any the
	// queues called longshore-<backend> are used.
	Queues map[string]string
	// Kafka delivers to Kafka where it has brokers; AgentKafka is what agents get then.
	Kafka      kafkasettings.Settings
	AgentKafka boot.AgentKafka
	// AzureDevOpsURL is that of the service, empty for Azure's own.
	AzureDevOpsURL string
	GitHub         GitHub
	GitLab         GitLab
	// Breaker says when runs are kept away from a host that fails.
	Breaker breaker.Rules
	// Workers is how many deliveries of each backend run at once; 0 means 200.
	Workers int
	Version string
	Log     *slog.Logger
	// OIDC is the provider of users' tokens; without an issuer there are none.
	OIDC oidc.Config

	// Collector is where spans go; without an endpoint none are recorded.
	Collector otlp.Config

	// metrics are what the process counts in; Open makes them.
	metrics *metric.Registry
	// chaos makes the queue as unkind as SQS may be, for tests.
	chaos bool
	// now is the API's clock, for tests; nil means time.Now.
	now func() time.Time
	// changes takes the place of automations, for tests; nil means them.
	changes feed.Handler
	// clock is that of queue, dispatchers, sweeper, breaker, timers and schedules, for tests; nil means time.Now.
	clock func() time.Time
}

// stores are the two ways to keep things.
type stores struct {
	runs run.Store
	// deliveries are runs as dispatchers read them.
	deliveries dispatch.Runs
	actions    action.Store
	catalog    catalog.Store
	// organization has settings and secrets.
	organization organization.Store
	audit        audit.Store
	hosts        breaker.Store
	migrations   sweep.Migrations
	timers       sweep.Timers
	// memory is how far the clock of schedules had come when the process ended, nil where that is not kept.
	memory   localschedule.Memory
	queue    queue.Queue
	accepter trigger.Accepter
	settler  dispatch.Settler
	// acked reports, once, whether the settler acknowledged a receipt.
	acked func(receipt string) bool
	// follow hands the changes of runs, entities and definitions to a handler until the context ends; nil
	// where another process does. Changes keeps their entries in the audit log, nil where the stores do.
	follow  func(context.Context, feed.Handler)
	changes automation.Audit
	// drains says that this process takes messages off the dead-letter queue.
	drains bool
	// oldest says how long a queue's oldest message has been due; nil where the platform measures it.
	oldest func(ctx context.Context, backend string) (time.Duration, error)
	ready  func(context.Context) error
	// start takes over what a process that died had in hand.
	start func(context.Context) error
	purge func(context.Context, time.Time) error
	close func() error
}

// Server is one local process.
type Server struct {
	c           Config
	credentials Credentials
	made        bool
	stores      *stores
	// handles are what takes the messages off each backend's queue.
	handles    map[string]handle
	deadletter *dispatch.DeadLetter
	// begin are run beside the workers.
	begin []func()
	// closers give back what backends hold once nothing is in hand.
	closers []func()
	// entities and sealer are what backends work with.
	entities *catalog.Service
	sealer   *secret.Sealer
	tokens   *identity.Tokens
	breaker  *breaker.Guard
	sweeper  *sweep.Sweeper
	metrics  *metric.Registry
	// spans and tracer are nil without a collector.
	spans   *otlp.Exporter
	tracer  *trace.Tracer
	handler http.Handler

	listener net.Listener
	http     *http.Server
	failed   chan error
	// unused are connections without a request yet; Shutdown would wait five seconds for one.
	unused sync.Map
	// background ends the loops; hands are those that finish what is in hand.
	background context.Context
	stop       context.CancelFunc
	loops      sync.WaitGroup
	hands      sync.WaitGroup
}

const (
	// stopFor is how long Stop waits for what is in hand.
	stopFor = 25 * time.Second
	// handFor is a dispatcher's life for one message, as the function's.
	handFor = 60 * time.Second
	// sweepEvery and purgeEvery are the clock's beats.
	sweepEvery = time.Second
	purgeEvery = 10 * time.Minute
	// pollFor is how long a worker waits for messages at once.
	pollFor = 20 * time.Second
	// workers are twice as many as one host gets: 100, which keep up with what the API accepts.
	workers = 200
	// entityWorkers is how many entities are upserted and migrations of the catalog carried on at once.
	entityWorkers = 8
)

// Open opens stores and queue and generates what is missing. Errors: fault.Conflict, data_in_use,
// when another process has the data directory.
func Open(ctx context.Context, c Config) (_ *Server, err error) {
	if c.Workers == 0 {
		c.Workers = workers
	}
	if c.Timeout == nil {
		c.Timeout = run.Timeouts(0)
	}
	if c.Retention == 0 {
		c.Retention = sqlitestore.DefaultRetention
	}
	c.metrics = metric.New()
	if c.Log != nil {
		c.Log = slog.New(logline.Handler(c.Log.Handler()))
	}
	c.Collector.Log, c.Collector.Version, c.Collector.Service = c.Log, c.Version, cmp.Or(c.Collector.Service, "longshore")
	spans, err := otlp.Open(c.Collector)
	if err != nil {
		return nil, err
	}
	s := &Server{c: c, metrics: c.metrics, spans: spans, tracer: spans.Tracer(), failed: make(chan error, 1)}
	s.background, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if c.AWS {
		s.stores, err = openAWS(ctx, c)
	} else {
		s.stores, err = openSQLite(ctx, c)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
			err = errors.Join(err, s.stores.close())
		}
	}()
	if s.credentials, s.made, err = keepCredentials(c.Data); err != nil {
		return nil, err
	}
	for _, given := range []struct {
		value string
		into  *string
	}{
		{c.OrgID, &s.credentials.OrgID}, {c.ClientID, &s.credentials.ClientID},
		{c.ClientSecret, &s.credentials.ClientSecret}, {c.TokenKey, &s.credentials.TokenKey},
		{c.SealingKey, &s.credentials.SealingKey},
	} {
		if given.value != "" {
			*given.into = given.value
		}
	}
	if err := s.stores.start(ctx); err != nil {
		return nil, fmt.Errorf("take over what was in hand: %w", err)
	}
	return s, s.assemble()
}

// assemble builds the use cases, as the functions' mains do.
func (s *Server) assemble() error {
	c, st := s.c, s.stores
	configured := c.configured
	key, err := boot.Key("the token key", s.credentials.TokenKey)
	if err != nil {
		return err
	}
	tokens, err := identity.NewTokens(identity.Config{
		OrgID: s.credentials.OrgID, ClientID: s.credentials.ClientID, Key: key,
		Secrets: []string{s.credentials.ClientSecret, c.ClientSecretPrevious},
	})
	if err != nil {
		return err
	}
	ring, err := boot.SealingKey{Plain: s.credentials.SealingKey, Previous: c.SealingKeyPrevious}.Ring()
	if err != nil {
		return err
	}
	sealer := secret.NewSealer(ring)
	s.sealer = sealer
	reader := catalog.NewReader(st.catalog, time.Now)
	users := directory.New(reader, s.credentials.OrgID)
	access := &identity.Access{Tokens: tokens, Users: users}
	if c.OIDC.Issuer != "" {
		provider, err := oidc.NewGuarded(c.OIDC)
		if err != nil {
			return err
		}
		access.Provider = provider
	}
	cache := action.NewCache(st.actions)
	judge := permission.New(permission.Config{Catalog: reader})
	settings := organization.NewService(st.organization, sealer)
	starter := trigger.New(trigger.Config{
		Actions: cache, Entities: reader, Permissions: judge, Approvers: judge, Users: users, Runs: st.runs, Accepter: st.accepter, Sender: st.queue,
		ApprovalTimeout: c.ApprovalTimeout, Mails: c.SESSender != "", BaseURL: c.BaseURL, Address: s.baseURL,
		OrgID: s.credentials.OrgID, Configured: configured, GitHubApp: c.GitHub.App, Log: c.Log, Trace: s.tracer,
		ClientSecret: s.credentials.ClientSecret, Key: key,
		Secrets: organization.NewVault(st.organization, sealer), Sealer: sealer, Streamer: settings,
	})
	automations := automation.New(automation.Config{
		Actions: cache, Entities: reader, Starter: starter, Audit: st.changes, OrgID: s.credentials.OrgID, Log: c.Log,
		Changelog: changelog.New(changelog.Config{Runs: st.runs, Send: st.queue, Configured: configured, OrgID: s.credentials.OrgID, Log: c.Log}),
	})
	if st.follow != nil {
		var handler feed.Handler = automations
		if c.changes != nil {
			handler = c.changes
		}
		// Where a deployment follows its streams itself, it keeps its schedules too; a rate would come twice, since
		// either counts from another moment.
		clock := localschedule.New(localschedule.Config{Actions: cache, Start: automations.StartScheduled, Memory: st.memory, Log: c.Log, Now: c.clock})
		s.begin = append(s.begin, func() { st.follow(s.background, handler) }, func() { s.each(sweepEvery, clock.Tick) })
	}
	entities := catalog.NewService(st.catalog, time.Now)
	entities.OnSlice(dispatch.SendSlices(st.queue, c.Log))
	s.entities, s.tokens = entities, tokens
	s.handler = api.New(api.Config{
		Tokens: access, Actions: st.actions, Cache: cache, Runs: st.runs, Starter: starter,
		Catalog: entities, Audit: st.audit,
		Organization: settings,
		Decider:      approval.New(approval.Config{Runs: st.runs, Users: users, Send: st.queue, Configured: configured, Log: c.Log}),
		Log:          c.Log, Now: c.now, AgentKafka: s.agentKafka(), Sealer: sealer, Ready: st.ready, Metrics: s.metricsHandler(), Trace: s.tracer,
		Hosts: st.hosts, Configured: configured, Addresses: s.addresses,
		GitHubEvents: s.githubEvents(), GitLabEvents: s.gitlabEvents(),
	})
	s.breaker = s.guard()
	s.handles = map[string]handle{}
	for _, b := range backends {
		if !c.configured(b.name) {
			continue
		}
		if s.handles[b.name], err = b.open(s); err != nil {
			return fmt.Errorf("configure backend %s: %w", b.name, err)
		}
	}
	s.deadletter = dispatch.NewDeadLetter(dispatch.DeadLetterConfig{
		Runs: st.runs, Log: c.Log,
		Count: s.counting(queue.DeadLetter),
	})
	s.sweeper = sweep.New(sweep.Config{
		Runs: st.runs, Migrations: st.migrations, Timers: st.timers, Send: st.queue, Configured: configured, Timeout: c.Timeout,
		Events: s.events, Log: c.Log, Breaker: s.breaker, Now: c.clock,
	})
	return nil
}

// Start listens and begins to work. It returns once connections are accepted.
func (s *Server) Start(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.c.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.listener = listener
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// OPTIONS * is an unknown route, answered as every other one.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.unused.Store(c, true)
			} else {
				s.unused.Delete(c)
			}
		},
	}
	s.loops.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.failed <- fmt.Errorf("serve: %w", err)
		}
	})
	for name, handle := range s.handles {
		s.loops.Go(func() { s.work(name, s.workersOf(name), handle) })
	}
	for _, begin := range s.begin {
		s.loops.Go(begin)
	}
	if s.stores.drains {
		s.loops.Go(func() { s.work(queue.DeadLetter, 10, s.deadletter.Handle) })
	}
	s.loops.Go(func() { s.each(sweepEvery, s.sweep) })
	s.loops.Go(func() { s.each(purgeEvery, s.purge) })
	s.loops.Go(func() { s.spans.Run(s.background) })
	return nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// baseURL is the address that clients use.
func (s *Server) baseURL() string { return cmp.Or(s.c.BaseURL, "http://"+s.Addr()) }

// addresses are those of the API in definitions whose calls carry its own token: the one that clients use,
// and the one that is listened on.
func (s *Server) addresses() []string {
	if s.listener == nil {
		return []string{s.c.BaseURL}
	}
	return []string{s.c.BaseURL, "http://" + s.Addr()}
}

// callToken makes the token of a call of the API by a run.
func (s *Server) callToken(_ context.Context, c identity.Call) (string, error) {
	return s.tokens.SignCall(c)
}

// Credentials are those in use, given or kept.
func (s *Server) Credentials() Credentials { return s.credentials }

// Made reports whether the data directory's credentials were generated by this start.
func (s *Server) Made() bool { return s.made }

// Failed yields an error when the process cannot go on.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop stops taking requests and messages, finishes what is in hand within 25 s, and closes the
// stores. What is not finished by then is interrupted, as by a crash.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopFor)
	defer cancel()
	s.stop()
	var err error
	if s.http != nil {
		_ = s.listener.Close()
		s.unused.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		switch err = s.http.Shutdown(ctx); {
		case errors.Is(err, context.DeadlineExceeded):
			s.c.Log.Warn("stopped before all requests had ended")
			err = s.http.Close()
		case errors.Is(err, net.ErrClosed):
			// It closes the listener as well, until Serve has noticed.
			err = nil
		}
	}
	done := make(chan struct{})
	go func() {
		s.loops.Wait()
		s.hands.Wait()
		close(done)
	}()
	select {
	case <-done:
		// The spans of what was in hand.
		s.spans.Flush(ctx)
		for _, closes := range s.closers {
			closes()
		}
	case <-ctx.Done():
		s.c.Log.Warn("stopped before all deliveries had ended; the next start makes them again")
	}
	return errors.Join(err, s.stores.close())
}
