package emulator_test

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/emulator"
)

func TestDynamoDBAnswers(t *testing.T) {
	t.Parallel()
	client := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)))
	if _, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
		t.Fatal(err)
	}
}

func TestSQSAnswers(t *testing.T) {
	t.Parallel()
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	if _, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil {
		t.Fatal(err)
	}
}

func TestOneServiceForAllTests(t *testing.T) {
	t.Parallel()
	if first, second := emulator.SQS(t), emulator.SQS(t); first != second {
		t.Errorf("the second call got %s, the first %s", second, first)
	}
}

func TestStopEndsTheService(t *testing.T) {
	t.Parallel()
	emulator.SQS(t) // skips where there is none
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := emulator.StartSQS(ctx, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if !listens(t, server.Endpoint) {
		t.Error("nobody listens before Stop")
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if listens(t, server.Endpoint) {
		t.Error("somebody listens after Stop")
	}
}

// childVariable makes this test binary the process that TestServiceDiesWithItsProcess kills.
const childVariable = "LONGSHORE_EMULATOR_TEST_CHILD"

func TestServiceDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	emulator.SQS(t) // skips where there is none
	if os.Getenv(childVariable) != "" {
		if _, err := os.Stdout.WriteString(emulator.SQS(t) + "\n"); err != nil {
			t.Fatal(err)
		}
		<-t.Context().Done()
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestServiceDiesWithItsProcess$", "-test.timeout", "2m")
	child.Env = append(os.Environ(), childVariable+"=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	endpoint := line[:len(line)-1]
	if !listens(t, endpoint) {
		t.Fatal("nobody listens while the process lives")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for deadline := time.Now().Add(30 * time.Second); listens(t, endpoint); {
		if time.Now().After(deadline) {
			t.Fatal("the service lives on after its process was killed")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestMissingJavaIsNamed(t *testing.T) {
	emulator.SQS(t) // the jars are there: what is missing is java
	t.Setenv("PATH", t.TempDir())
	if server, err := emulator.StartSQS(t.Context(), "127.0.0.1"); err == nil {
		_ = server.Stop()
		t.Error("it started without java")
	} else if got, want := err.Error(), `find java: exec: "java": executable file not found in $PATH`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMissingPOMIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if server, err := emulator.StartDynamoDB(t.Context(), "127.0.0.1"); err == nil {
		_ = server.Stop()
		t.Error("it started without a POM")
	} else if got, want := err.Error(), "no testdata/emulators/dynamodb/pom.xml in this folder or above"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// listens reports whether somebody accepts connections at an endpoint.
func listens(t *testing.T, endpoint string) bool {
	t.Helper()
	address, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := net.DialTimeout("tcp", address.Host, time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

func TestKafkaAnswersAgainAfterItsEnd(t *testing.T) {
	t.Parallel()
	b := emulator.NewKafka(t)
	if !listens(t, "tcp://"+b.TLS) {
		t.Error("nobody listens before Stop")
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if listens(t, "tcp://"+b.Plain) {
		t.Error("somebody listens after Stop")
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !listens(t, "tcp://"+b.Plain) {
		t.Error("nobody listens after the second start")
	}
}
