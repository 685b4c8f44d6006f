package local_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// commitsDir makes TestCommitsSurviveKill a process that accepts and settles runs until it is killed.
const commitsDir = "LONGSHORE_TEST_COMMITS"

func commitUntilKilled(t *testing.T, dir string) {
	c := openCommitsIn(t, dir)
	var print sync.Mutex
	say := func(what, id string) {
		print.Lock()
		defer print.Unlock()
		fmt.Println(what, id)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				now := time.Now()
				r, b, m := newRun(now)
				if err := c.Accept(t.Context(), r, b, m, run.NewLog(now, r.ID, run.Own, "accepted")); err != nil {
					t.Errorf("accept: %v", err)
					return
				}
				say("accepted", r.ID)
			}
		})
	}
	all.Go(func() {
		for {
			got, err := c.Queue.Receive(t.Context(), invocation.BackendWebhook, 10, time.Minute)
			if err != nil {
				t.Errorf("receive: %v", err)
				return
			}
			for _, m := range got {
				sent, err := queue.Decode([]byte(m.Body))
				if err != nil {
					t.Errorf("decode message: %v", err)
					return
				}
				now := time.Now()
				if _, err := c.Runs.Update(t.Context(), sent.PK, claim(now)); err != nil {
					t.Errorf("claim: %v", err)
				}
				if _, err := c.Settle(t.Context(), m, sent.PK, outcome(now, run.Outcome{Verdict: run.Deliver}), noNext); err != nil {
					t.Errorf("settle: %v", err)
				}
				say("settled", sent.PK)
			}
		}
	})
	all.Wait()
}

// After a kill -9 every run that was accepted is whole, and is either delivered or has its message.
func TestCommitsSurviveKill(t *testing.T) {
	if dir := os.Getenv(commitsDir); dir != "" {
		commitUntilKilled(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCommitsSurviveKill$", "-test.v")
	child.Env = append(os.Environ(), commitsDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatalf("start child: %v", err)
	}
	if err := child.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	accepted, settled := map[string]bool{}, map[string]bool{}
	killed := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch what, id, _ := strings.Cut(lines.Text(), " "); what {
		case "accepted":
			accepted[id] = true
		case "settled":
			settled[id] = true
		}
		if !killed && len(accepted) >= 200 && len(settled) >= 20 {
			killed = true
			if err := child.Process.Kill(); err != nil {
				t.Fatalf("kill child: %v", err)
			}
		}
	}
	_ = child.Wait()
	if !killed {
		t.Fatalf("the child accepted %d runs, settled %d, and ended", len(accepted), len(settled))
	}
	c := openCommitsIn(t, dir)
	if _, err := c.Runs.TakeOverLeases(t.Context(), time.Now()); err != nil {
		t.Fatalf("take over leases: %v", err)
	}
	message := map[string]bool{}
	for {
		got, err := c.Queue.Receive(t.Context(), invocation.BackendWebhook, 100, 0)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			sent, err := queue.Decode([]byte(m.Body))
			if err != nil {
				t.Fatalf("decode message: %v", err)
			}
			message[sent.PK] = true
		}
	}
	for id := range accepted {
		r, err := c.Runs.Read(t.Context(), id)
		if err != nil {
			t.Errorf("run %s was accepted and is lost: %v", id, err)
			continue
		}
		if r.Invocation == nil || r.Invocation.Webhook == nil {
			t.Errorf("run %s has no invocation", id)
		}
		if lines, err := c.Runs.Logs(t.Context(), id, run.LogQuery{}); err != nil || len(lines) != 1 {
			t.Errorf("run %s has %d lines, want 1: %v", id, len(lines), err)
		}
		delivered := r.Delivery.State == run.Delivered
		if settled[id] && !delivered {
			t.Errorf("run %s was settled and is %s", id, r.Delivery.State)
		}
		if delivered == message[id] {
			t.Errorf("run %s: delivered %t, message there %t", id, delivered, message[id])
		}
		if r.Delivery.Lease.After(time.Now()) {
			t.Errorf("run %s is leased by a dead process", id)
		}
	}
}
