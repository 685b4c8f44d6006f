package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"longshore/pkg/run"
)

// Twenty approvers at once make one start, whether one of them or all are needed.
func TestTwentyApproversAtOnce(t *testing.T) {
	t.Parallel()
	for kind, refused := range map[string]int{"ANY": 19, "ALL": 0} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			onStores(t, func(f *fixture) {
				var callers []*fixture
				for i := range 20 {
					callers = append(callers, f.as(fmt.Sprintf("u%d@example.com", i), `{"port_role":"Admin"}`))
				}
				one := f.await(kind)
				got := atOnce(20, func(i int) *got { return callers[i].call("PATCH", one+"/approval", approve) })
				for status := range got {
					if status != 200 && status != 422 {
						f.t.Errorf("there is an answer %d: %v", status, got)
					}
				}
				if got[422] != refused || got[200] != 20-refused {
					f.t.Errorf("got %v, want %d refused", got, refused)
				}
				if n := f.sent.count(); n != 2 {
					f.t.Errorf("sent %d messages, want the notice and the run", n)
				}
				f.call("GET", one, "").want(200)
				record, err := f.runs.Get(context.Background(), strings.TrimPrefix(one, "/v1/actions/runs/"))
				if err != nil || record.Status != run.InProgress || record.Generation != 1 || len(record.Decisions) != 20-refused {
					f.t.Errorf("the run is %+v, %v", record, err)
				}
				if n := len(f.audits("?resources=run&action=UPDATE")); n != 20-refused {
					f.t.Errorf("%d entries, want one for each decision", n)
				}
			})
		})
	}
}

// Of an approval, a decline and a withdrawal at once one wins.
func TestApproveDeclineWithdraw(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		ada, bo := f.as("ada@example.com", `{"port_role":"Admin"}`), f.as("bo@example.com", `{"port_role":"Admin"}`)
		for round := range 10 {
			one := f.await("ANY")
			before := f.sent.count()
			got := atOnce(6, func(i int) *got {
				switch (i + round) % 3 {
				case 0:
					return ada.call("PATCH", one+"/approval", approve)
				case 1:
					return bo.call("PATCH", one+"/approval", decline)
				}
				return f.call("PATCH", one, `{"status":"FAILURE"}`)
			})
			status := f.call("GET", one, "").at("run", "status")
			sent := f.sent.count() - before
			// The same decision of the same approver again is answered with 200; the same withdrawal is not.
			wins := map[any]int{"IN_PROGRESS": 2, "DECLINED": 2, "FAILURE": 1}[status]
			started := map[bool]int{true: 1}[status == "IN_PROGRESS"]
			if status == "FAILURE" && sent == 1 {
				// It was approved first, and then reported as failed: a report on a run that runs.
				wins, started = 3, 1
			}
			if got[200] != wins || got[422] != 6-wins || sent != started {
				f.t.Errorf("round %d: the run is %s, answers are %v, %d were sent", round, status, got, sent)
			}
		}
	})
}

// atOnce does the same n times at once and counts the answers by status.
func atOnce(n int, do func(i int) *got) map[int]int {
	var all sync.WaitGroup
	var mu sync.Mutex
	count, begin := map[int]int{}, make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			g := do(i)
			mu.Lock()
			defer mu.Unlock()
			count[g.status]++
		})
	}
	close(begin)
	all.Wait()
	return count
}
