package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Demos beside one another: each shows both runs ending with SUCCESS and leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	temporary, home := t.TempDir(), t.TempDir()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			got := ran(t, nil, []string{"TMPDIR=" + temporary, "HOME=" + home}, "demo")
			if got.code != 0 || got.err != "" {
				t.Errorf("exit status %d, error %q", got.code, got.err)
			}
			for _, want := range []string{
				`run r_\w+ of scaffold_service ended SUCCESS after 1 attempt\(s\), link http://`,
				`run r_\w+ of restart_service ended SUCCESS after 1 attempt\(s\), link http://`,
				`POST /v2 for run r_\w+, signature valid: {"service":"Checkout","replicas":2,"repository":"acme/checkout"}`,
				`POST /v1 for run r_\w+, signature valid: {"action":"restart_service","resourceType":"run",`,
				`log: the service is being made`,
			} {
				if !regexp.MustCompile(want).MatchString(got.out) {
					t.Errorf("no %s in the output:\n%s", want, got.out)
				}
			}
		})
	}
	group.Wait()
	for _, dir := range []string{temporary, home} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// A demo that is interrupted says so and fails.
func TestDemoIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := execute(ctx, []string{"demo"}, &streams{strings.NewReader(""), &out, &errs}); code != 1 || !strings.HasSuffix(errs.String(), "longshore: interrupted\n") {
		t.Errorf("exit status %d, error %q", code, errs.String())
	}
}
