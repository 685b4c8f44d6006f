package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
)

// Settings of the ledger of automations: how many changes, and what its randomness begins with. TestMain takes
// both out of the environment.
var automatedChanges, automatedSeed = os.Getenv("LONGSHORE_CHANGES"), os.Getenv("LONGSHORE_CHANGES_SEED")

// Clients change entities and start runs on the program itself, which is killed by SIGKILL at random moments and
// started again, while one automation always fails and the receiver of another one fails or hangs. At the end
// what was changed is compared with the runs that the server has: one of each automation for each change that
// it listens to, none else, and those of one entity begun in the order of its changes.
//
// LONGSHORE_CHANGES says how many changes and kills the program five times (500 and twice without),
// LONGSHORE_CHANGES_SEED repeats what was drawn.
func TestAutomatedChangesOnSQLite(t *testing.T) {
	t.Parallel()
	automated(t, &phoenix{t: t, data: t.TempDir()}, 500, true)
}

// The same on DynamoDB and SQS. What a kill interrupts is delivered there once its lease has lapsed, after a
// minute: only that its run is there is asked.
func TestAutomatedChangesOnAWS(t *testing.T) {
	t.Parallel()
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	automated(t, &phoenix{t: t, data: t.TempDir(), more: []string{"--aws", "--aws-create"}, env: []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + emulator.DynamoDB(t), "AWS_ENDPOINT_URL_SQS=" + emulator.SQS(t), "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_CONFIG_FILE=/nowhere", "AWS_SHARED_CREDENTIALS_FILE=/nowhere",
		"LONGSHORE_RUNS_TABLE=runs-automated-" + name, "LONGSHORE_CATALOG_TABLE=catalog-automated-" + name,
	}}, 200, false)
}

// automated makes so many changes unless the environment says another number; settles says that the runs whose
// receiver is well have to end.
func automated(t *testing.T, p *phoenix, n int, settles bool) {
	t.Helper()
	kills := 2
	if automatedChanges != "" {
		kills = 5
	}
	n = int(given(t, automatedChanges, uint64(n)))
	seed := given(t, automatedSeed, uint64(time.Now().UnixNano()))
	t.Logf("%d changes, LONGSHORE_CHANGES_SEED=%d", n, seed)
	// A tenth of it is enough on a machine that has nothing else to do.
	limit := 6*time.Minute + time.Duration(n)*80*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	random := rand.New(rand.NewPCG(seed, 0))
	p.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * writers}}
	p.risen = make(chan struct{})
	j := newJournal(t, p, n)
	p.rise()
	j.define(ctx)

	// All but one while changes are made, each a moment after so many are, and the last one behind them all.
	marks := make([]int, kills-1)
	for i := range marks {
		marks[i] = 1 + random.IntN(max(1, n/2))
	}
	slices.Sort(marks)
	began := time.Now()
	done := j.write(ctx, seed)
	for _, mark := range append(marks, n) {
		for made := 0; made < mark && ctx.Err() == nil; {
			select {
			case made = <-j.made:
			case <-done:
				made = n
			case <-ctx.Done():
			}
		}
		if mark == n {
			<-done
		}
		pause(ctx, time.Duration(random.IntN(20))*time.Millisecond)
		j.kill()
		p.rise()
	}
	written := time.Since(began)
	j.close(ctx)
	j.drained(ctx)
	found := j.read(ctx)
	drained := time.Since(began)
	if settles {
		j.settled(ctx)
	}
	if ctx.Err() != nil {
		t.Errorf("it takes longer than %s", limit)
	}
	j.audit(found)
	j.failures(t.Context(), found)
	t.Logf("%-50s %8.1f", "seconds until all was changed, restarts included", written.Seconds())
	t.Logf("%-50s %8.1f", "seconds until all runs were there", drained.Seconds())
	t.Logf("%-50s %8d", "kills (SIGKILL), each followed by a restart", p.kills)
	j.kill()
}

// kill is kill -9. What the server has said until then must be no fault of its own.
func (j *journal) kill() {
	j.t.Helper()
	j.server.kill()
	for _, word := range []string{"DATA RACE", "panic", "set aside"} {
		if errs := j.server.process.errs.String(); strings.Contains(errs, word) {
			j.t.Errorf("the server said %q:\n%.5000s", word, errs)
		}
	}
}

// once has something done once, by the present server or the next one. The error is the context's when it ends
// before.
func (p *phoenix) once(ctx context.Context, do func(context.Context, *client.Client) error) error {
	for {
		p.mu.Lock()
		c, risen := p.client, p.risen
		p.mu.Unlock()
		if c != nil {
			return do(ctx, c)
		}
		select {
		case <-risen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unanswered says that something may have been done or not: the server gave no answer, or that it cannot now.
func unanswered(err error) bool {
	refused := (*client.Error)(nil)
	return !errors.As(err, &refused) || temporary(refused)
}

// change is one of an entity, by the sequence numbers before and after it, 0 where there was no entity.
type change struct {
	entity        string
	before, after int
}

func (c change) String() string { return fmt.Sprintf("%s from %d to %d", c.entity, c.before, c.after) }

// seq is the number that conditions look at.
func (c change) seq() int { return max(c.before, c.after) }
