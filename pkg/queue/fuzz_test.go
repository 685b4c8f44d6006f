package queue_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/queue"
)

// A message is refused, or read, written and read again as the same.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"v":1,"pk":"r_1","generation":1,"kind":"run"}`, `{"v":9,"pk":"r_1","kind":"run"}`, `{}`, `[]`, `{"v":1,"pk":"r","kind":"lookup","invocation":{"v":1}}`} {
		f.Add([]byte(text))
	}
	golden, err := filepath.Glob("../invocation/testdata/*.json")
	if err != nil || len(golden) == 0 {
		f.Fatalf("golden invocations: %v, %v", golden, err)
	}
	for _, name := range golden {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(append([]byte(`{"v":1,"pk":"r_1","generation":1,"kind":"run","invocation":`), text...), '}'))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := queue.Decode(text)
		if err != nil {
			return
		}
		written, err := queue.Encode(m)
		if err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		again, err := queue.Decode(written)
		if err != nil {
			t.Fatalf("read what was written, %s: %v", written, err)
		}
		if len(written) > queue.MaxInline {
			t.Fatalf("a message of %d bytes", len(written))
		}
		if m.V, again.V = 1, 1; again.Invocation == nil {
			m.Invocation = nil
		}
		twice, err := queue.Encode(again)
		if err != nil || string(twice) != string(written) {
			t.Fatalf("written again (-first +second): %s, %v", cmp.Diff(string(written), string(twice)), err)
		}
	})
}
