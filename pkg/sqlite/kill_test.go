package sqlite_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
)

// childPath makes TestKill a process that writes to a database until it is killed.
const childPath = "LONGSHORE_TEST_SQLITE"

func writeUntilKilled(t *testing.T, path string) {
	db := openItems(t, path)
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range 16 {
		all.Go(func() {
			for n := range 1_000_000 {
				name := fmt.Sprintf("%02d-%06d", i, n)
				if err := db.Write(t.Context(), insert(name)); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				mu.Lock()
				fmt.Println("written", name)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// What was answered is there after a kill -9, and the dead process does not keep the directory.
func TestKill(t *testing.T) {
	if path := os.Getenv(childPath); path != "" {
		writeUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$", "-test.v")
	child.Env = append(os.Environ(), childPath+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatalf("start child: %v", err)
	}
	if err := child.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	var answered []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "written "); ok {
			answered = append(answered, name)
		}
		if len(answered) == 500 {
			if _, err := sqlite.Open(t.Context(), path); !fault.Is(err, "data_in_use") {
				t.Errorf("open beside another process: got error %v, want data_in_use", err)
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatalf("kill child: %v", err)
			}
		}
	}
	_ = child.Wait()
	if len(answered) < 500 {
		t.Fatalf("the child wrote %d items and ended", len(answered))
	}
	db := openItems(t, path)
	var check string
	if err := db.Scan(t.Context(), "PRAGMA integrity_check", nil, &check); err != nil || check != "ok" {
		t.Errorf("integrity: %q, %v", check, err)
	}
	for _, name := range answered {
		var size sql.NullInt64
		if err := db.Scan(t.Context(), "SELECT size FROM items WHERE name = ?", []any{name}, &size); err != nil {
			t.Errorf("%s was answered and is lost: %v", name, err)
		}
	}
}
