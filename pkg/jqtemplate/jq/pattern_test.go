package jq

import (
	"strings"
	"testing"
)

// The first of them are of jq's manual and of its own tests.
func TestAlternativesOfDestructuring(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{
			"of the manual", `[.[] as {$a, b: [$c, {$d}]} ?// [$a, {$b}, $e] ?// $f | [$a, $b, $c, $d, $e, $f]]`,
			`[{"a":1,"b":[2,{"d":3}]},[4,{"b":5,"c":6},7,8,9],"foo"]`,
			`[[1,null,2,3,null,null],[4,5,null,null,7,null],[null,null,null,null,null,"foo"]]`,
		},
		{"a body that fails", `[.[] as [$a] ?// [$b] | if $a != null then error("err: \($a)") else {$a, $b} end]`, `[[3]]`, `[{"a":null,"b":3}]`},
		{"the last fails", `.[] as [$a] ?// [$b] | if $a != null then error("err: \($a)") else error("b: \($b)") end`, `[[3]]`, `!b: 3`},
		{"a name twice in one", `. as [$a, $a] ?// $b | [$a, $b]`, `[1,2]`, `[2,null]`},
		{"one name in each", `[.[] as [$a] ?// {$a} ?// $a | $a]`, `[[1],{"a":2},3]`, `[1,2,3]`},
		{"an outer variable of the name", `5 as $a | . as [$b] ?// $a | [$a, $b]`, `[1]`, `[null,1]`},
		{"an outer variable beside", `5 as $o | . as [$b] ?// $a | 6 as $p | [$o, $a, $b, $p]`, `7`, `[5,7,null,6]`},
		{"keys see what is bound before", `. as {a: $k, ($k): $v} ?// $k | [$k, $v]`, `{"a":"b","b":1}`, `["b",1]`},
		{"several outputs of a key", `[. as {("a", "b"): $v} ?// $v | $v]`, `{"a":1,"b":2}`, `[1,2]`},
		{"in a closure", `. as [$a] ?// $b | def f(g): 1 as $x | g; f([$a, $b])`, `[1]`, `[1,null]`},
		{"reduce", `reduce .[] as [$i, $j] ?// $i (0; . + $i + ($j // 0))`, `[[1,2],3]`, `6`},
		{"foreach", `[foreach .[] as [$i] ?// $j (0; . + ($i // $j); [$i, $j, .])]`, `[[1],2]`, `[[1,null,1],[null,2,3]]`},
		{"paths", `[path(.[] as [$a] ?// $a | .[0])]`, `[1]`, `[[0]]`},
		{"many inside one another", strings.Repeat(". as [$a] ?// $a | ", 100) + "$a", `5`, `5`},
	})
}
