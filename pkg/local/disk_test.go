package local_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"longshore/pkg/local"
)

// disk is a way in which a disk takes no more, for a while.
type disk struct {
	name string
	// data makes the data directory; nil means that of a test.
	data func(t *testing.T) string
	// fails and works let the disk of a server take nothing more, and take everything again; nil works means
	// that another server does.
	fails, works func(t *testing.T, s *local.Server, data string)
	// unready says that /readyz notices at once; otherwise there is still room for its small write.
	unready bool
}

func pragma(text string) func(*testing.T, *local.Server, string) {
	return func(t *testing.T, s *local.Server, _ string) {
		t.Helper()
		if err := s.Pragma(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// mount makes a small file system of its own, where the system lets this process do so.
func mount(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	if err := syscall.Mount("longshore", data, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return data
}

const filler = "filler"

func fill(t *testing.T, _ *local.Server, data string) {
	t.Helper()
	file, err := os.Create(filepath.Join(data, filler))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 4096)
	_, _ = rand.Read(block)
	for err == nil {
		_, err = file.Write(block)
	}
}

func free(t *testing.T, _ *local.Server, data string) {
	t.Helper()
	if err := os.Remove(filepath.Join(data, filler)); err != nil {
		t.Fatal(err)
	}
}

// A disk that is full or read-only: what cannot be kept is refused with 503 and is not there, what was
// accepted before goes on once there is room, and reading goes on all the while. A delivery whose outcome
// nobody could write is made again under its key.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	for _, d := range []disk{
		{name: "no more pages", fails: pragma("PRAGMA max_page_count = 1"), works: pragma("PRAGMA max_page_count = 1000000")},
		{name: "read-only", fails: pragma("PRAGMA query_only = 1"), unready: true},
		{name: "full file system", data: mount, fails: fill, works: free, unready: true},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.test(t)
		})
	}
}

func (d disk) test(t *testing.T) {
	data := t.TempDir()
	if d.data != nil {
		data = d.data(t)
	}
	var hold atomic.Bool
	held, release := make(chan struct{}, 1), make(chan struct{})
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ string, _ int) {
		if hold.CompareAndSwap(true, false) {
			held <- struct{}{}
			<-release
		}
		w.WriteHeader(http.StatusOK)
	})
	s := begin(t, data)
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	url := "http://" + s.Addr()
	c := connect(t, url, s.Credentials())
	save(t, c, rc.URL)
	succeed(t, c, trigger(t, c, 3))

	// One delivery is in hand when the disk fails, and is answered while it does.
	hold.Store(true)
	ids := trigger(t, c, 1)
	<-held
	d.fails(t, s, data)
	close(release)
	token := bearer(t, url, s.Credentials())
	refused := 0
	for range 300 {
		status, header, id := post(t, url, token)
		switch {
		case status == http.StatusAccepted:
			ids = append(ids, id)
			continue
		case status != http.StatusServiceUnavailable || header.Get("Retry-After") == "":
			t.Fatalf("a run is answered with %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		if refused++; refused == 5 {
			break
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused: the test shows nothing")
	}
	if r, err := c.Run(t.Context(), ids[0]); err != nil || r.ID != ids[0] {
		t.Errorf("read a run: %v", err)
	}
	ready, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	ready.Body.Close()
	if d.unready && ready.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", ready.StatusCode)
	}

	again := 0
	if d.works != nil {
		d.works(t, s, data)
	} else {
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
		s = begin(t, data)
		c = connect(t, "http://"+s.Addr(), s.Credentials())
		again = 1
	}
	ids = append(ids, trigger(t, c, 3)...)
	succeed(t, c, ids)
	if got, want := len(all(t, c)), 3+len(ids); got != want {
		t.Errorf("there are %d runs, want the %d that were accepted", got, want)
	}
	counts := rc.counts()
	if counts[ids[0]] != 1+again {
		t.Errorf("the run in hand was delivered %d times, want %d", counts[ids[0]], 1+again)
	}
	for _, id := range ids {
		attempts, err := c.Attempts(t.Context(), id)
		if err != nil || len(attempts) != counts[id] || counts[id] == 0 {
			t.Errorf("run %s was delivered %d times and has %d attempts: %v", id, counts[id], len(attempts), err)
		}
	}
	if len(rc.overlap) > 0 {
		t.Errorf("delivered while in hand: %v", rc.overlap)
	}
}

// begin starts a server.
func begin(t *testing.T, data string) *local.Server {
	t.Helper()
	s, err := local.Open(t.Context(), config(data))
	if err == nil {
		err = s.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
