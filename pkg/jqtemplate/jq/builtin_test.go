package jq

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/pkg/jqtemplate/value"
)

// evaluated is one case: an expression, its input as JSON, and its first output as JSON, or "" for none,
// or with a ! in front the text that it fails with.
type evaluated struct{ name, expr, input, want string }

func testEvaluated(t *testing.T, cases []evaluated) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := outcome(c.expr, c.input)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s | %s: got %s, want %s", c.input, c.expr, got, c.want)
			}
		})
	}
}

func outcome(expr, input string) (string, error) {
	p, err := Parse(expr)
	if err != nil {
		return "", err
	}
	if input == "" {
		input = "null"
	}
	in, err := value.Decode([]byte(input))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, defined, err := p.Run(ctx, in)
	if failure, ok := isError(err); ok {
		return "!" + failure.Error(), nil
	}
	if err != nil || !defined {
		return "", err
	}
	return text(v), nil
}

func TestCoreBuiltins(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{"empty", "[1,empty,2]", "", "[1,2]"},
		{"error of the input", "try error catch .", `{"a":1}`, `{"a":1}`},
		{"error of a value", `try error("x") catch .`, "", `"x"`},
		{"error of null", "try error(null) catch .", "", "null"},
		{"not", "[.[]|not]", "[0,null,false]", "[false,true,true]"},
		{"select of several truths", "[select(true,false,1)]", "5", "[5,5]"},
		{"halt ends everything", "[1,halt]", "", ""},
		{"halt cannot be caught", "try halt_error catch 1", "", ""},
		{"halt_error of no number", `halt_error("a")`, "", "!halt_error/1: number required"},
		{"env is empty", "[env,$ENV]", "", "[{},{}]"},
		{"no second input", "try input catch .", "", `"break"`},
		{"no inputs", "[inputs]", "", "[]"},
		{"no line number", "input_line_number", "", "!Unknown input line number"},
		{"no file", "input_filename", "1", "null"},
		{"no origin", "get_jq_origin", "", ""},
		{"builtins", `builtins|[index("map/1","paths/0","todate/0")|type]`, "", `["number","number","number"]`},
		{"debug is transparent", "path(.a|debug|stderr|debug(1))", "{}", `["a"]`},
		{"debug fails with its message", "debug(error(\"m\"))", "", "!m"},
		{"types", "map(type)", `[null,true,1,"",[],{}]`, `["null","boolean","number","string","array","object"]`},
		{"filters by type", "[[.[]|scalars],[.[]|iterables],[.[]|values],[.[]|nulls]]", `[null,1,[],{}]`, "[[null,1],[[],{}],[1,[],{}],[null]]"},
		{"first", "[first(range(10;0;-3))]", "", "[10]"},
		{"first of nothing", "[first(empty)]", "", "[]"},
		{"first is lazy", `first(1,error("x"))`, "", "1"},
		{"first on a path", "path(first(.a,.b))", "{}", `["a"]`},
		{"last", "last(range(5))", "", "4"},
		{"last of nothing", "[last(empty)]", "", "[null]"},
		{"last on a path", "path(last(.a,.b))", "{}", `["b"]`},
		{"last item", "path(last)", "[]", "[-1]"},
		{"nth", "[nth(0,2;range(10))]", "", "[0,2]"},
		{"nth beyond the end", "[nth(5;1,2)]", "", "[]"},
		{"nth below 0", "nth(-1;1)", "", "!nth doesn't support negative indices"},
		{"nth item", "nth(1)", "[5,6]", "6"},
		{"limit", "[limit(2;repeat(1))]", "", "[1,1]"},
		{"limit of none", "[limit(0;error)]", "", "[]"},
		{"limit below 0 is none at all", "[limit(-1;1,2,3)]", "", "[1,2,3]"},
		{"limits", "[limit(1,2;7,8,9)]", "", "[7,7,8]"},
		{"limit is lazy", `[limit(1;1,error("x"))]`, "", "[1]"},
		{"limit on paths", "limit(1;.[])|=9", "[1,2]", "[9,2]"},
		{"isempty", `[isempty(empty),isempty(1,error("x"))]`, "", "[true,false]"},
		{"isempty fails before an output", `isempty(error("x"),1)`, "", "!x"},
		{"any and all", "[any,all]", "[true,false]", "[true,false]"},
		{"any and all of nothing", "[any,all]", "[]", "[false,true]"},
		{"any is lazy", `any(true,error("x");.)`, "", "true"},
		{"all by a condition", "all(.>0)", "[1,2]", "true"},
		{"any of a number", "any", "5", "!Cannot iterate over number (5)"},
		{"recurse", "[recurse|numbers]", "[1,[2]]", "[1,2]"},
		{"recurse by a function", "[recurse(if .<3 then .+1 else empty end)]", "1", "[1,2,3]"},
		{"recurse goes into the depth first", "[recurse(if .<10 then .*2,.*3 else empty end)]", "4", "[4,8,16,24,12]"},
		{"recurse to a condition", "[recurse(.*.;.<20)]", "2", "[2,4,16]"},
		{"recurse on paths", "[path(recurse(.[]?;true))]", "[[1]]", "[[],[0],[0,0]]"},
		{"recurse yields before it fails", `[limit(2;recurse(.+1,error("x")))]`, "0", "[0,1]"},
		{"while", "[while(.<20;.*2)]", "3", "[3,6,12]"},
		{"until", "until(.>20;.*2)", "3", "24"},
		{"until on a path", "path(until(type!=\"array\";.[0]))", "[[1]]", "[0,0]"},
		{"until by several updates", "[until(.>3;.+1,.+2)]", "1", "[4,5,4,4,5]"},
		{"range", "[range(3)]", "", "[0,1,2]"},
		{"ranges", "[range(0,1;3,4)]", "", "[0,1,2,0,1,2,3,1,2,1,2,3]"},
		{"range by steps", "[range(0;1;0.3)]", "", "[0,0.3,0.6,0.8999999999999999]"},
		{"range by none", "[range(0;1;0)]", "", "[]"},
		{"range of texts", `range("a")`, "", "!Range bounds must be numeric"},
		{"IN", "[.[]|IN(2,3)]", "[1,2]", "[false,true]"},
		{"INDEX", "INDEX(.id)", `[{"id":1},{"id":"a"}]`, `{"1":{"id":1},"a":{"id":"a"}}`},
		{"abs", "map(abs)", `[-1,1,"a"]`, `[1,1,"a"]`},
		{"abs of null", "abs", "null", "!null (null) cannot be negated"},
		{"combinations", "[combinations]", "[[1,2],[3,4]]", "[[1,3],[1,4],[2,3],[2,4]]"},
		{"combinations of a number of them", "[combinations(2)]", "[0,1]", "[[0,0],[0,1],[1,0],[1,1]]"},
		{"what fails left of //", `1 | (error("x") // 1)`, "", "!x"},
	})
}

func TestPathBuiltins(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{"path", "[path(.a[0],.b|.c?)]", `{"a":[1]}`, `[["b","c"]]`},
		{"access off the path", "path(tojson|.a)", "1", `!Invalid path expression near attempt to access element "a" of "1"`},
		{"iteration off the path", "path(map(.)|.[])", "[1]", "!Invalid path expression near attempt to iterate through [1]"},
		{"path through reduce", "path(reduce (1,2) as $i (.; .[$i]))", "null", "[1,2]"},
		{"path through foreach", "[path(foreach (1,2) as $i (.; .[$i]))]", "null", "[[1],[1,2]]"},
		{"path through forms", `[path(.a | if .x then .b else .c end | . as $v | (.d // .e)?)]`, `{"a":{"c":{"e":1}}}`, `[["a","c","e"]]`},
		{"update through loops", "last(limit(2;.[]))|=9", "[1,2,3]", "[1,9,3]"},
		{"path of a computed value", "path(1)", "null", "!Invalid path expression with result 1"},
		{"paths", "[paths]", `{"b":[1],"a":2}`, `[["b"],["b",0],["a"]]`},
		{"paths to some", `[paths(type=="number")]`, `{"b":[1],"a":2}`, `[["b",0],["a"]]`},
		{"getpath", `getpath(["a","b"])`, `{"a":{"b":1}}`, "1"},
		{"getpath through null", `getpath(["a","b","c"])`, `{}`, "null"},
		{"getpath is a path", `path(getpath(["a",0]))`, `{}`, `["a",0]`},
		{"getpath of no path", `getpath("a")`, `{}`, "!Path must be specified as an array"},
		{"setpath", `setpath(["a",1];2)`, "null", `{"a":[null,2]}`},
		{"setpath of no path", `setpath("a";2)`, "null", "!Path must be specified as an array"},
		{"delpaths", `delpaths([["a"],["b",0]])`, `{"a":1,"b":[1,2]}`, `{"b":[2]}`},
		{"delpaths of no list", `delpaths("a")`, `{}`, "!Paths must be specified as an array"},
		{"del", "del(.[0,2])", "[1,2,3]", "[2]"},
		{"del by a condition", "del(.[]|select(.>1))", "[1,2,3]", "[1]"},
		{"pick", "pick(.a.b,.c[1])", `{"a":{"b":1,"x":2},"c":[3,4]}`, `{"a":{"b":1},"c":[null,4]}`},
		{"pick from the end", "pick(.[-1])", "[1]", "!Out of bounds negative array index"},
		{"map", "map(.,.)", "[1,2]", "[1,1,2,2]"},
		{"map of an object", "map(.+1)", `{"b":1,"a":2}`, "[2,3]"},
		{"map_values drops", "map_values(select(.>1))", `{"b":1,"a":2}`, `{"a":2}`},
		{"walk", `walk(if type=="number" then .+1 else . end)`, `{"b":[1],"a":2}`, `{"b":[2],"a":3}`},
		{"walk drops", `walk(if type=="number" then empty else . end)`, "[1,[2]]", "[[]]"},
		{"to_entries", "to_entries", `{"b":1}`, `[{"key":"b","value":1}]`},
		{"to_entries of a number", "to_entries", "1", "!number (1) has no keys"},
		{"from_entries", "from_entries", `[{"name":"b","value":1},{"Name":"a","Value":2},{"key":"c"}]`, `{"b":1,"a":2,"c":null}`},
		{"from_entries keeps null", "from_entries", `[{"key":"b","value":null,"Value":1}]`, `{"b":null}`},
		{"from_entries of a number", "from_entries", `[{"key":1}]`, "!Cannot use number (1) as object key"},
		{"with_entries", "with_entries(.value|=tostring)", `{"b":1,"a":2}`, `{"b":"1","a":"2"}`},
		{"tostream", "[tostream]", `{"b":[1,[]],"a":2}`, `[[["b",0],1],[["b",1],[]],[["b",1]],[["a"],2],[["a"]]]`},
		{"tostream of a scalar", "[tostream]", "1", "[[[],1]]"},
		{"fromstream", "fromstream(tostream)", `{"b":[1,[]],"a":2}`, `{"b":[1,[]],"a":2}`},
		{"truncate_stream", "[1|truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])]", "", "[[[0],2],[[0]]]"},
	})
}

func TestCollectionBuiltins(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{"keys", "[keys,keys_unsorted]", `{"b":1,"a":2}`, `[["a","b"],["b","a"]]`},
		{"keys of an array", "keys", `["a","b"]`, "[0,1]"},
		{"keys of null", "keys", "null", "!null (null) has no keys"},
		{"has", `[has("a","b")]`, `{"a":null}`, "[true,false]"},
		{"has an index", "[has(0,1,-1)]", "[1]", "[true,false,false]"},
		{"has of another kind", "has(0)", "{}", "!Cannot check whether object has a number key"},
		{"in", `"a"|in({"a":1})`, "", "true"},
		{"contains texts", `contains("bar")`, `"foobar"`, "true"},
		{"contains at every level", `contains({"a":["b"]})`, `{"a":["abc",1],"c":2}`, "true"},
		{"contains not", `contains(["x"])`, `["abc"]`, "false"},
		{"contains of true in false", "contains(false)", "true", "!boolean (true) and boolean (false) cannot have their containment checked"},
		{"contains of two kinds", "contains(1)", `"a"`, `!string ("a") and number (1) cannot have their containment checked`},
		{"inside", "inside([1,2])", "[1]", "true"},
		{"add", "map(add)", `[[1,2],["a","b","c"],[[1],[2]],[],{"x":1,"y":2}]`, `[3,"abc",[1,2],null,3]`},
		{"add of a text", "add", `"a"`, `!Cannot iterate over string ("a")`},
		{"flatten", "flatten", "[1,[2,[3,[]]]]", "[1,2,3]"},
		{"flatten to a depth", "flatten(1)", "[1,[2,[3]]]", "[1,2,[3]]"},
		{"flatten by less than nothing", "flatten(-1)", "[1]", "!flatten depth must not be negative"},
		{"sort", "sort", `[{},[],"a",2,1,true,false,null]`, `[null,false,true,1,2,"a",[],{}]`},
		{"sort of a text", "sort", `"a"`, `!string ("a") cannot be sorted, as it is not an array`},
		{"sort_by is stable", "sort_by(.a)|map(.b)", `[{"a":2,"b":1},{"a":1,"b":2},{"a":2,"b":3}]`, "[2,1,3]"},
		{"sort_by several", "sort_by(.a,-.b)|map(.b)", `[{"a":1,"b":1},{"a":1,"b":2}]`, "[2,1]"},
		{"group_by", "group_by(.%2)", "[3,2,1]", "[[2],[3,1]]"},
		{"group_by of an object", "group_by(.)", `{"a":1}`, `!object ({"a":1}) and array ([[1]]) cannot be sorted, as they are not both arrays`},
		{"unique", "unique", "[2,1,2]", "[1,2]"},
		{"unique_by", "unique_by(length)", `["ab","c","d"]`, `["c","ab"]`},
		{"min and max", "[min,max]", "[2,1,3]", "[1,3]"},
		{"min and max of nothing", "[min,max]", "[]", "[null,null]"},
		{"min of a number", "min", "1", "!number (1) and number (1) cannot be iterated over"},
		{"ties", "[min_by(.a).b,max_by(.a).b]", `[{"a":1,"b":1},{"a":1,"b":2}]`, "[1,2]"},
		{"reverse", "reverse", "[1,2]", "[2,1]"},
		{"reverse of null", "reverse", "null", "[]"},
		{"reverse of a text", "reverse", `"ab"`, "!Cannot index string with number"},
		{"transpose", "transpose", "[[1],[2,3]]", "[[1,2],[null,3]]"},
		{"bsearch", "[bsearch(0,1,2,9)]", "[1,3]", "[-1,0,-2,-3]"},
		{"bsearch of nothing", "bsearch(1)", "[]", "-1"},
	})
}

func TestMathBuiltins(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{"rounding", "map([floor,ceil,round,trunc,rint])", "[1.5,-1.5,2.5]", "[[1,2,2,1,2],[-2,-1,-2,-1,-2],[2,3,3,2,2]]"},
		{"floor of a text", "floor", `"a"`, `!string ("a") number required`},
		{"pow of a text", `pow(2;"a")`, "", `!string ("a") number required`},
		{"powers", "[pow(2;10),exp2,exp,pow(.;0.5)]", "3", "[1024,8,20.085536923187668,1.7320508075688772]"},
		{"powers of ten as glibc computes them", "map(exp10)", "[2,3,-1]", "[100,1000.0000000000001,0.09999999999999999]"},
		{"circles", "[sin,cos,tan,asin,acos,atan,atan2(1;-2),hypot(3;4)]", "0.5", "[0.479425538604203,0.8775825618903728,0.5463024898437905,0.5235987755982989,1.0471975511965979,0.4636476090008061,2.677945044588987,5]"},
		{"hyperbolas", "[sinh,cosh,tanh]", "0.5", "[0.5210953054937474,1.1276259652063807,0.46211715726000974]"},
		{"logarithms", "[log2,logb,significand]", "12", "[3.584962500721156,3,1.5]"},
		{"frexp", "map(frexp)", "[10,0,-0.1]", "[[0.625,4],[0,0],[-0.8,-3]]"},
		{"frexp of no finite number", "[infinite,nan]|map(frexp)", "", "[[1.7976931348623157e+308,0],[null,0]]"},
		{"modf", "[-3.5,infinite]|map(modf)", "", "[[-0.5,-3],[0,1.7976931348623157e+308]]"},
		{"scaling", "[ldexp(1;3),scalb(1;3),scalbln(1;3),ldexp(1;-2)]", "", "[8,8,8,0.25]"},
		{"remainders", "[drem(10;3),fmod(10;4),drem(11;3)]", "", "[1,2,-1]"},
		{"choices", "[fmin(1;nan),fmax(nan;2),fma(2;3;4),copysign(1;-2)]", "", "[1,2,10,-1]"},
		{"cbrt as glibc computes it", "cbrt", "27", "3.0000000000000004"},
		{"gamma", "[gamma,lgamma,lgamma_r[1]]", "10", "[12.80182748008147,12.80182748008147,1]"},
		{"kinds of numbers", "[infinite,nan,0,5e-324,1]|map([isinfinite,isnan,isnormal])", "", "[[true,false,false],[false,true,false],[false,false,false],[false,false,false],[false,false,true]]"},
		{"isnan of a text", "isnan", `"a"`, "false"},
		{"nan is below all numbers", "[nan < nan, nan == nan, ([1,nan]|sort)]", "", "[true,false,[null,1]]"},
		{"results have doubles' text", "[1e17|floor]", "", "[1e+17]"},
	})
}

func TestDateBuiltins(t *testing.T) {
	t.Parallel()
	testEvaluated(t, []evaluated{
		{"todate", "map(todate)", "[0,-1,1736933445.9,253402300800]", `["1970-01-01T00:00:00Z","1969-12-31T23:59:59Z","2025-01-15T09:30:45Z","10000-01-01T00:00:00Z"]`},
		{"years are not padded", "todate", "-62135596800", `"1-01-01T00:00:00Z"`},
		{"fromdate", "fromdate", `"2024-02-29T23:59:59Z"`, "1709251199"},
		{"fromdate of fractions", "fromdate", `"2024-02-29T23:59:59.5Z"`, `!date "2024-02-29T23:59:59.5Z" does not match format "%Y-%m-%dT%H:%M:%SZ"`},
		{"the second before 1970", "fromdate", `"1969-12-31T23:59:59Z"`, "!invalid gmtime representation"},
		{"gmtime", "gmtime", "1736933445.678", "[2025,0,15,9,30,45.67799997329712,3,14]"},
		{"gmtime of a text", "gmtime", `"a"`, "!gmtime() requires a number"},
		{"too far away", "todate", "1e18", "!error converting number of seconds since epoch to datetime"},
		{"infinitely far away", "infinite|todate", "", "!error converting number of seconds since epoch to datetime"},
		{"mktime", "mktime", "[2025,12,1,0,0,0,0,0]", "1767225600"},
		{"mktime carries", "mktime|todate", "[2025,-1,32,25,61,61,0,0]", `"2025-01-02T02:02:01Z"`},
		{"mktime of a text", "mktime", `"a"`, "!mktime requires array inputs"},
		{"mktime of too little", "mktime", "[2025]", "!mktime requires parsed datetime inputs"},
		{"mktime of what no struct holds", "mktime", "[1e10,1,1,1,1,1,1,1]", "!mktime requires parsed datetime inputs"},
		{"names", `strftime("%A %a %B %b %h %p %P")`, "1736933445", `"Wednesday Wed January Jan Jan AM am"`},
		{"numbers", `strftime("%C %d %e %j %u %w %y %s %I %k %l")`, "1736933445", `"20 15 15 015 3 3 25 1736933445 09  9  9"`},
		{"weeks", `map(strftime("%U %W %V %G %g"))`, "[1736933445,1735603200,1609459200]", `["02 02 03 2025 25","52 53 01 2025 25","00 00 53 2020 20"]`},
		{"composed", `strftime("%c|%D|%F|%R|%T|%r|%x|%X|%Z|%z")`, "0", `"Thu Jan  1 00:00:00 1970|01/01/70|1970-01-01|00:00|00:00:00|12:00:00 AM|01/01/70|00:00:00|UTC|+0000"`},
		{"flags and widths", `strftime("%-d|%_d|%05d|%^a|%#p|%10a|%EY|%Od")`, "0", `"1| 1|00001|THU|am|       Thu|1970|01"`},
		{"unknown conversions stay", `strftime("%L|%Q|%E")`, "0", `"%L|%Q|%E"`},
		{"format of no text", "strftime(1)", "0", "!strftime/1 requires a string format"},
		{"format of no time", `strftime("%Y")`, `"a"`, "!strftime/1 requires parsed datetime inputs"},
		{"a text without end", `strftime("%4096d")`, "0", "!strftime/1: unknown system failure"},
		{"strptime", `strptime("%d %b %Y %I:%M %p")`, `"5 jan 2025 01:02 PM"`, "[2025,0,5,13,2,0,0,4]"},
		{"strptime of a time only", `strptime("%H:%M")`, `"10:20"`, "[1900,0,0,10,20,0,8,367]"},
		{"strptime of a year only", `strptime("x%Y")`, `"x2025"`, "[2025,0,0,0,0,0,2,-1]"},
		{"strptime drops the zone", `strptime("%FT%T%z")|mktime`, `"2025-01-15T09:30:45+02:00"`, "1736933445"},
		{"strptime by the week", `strptime("%Y %W %u")|todate`, `"2025 2 3"`, `"2025-01-15T00:00:00Z"`},
		{"strptime by the day of the year", `strptime("%Y %j")|todate`, `"2024 60"`, `"2024-02-29T00:00:00Z"`},
		{"strptime leaves blanks", `strptime("%Y")|.[8]`, `"2025 "`, `" "`},
		{"strptime of a number", `strptime("%Y")`, "1", "!strptime/1 requires string inputs and arguments"},
		{"a format that ends early", `strptime("%")`, `"%"`, `!date "%" does not match format "%"`},
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	const deep = "reduce range(100000) as $i (null;[.])|"
	for _, c := range []struct {
		name, expr string
		want       error
	}{
		{"compare", deep + ".==.", ErrDepth},
		{"sort", deep + "[.,.]|sort", ErrDepth},
		{"flatten", deep + "flatten", ErrDepth},
		{"walk", deep + "walk(.)", ErrDepth},
		{"contains", deep + "contains(.)", ErrDepth},
		{"recurse", deep + "last(..)", ErrDepth},
		{"setpath", "[range(100000)|0] as $p|null|setpath($p;1)", ErrDepth},
		{"endless array", "[repeat(1)]", ErrMemory},
		{"endless recursion", "def f: 1+f; f", ErrDepth},
		{"combinations", "[range(1000)|[1,2]]|[combinations]", ErrMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := outcome(c.expr, "null"); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.expr, err, c.want)
			}
		})
	}
	t.Run("loops do not nest", func(t *testing.T) {
		t.Parallel()
		testLoops(t)
	})
}

func testLoops(t *testing.T) {
	t.Helper()
	for _, expr := range []string{
		"0|until(.==50000;.+1)", "last(0|while(.<=50000;.+1))", "last(0|recurse(.+1;.<=50000))", "last(range(50001))",
		"last(0|recurse(if .<50000 then .+1 else empty end))", "last(limit(50001;foreach repeat(1) as $i (-1;.+1)))",
	} {
		if got, err := outcome(expr, "null"); got != "50000" || err != nil {
			t.Errorf("%s: got %s, %v", expr, got, err)
		}
	}
}
