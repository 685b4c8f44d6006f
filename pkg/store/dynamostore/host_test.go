package dynamostore_test

import (
	"testing"
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/storetest"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	storetest.Hosts(t, func(t *testing.T) storetest.HostStore {
		s := newTables(t)
		passed := time.Duration(0)
		return storetest.HostStore{
			Store: dynamostore.NewHosts(s.client, s.runs, func() time.Time { return time.Now().Add(passed) }),
			Pass:  func(d time.Duration) { passed += d },
		}
	})
}

// A read of a host is half a unit, a write one.
func TestCostOfHosts(t *testing.T) {
	t.Parallel()
	tables := newTables(t)
	m := &meter{Client: tables.client, t: t}
	s := dynamostore.NewHosts(m, tables.runs, time.Now)
	if _, err := s.Host(t.Context(), "webhook", "https://a.example:443"); err != nil {
		t.Fatal(err)
	}
	_, won, err := s.PutHost(t.Context(), breaker.Host{
		Backend: "webhook", Name: "https://a.example:443", Rev: 1, Failures: 20, Since: time.Now(), Opened: 1,
		OpenUntil: time.Now(), ProbeUntil: time.Now(), Reason: "a.example:443 did not answer in time",
	})
	if err != nil || !won {
		t.Fatalf("put host: won %t, error %v", won, err)
	}
	if writes, reads := m.since(); writes != 1 || reads != 0.5 {
		t.Errorf("%v write and %v read units, want 1 and 0.5", writes, reads)
	}
}
