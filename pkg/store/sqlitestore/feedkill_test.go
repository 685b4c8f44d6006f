package sqlitestore_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	command "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/sqlite"
)

// feedChild makes TestFeedSurvivesKill a process that makes changes and follows them, until it is killed.
const feedChild = "LONGSHORE_TEST_FEED"

// kill -9 while changes are made and told: each that was answered is told, before or after, in its order.
func TestFeedSurvivesKill(t *testing.T) {
	if path := os.Getenv(feedChild); path != "" {
		changeUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "longshore.db")
	written, told := map[string]int{}, map[string][]int{}
	note := func(line string) {
		var item string
		var n int
		if _, err := fmt.Sscanf(line, "written %s %d", &item, &n); err == nil {
			written[item] = max(written[item], n)
		} else if _, err := fmt.Sscanf(line, "told %s %d", &item, &n); err == nil {
			told[item] = append(told[item], n)
		}
	}
	for round := range 4 {
		child := command.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFeedSurvivesKill$", "-test.v")
		child.Env = append(os.Environ(), feedChild+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			note(lines.Text())
			if n == 100+70*round {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait()
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := openWatched(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var mu sync.Mutex
	s.feed.Follow(ctx, feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Entity == nil {
			return nil
		}
		note("told " + lineOf(c))
		for item, n := range written {
			if !slices.Contains(told[item], n) {
				return nil
			}
		}
		cancel()
		return nil
	}), slog.New(slog.DiscardHandler))
	if len(written) == 0 {
		t.Fatal("the children wrote nothing")
	}
	for item, n := range written {
		next := 1
		for _, got := range told[item] {
			if got > next {
				t.Errorf("%s: change %d was told before %d", item, got, next)
			}
			next = max(next, got+1)
		}
		if next <= n {
			t.Errorf("%s: %d changes were written and %d told", item, n, next-1)
		}
	}
}

func lineOf(c *feed.Change) string { return c.Entity.After.Identifier + " " + titleOf(c.Entity.After) }

func titleOf(e *catalog.Entity) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(e.Content), `{"title":`), "}")
}

func changeUntilKilled(t *testing.T, path string) {
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := openWatched(t, db)
	_ = s.actions.Create(t.Context(), watcher("ANY_ENTITY_CHANGE"))
	var mu sync.Mutex
	print := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(line)
	}
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			key := catalog.Key{Blueprint: "bp_1", Identifier: fmt.Sprintf("item-%d", n)}
			for {
				e, err := s.catalog.Entity(t.Context(), key)
				if err != nil {
					e = &catalog.Entity{Key: key, ID: "ent_" + key.Identifier, Content: []byte(`{"title":1}`)}
					err = s.catalog.CreateEntity(t.Context(), e, nil)
				} else {
					var title int
					_, _ = fmt.Sscan(titleOf(e), &title)
					e.Content = fmt.Appendf(nil, `{"title":%d}`, title+1)
					err = s.catalog.ReplaceEntity(t.Context(), e, nil, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				print("written " + key.Identifier + " " + titleOf(e))
			}
		})
	}
	s.feed.Follow(t.Context(), feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
		if c.Entity != nil {
			print("told " + lineOf(c))
		}
		return nil
	}), slog.New(slog.DiscardHandler))
	writers.Wait()
}
