package sqlitestore_test

import (
	"testing"
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/store/storetest"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	storetest.Hosts(t, func(t *testing.T) storetest.HostStore {
		passed := time.Duration(0)
		s, err := sqlitestore.NewHosts(t.Context(), opentest.SQLite(t), func() time.Time { return time.Now().Add(passed) })
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		return storetest.HostStore{Store: s, Pass: func(d time.Duration) { passed += d }}
	})
}

func TestPurgeOfHosts(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	now := time.Now()
	s, err := sqlitestore.NewHosts(t.Context(), db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"https://old.example:443", "https://new.example:443"} {
		now = now.Add(time.Duration(i) * time.Hour)
		if _, won, err := s.PutHost(t.Context(), breaker.Host{Backend: "webhook", Name: name, Rev: 1}); err != nil || !won {
			t.Fatalf("put host: won %t, error %v", won, err)
		}
	}
	if err := s.Purge(t.Context(), now.Add(breaker.Retention-time.Minute)); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Scan(t.Context(), "SELECT count(*) FROM hosts", nil, &left); err != nil || left != 1 {
		t.Errorf("%d hosts are left, error %v, want 1", left, err)
	}
}
