// Package emulator runs DynamoDB Local, ElasticMQ and Kafka for tests and benchmarks. Only they import it.
//
// It promises:
//   - the jars are fetched by Maven once a machine, into the user's cache directory, whichever of
//     several test binaries comes first;
//   - a started service answers requests before the caller gets its address;
//   - a service ends with the process that started it, however that process ends;
//   - a test whose service cannot be had is skipped with the reason, and fails where
//     LONGSHORE_REQUIRE_SERVICES=1.
package emulator

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// service is what differs between the emulators.
type service struct {
	// name is for people; folder is that of its POM under testdata/emulators.
	name, folder string
	// arguments are those of java, class included, for an address to listen on.
	arguments func(host string, port int) []string
	// probe is the path of a request that a service which is ready answers.
	probe string
}

// DynamoDB Local listens on every address of the machine; it has no option for one.
func dynamoDB() service {
	return service{
		name: "DynamoDB Local", folder: "dynamodb", probe: "/",
		arguments: func(_ string, port int) []string {
			return []string{
				"com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
				"-inMemory", "-sharedDb", "-disableTelemetry", "-port", strconv.Itoa(port),
			}
		},
	}
}

// ElasticMQ gives out queue URLs on the host that the client used, so that they are right for
// processes on this machine and in containers.
func elasticMQ() service {
	return service{
		name: "ElasticMQ", folder: "elasticmq", probe: "/?Action=ListQueues",
		arguments: func(host string, port int) []string {
			return []string{
				"-Drest-sqs.bind-hostname=" + host, "-Drest-sqs.bind-port=" + strconv.Itoa(port),
				"-Dnode-address.host=*", "-Drest-stats.enabled=false",
				"org.elasticmq.server.Main",
			}
		},
	}
}

// startTimeout bounds a start with its fetch: two minutes are usual at most for a fetch.
const startTimeout = 5 * time.Minute

// StartDynamoDB starts DynamoDB Local and returns when it answers. Host is the address of this
// machine under which callers reach it, such as 127.0.0.1. The context bounds the start only.
func StartDynamoDB(ctx context.Context, host string) (*Server, error) {
	return start(ctx, dynamoDB(), host)
}

// StartSQS starts ElasticMQ like StartDynamoDB; it listens on host alone.
func StartSQS(ctx context.Context, host string) (*Server, error) {
	return start(ctx, elasticMQ(), host)
}

// DynamoDB returns the address of the DynamoDB Local that all tests of this process share: each
// gives its tables names of their own.
func DynamoDB(t testing.TB) string {
	t.Helper()
	return endpoint(t, dynamoDB().name, sharedDynamoDB)
}

// SQS returns the address of the ElasticMQ that all tests of this process share: each gives its
// queues names of their own.
func SQS(t testing.TB) string {
	t.Helper()
	return endpoint(t, elasticMQ().name, sharedSQS)
}

// One of each per process: a virtual machine takes a second and 200 MB.
var (
	sharedDynamoDB = sync.OnceValues(func() (*Server, error) { return startShared(dynamoDB()) })
	sharedSQS      = sync.OnceValues(func() (*Server, error) { return startShared(elasticMQ()) })
)

func startShared(s service) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return start(ctx, s, "127.0.0.1")
}

func endpoint(t testing.TB, name string, get func() (*Server, error)) string {
	t.Helper()
	server, err := get()
	Need(t, name, err)
	return server.Endpoint
}

// Need skips a test whose service cannot be had, or fails it.
func Need(t testing.TB, name string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("LONGSHORE_REQUIRE_SERVICES") == "1":
		t.Fatalf("%s cannot be had, and LONGSHORE_REQUIRE_SERVICES=1 asks for it: %v", name, err)
	default:
		t.Skipf("%s cannot be had: %v", name, err)
	}
}

// Config returns a configuration of the AWS SDK for an emulator's address. It asks nobody for
// credentials.
func Config(endpoint string) aws.Config {
	return aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
}
