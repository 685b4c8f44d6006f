package jq_test

import (
	"context"
	"testing"

	"longshore/pkg/jqtemplate/jq"
)

// How deep an evaluation is does not depend on how often something before it was left early: by first,
// by a break, by an error that was caught.
func TestWhatIsLeftEarlyCountsNoDepth(t *testing.T) {
	t.Parallel()
	for _, each := range []string{
		`first(..)`, `label $f | ([[1]] | .. | ., break $f)`, `isempty(..)`, `any(..; true)`, `limit(1; {a: [1]} | paths)`,
		`first({a: [1]} | tostream)`, `first([[1]] | walk(.))`, `first(recurse(empty))`, `try ([[1]] | .. | error("x")) catch 1`,
		`try ([[1]] | walk(error("x"))) catch 1`, `try (1 | setpath(["a", "b"]; 1)) catch 1`, `try ({a: 1} | delpaths([["a", "b", "c"]])) catch 1`,
		`first(def g: (1, 2) | if . > 0 then ., g else g end; g)`, `try ({a: {b: 1}} | .a.b.c = 1) catch 1`, `try ([[1]] | tostream | error("x")) catch 1`,
	} {
		t.Run(each, func(t *testing.T) {
			t.Parallel()
			p, err := jq.Parse("[range(12000) | " + each + "] | length")
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := p.Run(context.Background(), nil)
			if err != nil || got != 12000.0 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
