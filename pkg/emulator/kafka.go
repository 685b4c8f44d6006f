package emulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The one user of a broker's listeners with SASL, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
const (
	KafkaUser     = "longshore"
	KafkaPassword = "the-broker's password"
)

// Broker is a Kafka broker that is a cluster of its own. It makes no topics by itself.
type Broker struct {
	// Plain, SASL and TLS are the addresses, host:port, of its listeners: open to everybody; for the
	// user alone; for the user alone, and encrypted.
	Plain, SASL, TLS string
	// CA is the certificate, PEM, of the encrypted listener.
	CA []byte

	jars, properties string
	server           *Server
}

// Kafka returns a broker that all tests of this process share: each gives its topics names of their
// own.
func Kafka(t testing.TB) *Broker {
	t.Helper()
	b, err := sharedKafka()
	Need(t, "Kafka", err)
	return b
}

var sharedKafka = sync.OnceValues(func() (*Broker, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "longshore-kafka")
	if err != nil {
		return nil, fmt.Errorf("make the broker's directory: %w", err)
	}
	return StartKafka(ctx, dir)
})

// NewKafka returns a broker of one test, which may stop and start it.
func NewKafka(t testing.TB) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b, err := StartKafka(ctx, t.TempDir())
	Need(t, "Kafka", err)
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

// StartKafka starts a broker that keeps its data in dir. The context bounds the start only.
func StartKafka(ctx context.Context, dir string) (*Broker, error) {
	jars, err := fetch(ctx, service{name: "Kafka", folder: "kafka"})
	if err != nil {
		return nil, err
	}
	var ports [4]int
	for i := range ports {
		if ports[i], err = freePort("127.0.0.1"); err != nil {
			return nil, err
		}
	}
	address := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])) }
	b := &Broker{
		Plain: address(0), SASL: address(1), TLS: address(2),
		jars: jars, properties: filepath.Join(dir, "server.properties"),
	}
	var key []byte
	if b.CA, key, err = certificate(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.properties, []byte(b.config(address(3), dir, key)), 0o600); err != nil {
		return nil, fmt.Errorf("write the broker's properties: %w", err)
	}
	format := exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"),
		"kafka.tools.StorageTool", "format", "-t", "bG9uZ3Nob3JlLXRlc3Rz", "-c", b.properties,
		"--add-scram", scram("SCRAM-SHA-256"), "--add-scram", scram("SCRAM-SHA-512"))
	if output, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the broker's directory: %w: %s", err, tailOf(output))
	}
	return b, b.Start(ctx)
}

func scram(mechanism string) string {
	return fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, KafkaUser, KafkaPassword)
}

// config is the broker's properties: names of listeners are those of the fields.
func (b *Broker) config(controller, dir string, key []byte) string {
	line := func(text []byte) string { return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", `\n`) }
	lines := []string{
		"process.roles=broker,controller", "node.id=1", "log.dirs=" + filepath.Join(dir, "data"),
		"controller.quorum.voters=1@" + controller, "controller.listener.names=CONTROLLER",
		"listeners=PLAIN://" + b.Plain + ",SASL://" + b.SASL + ",TLS://" + b.TLS + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAIN://" + b.Plain + ",SASL://" + b.SASL + ",TLS://" + b.TLS,
		"listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=PLAIN", "auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1", "group.initial.rebalance.delay.ms=0",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.tls.ssl.keystore.type=PEM",
		"listener.name.tls.ssl.keystore.certificate.chain=" + line(b.CA),
		"listener.name.tls.ssl.keystore.key=" + line(key),
	}
	for _, listener := range []string{"sasl", "tls"} {
		const module = "org.apache.kafka.common.security."
		lines = append(lines,
			fmt.Sprintf(`listener.name.%s.plain.sasl.jaas.config=%splain.PlainLoginModule required user_%s="%s";`, listener, module, KafkaUser, KafkaPassword))
		for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
			lines = append(lines, fmt.Sprintf("listener.name.%s.%s.sasl.jaas.config=%sscram.ScramLoginModule required;", listener, mechanism, module))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// Start starts a broker that was stopped, on the same addresses and with what it kept.
func (b *Broker) Start(ctx context.Context) (err error) {
	s := service{arguments: func(string, int) []string { return []string{"kafka.Kafka", b.properties} }}
	if b.server, err = launch(s, b.jars, "127.0.0.1", 0); err != nil {
		return err
	}
	err = b.server.await(ctx, func(ctx context.Context) bool {
		// The broker listens before it knows that it may serve; only then its last listener is open.
		for _, address := range []string{b.Plain, b.SASL, b.TLS} {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				return false
			}
			_ = conn.Close()
		}
		return true
	})
	if err != nil {
		_ = b.server.Stop()
	}
	return err
}

// Stop ends the broker, as a crash does, and waits until it is gone.
func (b *Broker) Stop() error { return b.server.Stop() }

// certificate makes a certificate of this machine that signs itself, and its key, both PEM.
func certificate() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), nil
}
