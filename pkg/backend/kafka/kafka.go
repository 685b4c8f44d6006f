// Package kafka delivers runs as records of a Kafka topic: type KAFKA, and runs of execution agents
// that take them from there.
//
// It promises that a record is acknowledged by all replicas in sync before its run counts as
// delivered, that nothing is left to be sent when a call returns, and that no credential and nothing of
// a payload reaches the error of an outcome. Whoever consumes the record reports how the run ends.
//
// Brokers are what the operator configured, and what those advertise: the egress guard, which is for
// addresses that a definition names, does not apply to them.
package kafka

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"longshore/pkg/backend"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// Names of the mechanisms of SASL, as Kafka has them.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	IAM         = "AWS_MSK_IAM"
)

const (
	dialTimeout = 5 * time.Second
	// maxRecord is above what brokers take by default (1 MiB): they, not this client, say that a record
	// is too large.
	maxRecord = 16 << 20
	// maxHost is how much of the brokers' addresses names them, in bytes: it is a part of a key.
	maxHost = 200
	// idle is how long a connection without use is kept; brokers close theirs after ten minutes.
	idle = 5 * time.Minute
)

// Credentials are the dispatcher's own, never those handed out to agents.
type Credentials struct {
	Username, Password string
}

// IAMCredentials are those of an AWS principal.
type IAMCredentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// Config is what a Backend needs. Brokers and OrgID are required.
type Config struct {
	// Brokers are addresses, host:port, of some of the cluster's brokers.
	Brokers []string
	// OrgID makes the names of the topics: <OrgID>.runs and <OrgID>.change.log.
	OrgID string
	// TLS encrypts, and checks the brokers' certificates against CA, PEM, or the system's authorities
	// where that is empty.
	TLS bool
	CA  []byte
	// Mechanism is one of the mechanisms of SASL, empty for none.
	Mechanism string
	// Credentials are asked at each connection and cached by whoever gives them; for all mechanisms but
	// IAM. IAM is the same for that one.
	Credentials func(context.Context) (Credentials, error)
	IAM         func(context.Context) (IAMCredentials, error)
	// Secrets returns the client secrets that messages to agents are signed with. It is asked at each
	// call and caches by itself; nil refuses runs of agents.
	Secrets func(context.Context) (signature.Secrets, error)
	// CallTimeout is backend.DefaultCallTimeout if it is 0.
	CallTimeout time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// Backend delivers invocations of type KAFKA, those of agents, and changelog messages. It is safe for concurrent use.
type Backend struct {
	c      Config
	client *kgo.Client
	topic  string

	// making is held by whoever makes the topics; made says that they were there, were made, or may not be,
	// and that no record has been refused since because its topic is missing.
	making chan struct{}
	made   atomic.Bool
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
	_ backend.Hoster   = (*Backend)(nil)
)

// New returns a backend, which connects when it is first called. Its error names what is wrong with
// the configuration.
func New(c Config) (*Backend, error) {
	if c.CallTimeout == 0 {
		c.CallTimeout = backend.DefaultCallTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.Brokers) == 0 || c.OrgID == "" {
		return nil, errors.New("configure Kafka: brokers and the organization's id are needed")
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("longshore"), kgo.DialTimeout(dialTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ConnIdleTimeout(idle),
		kgo.ProducerBatchMaxBytes(maxRecord), kgo.ProducerLinger(0),
		// A call has seconds: the next leader is asked for at once.
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RecordDeliveryTimeout(c.CallTimeout), kgo.ProduceRequestTimeout(c.CallTimeout),
		// A call ends with its time, though the brokers may have what they did not acknowledge: the run's
		// next try is then a second record.
		kgo.AllowIdempotentProduceCancellation(),
		// A topic that is missing is said so, not waited for: its absence is an answer.
		kgo.UnknownTopicRetries(2),
	}
	if c.TLS {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if len(c.CA) > 0 {
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(c.CA) {
				return nil, errors.New("configure Kafka: the certificate of the authority is no PEM")
			}
		}
		options = append(options, kgo.DialTLSConfig(config))
	}
	if c.Mechanism != "" {
		mechanism, err := c.mechanism()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	return &Backend{c: c, client: client, topic: Topic(c.OrgID), making: make(chan struct{}, 1)}, nil
}

// Topic is the topic of an organization's runs; ChangeTopic that of its changes.
func Topic(orgID string) string { return orgID + ".runs" }

// ChangeTopic is the topic of an organization's changes.
func ChangeTopic(orgID string) string { return orgID + ".change.log" }

// errNoCredentials hides why credentials could not be read: the reason may name what is secret.
var errNoCredentials = errors.New("the credentials of Kafka could not be read")

func (c *Config) mechanism() (sasl.Mechanism, error) {
	if c.Mechanism == IAM {
		if c.IAM == nil {
			return nil, errors.New("configure Kafka: AWS_MSK_IAM needs credentials")
		}
		return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
			v, err := c.IAM(ctx)
			if err != nil {
				return aws.Auth{}, errNoCredentials
			}
			return aws.Auth{AccessKey: v.AccessKeyID, SecretKey: v.SecretAccessKey, SessionToken: v.SessionToken, UserAgent: "longshore"}, nil
		}), nil
	}
	if c.Credentials == nil {
		return nil, fmt.Errorf("configure Kafka: %s needs a user name and a password", c.Mechanism)
	}
	scrams := func(ctx context.Context) (scram.Auth, error) {
		v, err := c.Credentials(ctx)
		if err != nil {
			return scram.Auth{}, errNoCredentials
		}
		return scram.Auth{User: v.Username, Pass: v.Password}, nil
	}
	switch c.Mechanism {
	case Plain:
		return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
			v, err := c.Credentials(ctx)
			if err != nil {
				return plain.Auth{}, errNoCredentials
			}
			return plain.Auth{User: v.Username, Pass: v.Password}, nil
		}), nil
	case ScramSHA256:
		return scram.Sha256(scrams), nil
	case ScramSHA512:
		return scram.Sha512(scrams), nil
	}
	return nil, fmt.Errorf("configure Kafka: the SASL mechanism must be %s, %s, %s or %s", Plain, ScramSHA256, ScramSHA512, IAM)
}

// Close gives the connections back.
func (b *Backend) Close() { b.client.Close() }

// MakeTopics makes the organization's two topics where they are missing, with the partitions and
// replicas that the brokers give by default. A user that may not make topics is told so once: they may be
// there.
func (b *Backend) MakeTopics(ctx context.Context) error {
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return fmt.Errorf("make topics: %w", ctx.Err())
	}
	if b.made.Load() {
		return nil
	}
	answers, err := kadm.NewClient(b.client).CreateTopics(ctx, -1, -1, nil, b.topic, ChangeTopic(b.c.OrgID))
	if err != nil {
		return fmt.Errorf("make topics: %w", err)
	}
	var denied error
	for _, a := range answers {
		switch {
		case a.Err == nil, errors.Is(a.Err, kerr.TopicAlreadyExists):
		case errors.Is(a.Err, kerr.TopicAuthorizationFailed), errors.Is(a.Err, kerr.ClusterAuthorizationFailed):
			denied = fmt.Errorf("make topic %s: %w", a.Topic, a.Err)
		default:
			return fmt.Errorf("make topic %s: %w", a.Topic, a.Err)
		}
	}
	b.made.Store(true)
	return denied
}

// Call makes one attempt. A record that the brokers acknowledged delivers the run.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	value, refused := b.value(ctx, c)
	if refused != nil {
		return *refused
	}
	if i := c.Invocation; i.Type == invocation.TypeChange {
		return b.produce(ctx, &kgo.Record{Topic: ChangeTopic(b.c.OrgID), Key: []byte(i.Key), Value: value})
	}
	return b.produce(ctx, &kgo.Record{
		Topic: b.topic, Key: []byte(c.RunID), Value: value,
		Headers: []kgo.RecordHeader{
			{Key: "run-id", Value: []byte(c.RunID)}, {Key: "action", Value: []byte(c.Action)},
		},
	})
}

// value is what the record of a call holds, or why there is none.
func (b *Backend) value(ctx context.Context, c backend.Call) ([]byte, *backend.Outcome) {
	refuse := func(why string) ([]byte, *backend.Outcome) {
		o := backend.Refuse(why)
		return nil, &o
	}
	switch {
	case c.Invocation == nil:
	case forAgent(c.Invocation):
		if b.c.Secrets == nil {
			return refuse("this deployment cannot sign messages to agents")
		}
		secrets, err := b.c.Secrets(ctx)
		if err != nil {
			o := backend.Fault(err)
			return nil, &o
		}
		text, err := Message(c.Invocation, c.RunID, secrets.Current, b.c.Now())
		if err != nil {
			return refuse("the message to the agent cannot be made: " + err.Error())
		}
		return text, nil
	case c.Invocation.Type == "KAFKA":
		var method struct {
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(c.Invocation.Payload, &method); err != nil {
			return refuse("the invocation cannot be read")
		}
		if len(method.Payload) == 0 {
			return []byte(`{}`), nil
		}
		return method.Payload, nil
	case c.Invocation.Type == invocation.TypeChange:
		return c.Invocation.Payload, nil
	}
	return refuse("the run's invocation is none of Kafka")
}

// Host implements backend.Hoster: the brokers together are one host.
func (b *Backend) Host() string {
	host := "kafka://" + strings.Join(b.c.Brokers, ",")
	if len(host) > maxHost {
		sum := sha256.Sum256([]byte(host))
		host = host[:maxHost] + "~" + hex.EncodeToString(sum[:])
	}
	return host
}

// Prepare implements backend.Preparer: without a secret to sign with no attempt is made.
func (b *Backend) Prepare(ctx context.Context) error {
	if b.c.Secrets == nil {
		return nil
	}
	secrets, err := b.c.Secrets(ctx)
	if err == nil && secrets.Current == "" {
		err = signature.ErrNoSecret
	}
	if err != nil {
		return fmt.Errorf("read the client secret: %w", err)
	}
	return nil
}

// produce sends one record and waits for its acknowledgement.
func (b *Backend) produce(ctx context.Context, record *kgo.Record) backend.Outcome {
	if err := b.MakeTopics(ctx); err != nil && ctx.Err() != nil {
		return fault(err)
	}
	// Topics that may not be made may be there.
	err := b.client.ProduceSync(ctx, record).FirstErr()
	switch {
	case err == nil:
		return backend.Outcome{Verdict: run.Deliver}
	case errors.Is(err, kerr.MessageTooLarge):
		return backend.Refuse(fmt.Sprintf("the record has %d bytes; %s", len(record.Value), b.limit(ctx, record.Topic)))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		b.made.Store(false)
		// The client would go on asking for the topic that is gone by its id. To forget it takes as long as the
		// brokers let it.
		forgotten := make(chan struct{})
		go func() {
			defer close(forgotten)
			b.client.PurgeTopicsFromProducing(record.Topic)
		}()
		select {
		case <-forgotten:
		case <-ctx.Done():
		}
	}
	return fault(err)
}

// limit says how large a record of a topic may be.
func (b *Backend) limit(ctx context.Context, topic string) string {
	configs, err := kadm.NewClient(b.client).DescribeTopicConfigs(ctx, topic)
	if err == nil {
		for _, c := range configs {
			for _, entry := range c.Configs {
				if entry.Key == "max.message.bytes" {
					return "the topic takes at most " + entry.MaybeValue() + " (max.message.bytes)"
				}
			}
		}
	}
	return "the topic takes less (max.message.bytes)"
}

// fault says what a record that was not acknowledged means. Errors of the protocol carry their own
// verdict; anything else is a connection that failed.
func fault(err error) backend.Outcome {
	o := backend.Outcome{Verdict: run.Retry, StatusLabel: backend.DeliveryFailed}
	var e *kerr.Error
	var opened *net.OpError
	switch {
	case errors.As(err, &e):
		o.Error = fmt.Sprintf("Kafka answered %s: %s", e.Message, e.Description)
		// An unknown topic counts as retriable: it may be made yet.
		if !e.Retriable && !errors.Is(err, kerr.SaslAuthenticationFailed) {
			o.Verdict = run.Fail
		}
	case errors.Is(err, errNoCredentials):
		o.Error = errNoCredentials.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordTimeout):
		o.Error = "Kafka did not acknowledge the record in time"
		o.NoAnswer = true
	case errors.Is(err, context.Canceled):
		// A call that this process gave up says nothing about its target.
		o.Error = "the call to Kafka was interrupted"
	case errors.As(err, &opened):
		o.Error = "no connection to Kafka's brokers"
		o.NoAnswer = true
	default:
		o.Error = "the call to Kafka failed"
		o.NoAnswer = true
	}
	return o
}
