package jqtemplate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// hostile are expressions that exhaust time, memory or stack where nothing bounds them: the recorded
// ones, and more of the kinds that they stand for.
func hostile(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, e := range decode(t, readFile(t, "../../testdata/vectors/hostile.json")).([]any) {
		all = append(all, e.(string))
	}
	return append(all,
		`[limit(1e9; repeat(1))]`, `[range(1e9)] | length`, `last(range(1e12))`, `first(range(1e12) | select(false))`,
		`"x" * 1e300`, `reduce range(100) as $i ("x"; . + .) | length`, `reduce range(60) as $i ([0]; . + .) | length`,
		`[range(100000)] | join("xxxxxxxxxx") * 1000`, `[range(1000000)] | map(tostring) | add | length`,
		`[range(1e6)] | sort_by(-.) | unique | group_by(. % 3) | length`,
		`reduce range(100000) as $i ({}; .[$i | tostring] = $i) | length`,
		`reduce range(20000) as $i ({}; {a: ., b: .}) | tojson | length`,
		`def f(g): f(g | g); f(.)`, `def f(g): f(def h: g; h); f(.)`, `def f($x): f($x + 1); f(0)`, `def f: . as $x | f; f`,
		`def f: .a | f; path(f)`, `def f: (1, 2) | f; f`, `def f: .[]? | f; [[[]]] | f`, `def f: (.a, .b) | f; path(f)`, `def f: range(2) | f; f`, `path(recurse(.a))`, `[paths(recurse(.a; true))]`, `def f: .[0]? | f; first(path(f))`, `path(repeat(.a))`, `del(recurse(.a))`,
		`def f(g): def h: f(h); h; f(.)`, `reduce range(1e9) as [$a, {b: $c}] (0; .)`, `foreach range(1e9) as $x ([]; . + [$x]; empty)`,
		`label $a | label $b | repeat(.)`, `[range(1e9) as $x | {($x | tostring): $x}] | add`, `"a" | until(length > 1e9; . + .)`, `[recurse(if . then [.] else empty end)]`, `def f: [f]; f`, `def f: {a: f}; f`, `def f: f, f; f`, `def f: f | f; f`, `def f: try f catch f; f`,
		`def f(x): x | f(x); f(1)`, `def f: reduce 1 as $x (.; f); f`, `recurse([.])`, `[recurse(.)]`, `[.] | until(false; [.])`,
		`[range(30)] | [combinations(9)] | length`, `[[range(100)],[range(100)],[range(100)],[range(100)]] | [combinations] | length`,
		`null | .[1e8] = 1`, `null | setpath([1e9]; 1)`, `null | .[-1] = 1`, `[1] | .[1e300]`, `[1] | .[:1e300]`, `"abc" | .[1e300:]`,
		`[range(10000)] | flatten(1e9)`, `reduce range(5000) as $i (1; [.]) | flatten`, `reduce range(9999) as $i (1; [.]) | tojson | fromjson`,
		`reduce range(100000) as $i (1; [.]) | . == .`, `[reduce range(100000) as $i (1; [.])] | sort`, `reduce range(100000) as $i (1; {a: .}) | [paths] | length`,
		`reduce range(100000) as $i (1; [.]) | tostream`, `reduce range(100000) as $i (1; [.]) | [..] | length`,
		`[range(200000)] | map({(tostring): .}) | add | length`, `[range(300000)] | implode`, `[range(100000)] | map([.]) | transpose | length`,
		`"a" * 100000 | [match("a"; "g")] | length`, `"a" * 30 | test("^(a+)+$x")`, `"a" * 5000 | gsub("a"; "b" * 1000) | length`,
		`"a" * 1000 | [scan("(?=(a*))")] | length`, `"a" | test("(" * 10000)`, `"a" | test("a{100000}{100000}")`, `"a" | test("[" + "a-z" * 10000 + "]")`,
		`("x" * 100000 | explode | implode) * 100`, `"abc" * 1000000 | ascii_upcase | @base64 | @uri | @json | length`,
		`[range(100000)] | @csv | @sh`, `[range(100000) | tostring] | @tsv | @html | length`, `"\("x" * 1000000)\("x" * 1000000)" * 50`,
		`"[1" + ",1" * 3000000 + "]" | fromjson | length`, `"{\"a\":" * 9000 + "1" + "}" * 9000 | fromjson | tojson | length`,
		`[splits("a")]`, `$__loc__`, `input`, `[inputs]`, `debug`, `input_filename`, `getpath(["a", 0, {}, []])`, `error(error(error))`,
		`try error({__jq: 1}) catch .`, `label $out | repeat(break $out)`, `first(repeat(empty))`, `limit(3; repeat(empty))`, `isvalid(repeat(1))`,
		`. as [$a, [$b, {c: $d}]] ?// $a | [$a, $b, $d]`, `[.[]?, ..?, .a?, .[0]?]`, `"\u0000" * 100000 | length`, `ascii(1e9)`, `@base32d`, `"=" * 1000000 | @base64d`,
		`1e1000 % 1e1000`, `[1, 2] | .[nan] = 1`, `nan | todate`, `-1e300 | todate`, `"9" * 10000 | tonumber`, `"9" * 1000000 | fromjson`, `"1e" + "9" * 1000 | tonumber`,
		`pow(2; 1e308)`, `[limit(100000; range(infinite))] | .[1e5:] = [1]`, `[range(100000)] | del(.[])`, `[range(100000)] | to_entries | from_entries`,
		`[range(100000)] | del(.[range(50000) * 2])`, `[range(100000)] | .[] |= empty`, `[range(50000)] | .[] += 1`, `[range(100000)] | map_values(empty)`,
		`[range(5000)] | map([range(200)]) | flatten | unique | length`, `[range(3000)] as $a | [$a[] | $a[]] | length`, `walk(walk(walk(.)))`, `[range(100000)] | walk(.)`,
		strings.Repeat("(", 2000)+"1"+strings.Repeat(")", 2000), strings.Repeat("[", 2000)+strings.Repeat("]", 2000), strings.Repeat("1|", 10000)+"1",
		strings.Repeat(". as [$a] ?// $a | ", 40)+"$a", strings.Repeat("reduce . as [$a] ?// $a (0; ", 40)+"$a"+strings.Repeat(")", 40),
		strings.Repeat("try ", 5000)+"1", strings.Repeat("-", 20000)+"1", strings.Repeat(".a", 10000), strings.Repeat("if . then ", 1000)+"1"+strings.Repeat(" end", 1000),
		`("x" * 60000000)[0:1]`, `"é" * 10000000 as $s | last(range(1e9) | $s[1:2])`,
		`"`+strings.Repeat(`\(`, 1000)+`1`+strings.Repeat(`)`, 1000)+`"`, strings.Repeat("def f: ", 1000)+"1"+strings.Repeat("; f", 1000),
	)
}

// answer renders an expression and fails unless it is answered with a value, jq's own failure or a
// limit.
func answer(t testing.TB, expression string) (limited bool) {
	t.Helper()
	tmpl, err := jqtemplate.Parse("{{ "+expression+" }}", "")
	if err != nil {
		if len(expression) < 1000 { // Others may nest too deep for the template's own rules.
			t.Errorf("%.100s: %v", expression, err)
		}
		return false
	}
	_, err = tmpl.Render(context.Background(), jqtemplate.NewData(nil), jqtemplate.Options{Strict: true})
	limited = fault.Is(err, "template_limit")
	if err != nil && !limited && !strings.HasPrefix(jqtemplate.ErrorClass(err), "Jq") {
		t.Errorf("%.100s: got %v, want a value, jq's own failure or a limit", expression, err)
	}
	if err != nil && strings.Contains(err.Error(), "broke the engine") {
		t.Errorf("%.100s: %v", expression, err)
	}
	return limited
}

func TestHostileExpressions(t *testing.T) {
	t.Parallel()
	for _, e := range hostile(t) {
		t.Run(fmt.Sprintf("%.60s", e), func(t *testing.T) {
			t.Parallel()
			answer(t, e)
		})
	}
}

// These hit a limit, whatever the machine; no try keeps it from them.
func TestHostileExpressionsAreStopped(t *testing.T) {
	t.Parallel()
	for _, e := range []string{
		`def f: f; f`, `def f: 1+f; f`, `[range(infinite)]`, `last(repeat(1))`, `reduce range(100) as $i ("x"; . + .)`, `[]|.[536870911]=1`, `"x" * 1e10`,
	} {
		for _, text := range []string{e, "try (" + e + ") catch 1", "(" + e + ")? // 1"} {
			if !answer(t, text) {
				t.Errorf("%s: got an answer, want a limit", text)
			}
		}
	}
}

// None of these ends by itself: what is small in them multiplies.
func TestWhatMultipliesIsStopped(t *testing.T) {
	t.Parallel()
	commas, shared := strings.Repeat("(1,2) | ", 60), "reduce range(60) as $i (0; [., .]) | "
	for _, e := range []string{
		commas + "select(false)", commas + "empty", commas + "(.a)?", "[" + commas + "strings]",
		strings.Repeat("null as [$a] ?// $a | ", 60) + "1 | .a",
		shared + ". == .", shared + "[., .] | sort | 1", shared + "[., .] | unique | 1", shared + "[., .] | index([.[0]])",
		"reduce range(60) as $i (0; {a: ., b: .}) | . < .",
		"[range(200000) | 0] as $a | ($a[:100000] + [1]) as $b | $a | .[$b]",
		`(" " * 60000000) as $f | "1" | strptime($f)`,
	} {
		t.Run(e[max(0, len(e)-60):], func(t *testing.T) {
			t.Parallel()
			if !answer(t, e) {
				t.Error("got an answer, want a limit")
			}
		})
	}
}

const (
	hostileChild = "LONGSHORE_TEST_HOSTILE_CHILD"
	// maxGrowth is how much memory all hostile expressions in one process may take above its start.
	maxGrowth = 256 << 20
)

// A process of its own renders every hostile expression, one after another, and says what its memory
// rose to. Lambda's and a small container's memory is a few hundred megabytes.
func TestHostileExpressionsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	if os.Getenv(hostileChild) != "" {
		before := peak(t)
		for _, e := range hostile(t) {
			answer(t, e)
			if now := peak(t); os.Getenv("HOSTILE_SHOW") != "" {
				fmt.Fprintf(os.Stderr, "%9d KiB %.100s\n", now>>10, e)
			}
		}
		fmt.Printf("grew by %d bytes\n", peak(t)-before)
		return
	}
	// The race detector would multiply the memory: the child is built without it.
	binary := filepath.Join(t.TempDir(), "hostile.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the child: %v\n%s", err, out)
	}
	child := exec.CommandContext(t.Context(), binary, "-test.run=^TestHostileExpressionsTakeBoundedMemory$")
	child.Env = append(os.Environ(), hostileChild+"=1")
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, os.Stderr
	if err := child.Run(); err != nil {
		t.Fatalf("the child: %v\n%s", err, out.String())
	}
	_, rest, found := strings.Cut(out.String(), "grew by ")
	text, _, _ := strings.Cut(rest, " ")
	grown, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil {
		t.Fatalf("the child printed %q", out.String())
	}
	t.Logf("the child's memory grew by %d MiB", grown>>20)
	if grown > maxGrowth {
		t.Errorf("the child's memory grew by %d MiB, want at most %d", grown>>20, maxGrowth>>20)
	}
}

// peak is VmHWM: the most memory that this process ever had, in bytes.
func peak(t testing.TB) int64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this system has no /proc/self/status to read a process's memory from")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
