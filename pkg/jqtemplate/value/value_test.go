package value_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate/value"
)

func decode(t *testing.T, text []byte) any {
	t.Helper()
	v, err := value.Decode(text)
	if err != nil {
		t.Fatalf("decode %.80q: %v", text, err)
	}
	return v
}

// What Node.js 20 prints for JSON.stringify(JSON.parse(in)).
func TestDecodeEncodeIsJSONStringify(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", value.MaxDepth) + strings.Repeat("]", value.MaxDepth)
	for name, c := range map[string]struct{ in, want string }{
		"white space":            {" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", `{"a":[1,2],"b":{}}`},
		"words":                  {`[true,false,null,[],{}]`, `[true,false,null,[],{}]`},
		"integers":               {`[0,-0,1,-1,100,9007199254740991,9007199254740993,12345678901234567890]`, `[0,0,1,-1,100,9007199254740991,9007199254740992,12345678901234567000]`},
		"great numbers":          {`[1e20,1e21,-1e21,123456789012345680000,1e300,1.7976931348623157e308]`, `[100000000000000000000,1e+21,-1e+21,123456789012345680000,1e+300,1.7976931348623157e+308]`},
		"small numbers":          {`[0.1,1e-6,1e-7,1.5e-7,5e-324,123e-20,0.000001]`, `[0.1,0.000001,1e-7,1.5e-7,5e-324,1.23e-18,0.000001]`},
		"forms of a number":      {`[1.0,1.10,1E5,1e+2,1e-2,-0.0,0e0]`, `[1,1.1,100000,100,0.01,0,0]`},
		"beyond the doubles":     {`[1e400,-1e400,1e-400]`, `[null,null,0]`},
		"escapes":                {`"\u2028\u007f\u0000\u001f\b\f\n\r\t\u000b\"\\\/<>&\u00e9"`, "\"\u2028\u007f\\u0000\\u001f\\b\\f\\n\\r\\t\\u000b\\\"\\\\/<>&é\""},
		"surrogate pair":         {`"\ud83d\ude00 \uD83D\uDE00"`, `"😀 😀"`},
		"lone surrogates":        {`["\ud83dx","\ude00","\ud83d","\ud83d\ud83d\ude00","\ud83d\n"]`, `["�x","�","�","�😀","�\n"]`},
		"order of members":       {`{"z":1,"a":2,"m":3}`, `{"z":1,"a":2,"m":3}`},
		"repeated member":        {`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		"array indices first":    {`{"4294967295":1,"4294967294":2,"b":0,"01":1,"-1":2,"1.5":3,"":4,"10":1,"2":3,"0":5}`, `{"0":5,"2":3,"10":1,"4294967294":2,"4294967295":1,"b":0,"01":1,"-1":2,"1.5":3,"":4}`},
		"text that is not ASCII": {`{"日本":"h\u00e9llo\u0301"}`, "{\"日本\":\"h\u00e9llo\u0301\"}"},
		"deepest":                {deep, deep},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(value.Encode(decode(t, []byte(c.in)))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDecodeManyMembers(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, `,"k%d":%d`, i%60, i)
	}
	o := decode(t, []byte("{"+text.String()[1:]+"}")).(*value.Object)
	if o.Len() != 60 {
		t.Fatalf("got %d members, want 60", o.Len())
	}
	i := 0
	for key, value := range o.All() {
		want := i
		if i < 40 {
			want = i + 60
		}
		if got, _ := o.Get(key); key != "k"+strconv.Itoa(i) || value != float64(want) || got != value {
			t.Errorf("member %d is %s: %v, %v by its name; want %d", i, key, value, got, want)
		}
		i++
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in     string
		offset int
	}{
		"nothing":                    {"", 0},
		"only space":                 {"  ", 2},
		"text behind":                {`{} x`, 3},
		"two values":                 {"1 2", 2},
		"byte order mark":            {"\uFEFF1", 0},
		"invalid UTF-8":              {"[\"é\xff\"]", 4},
		"cut UTF-8":                  {"\"\xe2\x82", 1},
		"surrogate in UTF-8":         {"\"\xed\xa0\x80\"", 1},
		"leading zero":               {`[01]`, 1},
		"leading zero, negative":     {`-01`, 1},
		"no fraction":                {`1.`, 2},
		"no exponent":                {`[1e]`, 3},
		"only a sign":                {`-`, 1},
		"plus":                       {`+1`, 0},
		"bare fraction":              {`.5`, 0},
		"NaN":                        {`NaN`, 0},
		"half a word":                {`[nul]`, 1},
		"trailing comma in an array": {`[1,]`, 3},
		"trailing comma in object":   {`{"a":1,}`, 7},
		"leading comma":              {`[,1]`, 1},
		"missing comma":              {`[1 2]`, 3},
		"missing colon":              {`{"a" 1}`, 5},
		"name without quotes":        {`{a:1}`, 1},
		"open array":                 {`[1,`, 3},
		"open object":                {`{"a":`, 5},
		"open string":                {`"abc`, 4},
		"open escape":                {`"abc\`, 5},
		"unknown escape":             {`"\x"`, 1},
		"short escape":               {`"\u12"`, 1},
		"control character":          {"\"a\nb\"", 2},
		"control after an escape":    {"\"\\t\x00\"", 3},
		"too deep":                   {strings.Repeat("[", value.MaxDepth+1), value.MaxDepth},
		"too deep objects":           {strings.Repeat(`{"":`, 100000), 4 * value.MaxDepth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := value.Decode([]byte(c.in))
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid {
				t.Fatalf("got %v, want a fault.Invalid", err)
			}
			if want := fmt.Sprintf("malformed JSON at byte %d: ", c.offset); !strings.HasPrefix(f.Message, want) {
				t.Errorf("got %q, want %q…", f.Message, want)
			}
		})
	}
}

func TestDecodeDoesNotKeepTheCallersBytes(t *testing.T) {
	t.Parallel()
	text := []byte(`{"a":"b"}`)
	v := decode(t, text)
	copy(text, strings.Repeat("x", len(text)))
	if got := string(value.Encode(v)); got != `{"a":"b"}` {
		t.Errorf("got %s", got)
	}
}

func TestEncodeOfMadeValues(t *testing.T) {
	t.Parallel()
	var none *value.Object
	for name, c := range map[string]struct {
		in   any
		want string
	}{
		"not a number":  {[]any{math.NaN(), math.Inf(1), math.Inf(-1)}, `[null,null,null]`},
		"negative zero": {math.Copysign(0, -1), `0`},
		"invalid UTF-8": {"a\xffb\xe2\x82", `"a�b��"`},
		"nil object":    {none, `{}`},
		"empty object":  {&value.Object{}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(value.Encode(c.in)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// An object behaves the same below and above the size from which it is indexed.
func TestObject(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 14, 15, 16, 17, 40} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			o := &value.Object{}
			var want []string
			for i := range size {
				key := "k" + strconv.Itoa(i)
				o.Set(key, float64(i))
				want = append(want, key)
			}
			o.Set("k1", "other")
			o.Delete("k0")
			o.Delete("absent")
			o.Set("k0", true)
			want = append(want[1:], "k0")
			var got []string
			for key := range o.All() {
				got = append(got, key)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("keys (-want +got):\n%s", d)
			}
			first, _ := o.Get("k1")
			last, _ := o.Get("k0")
			none, found := o.Get("absent")
			if first != "other" || last != true || none != nil || found || o.Len() != size {
				t.Errorf("got %v, %v, %v, %v, %d members", first, last, none, found, o.Len())
			}
			for range o.All() {
				break // Leaving early is allowed.
			}
		})
	}
	var none *value.Object
	if _, found := none.Get("a"); found || none.Len() != 0 || len(slices.Collect(keys(none))) != 0 {
		t.Error("a nil object has members")
	}
}

func keys(o *value.Object) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range o.All() {
			if !yield(key) {
				return
			}
		}
	}
}

// The text of a number in jq 1.7.1: a literal keeps its digits (decNumber's to-scientific-string), a
// double that arithmetic made has the shortest ones that say it.
func TestNumberText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   any
		want string
	}{
		"literal":                  {value.Literal("3.0"), "3.0"},
		"literal with an exponent": {value.Literal("1e17"), "1E+17"},
		"small literal":            {value.Literal("0.00001"), "0.00001"},
		"smaller literal":          {value.Literal("0.0000001"), "1E-7"},
		"long literal":             {value.Literal("100000000000000000000000001"), "100000000000000000000000001"},
		"made":                     {value.Computed(1e17), "1e+17"},
		"made of many digits":      {value.Computed(123456789012345678), "123456789012345680"},
		"made small":               {value.Computed(0.00001), "1e-05"},
		"made whole":               {value.Computed(3), "3"},
		"made infinite":            {value.Computed(math.Inf(1)), "1.7976931348623157e+308"},
		"made not a number":        {value.Computed(math.NaN()), "null"},
		"negative zero":            {value.Computed(math.Copysign(0, -1)), "-0"},
		"from data":                {2.5, "2.5"},
		"great number of the data": {1e21, "1E+21"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := value.NumberText(c.in); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// jq's order of types, and of values within a type.
func TestCompare(t *testing.T) {
	t.Parallel()
	o := func(text string) any { return decode(t, []byte(text)) }
	compare := func(a, b any) int { return value.Compare(a, b, func(int) {}) }
	ordered := []any{
		nil, false, true, math.NaN(), math.Inf(-1), -1.0, 0.0, value.Literal("1.0"), 1.5, "", "a", "aa", "b", "é",
		o(`[]`), o(`[0]`), o(`[0,0]`), o(`[1]`), o(`{}`), o(`{"a":2}`), o(`{"a":1,"b":0}`), o(`{"b":0}`),
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if i == j && !math.IsNaN(func() float64 { f, _ := value.Float(a); return f }()) {
				if got := compare(a, b); got != 0 {
					t.Errorf("%v and itself: got %d", a, got)
				}
			}
			if i < j && compare(a, b) >= 0 || i > j && compare(a, b) <= 0 {
				t.Errorf("%v and %v: got %d", a, b, compare(a, b))
			}
		}
	}
	if got := compare(o(`{"a":1,"b":2}`), o(`{"b":2,"a":1}`)); got != 0 {
		t.Errorf("the order of members counts: %d", got)
	}
}

// Objects grown from one another by With are all as they were made, whoever owns them.
func TestWithLeavesTheOthers(t *testing.T) {
	t.Parallel()
	owner, other := new(int), new(int)
	base := decode(t, []byte(`{"a":1}`)).(*value.Object)
	var grown []*value.Object
	at := base
	for i := range 40 {
		at, _ = at.With(owner, "k"+strconv.Itoa(i), float64(i))
		grown = append(grown, at)
	}
	left, _ := grown[10].With(owner, "left", true)
	right, _ := grown[10].With(other, "right", true)
	changed, _ := grown[20].With(owner, "a", 2.0)
	if v, _ := changed.Get("a"); v != 2.0 || changed.Len() != 22 {
		t.Errorf("got %v of %d members", v, changed.Len())
	}
	for i, o := range grown {
		if v, _ := o.Get("a"); v != 1.0 || o.Len() != i+2 {
			t.Errorf("object %d: got %v of %d members", i, v, o.Len())
		}
		if _, there := o.Get("k" + strconv.Itoa(i+1)); there {
			t.Errorf("object %d has the member of the next", i)
		}
	}
	if _, there := left.Get("right"); there || left.Len() != 13 || right.Len() != 13 {
		t.Errorf("got %s and %s", value.Encode(left), value.Encode(right))
	}
	if _, there := right.Get("left"); there {
		t.Errorf("got %s", value.Encode(right))
	}
	if base.Len() != 1 {
		t.Errorf("got %s", value.Encode(base))
	}
}

// Texts are looked at eight bytes at once: each byte is written as it is alone, wherever it stands.
func TestEveryByteOfAText(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		alone := string(value.Encode(string([]byte{byte(b)})))
		alone = alone[1 : len(alone)-1]
		for length := 1; length <= 18; length++ {
			for at := range length {
				before, after := strings.Repeat("~", at), strings.Repeat(" ", length-at-1)
				s := before + string([]byte{byte(b)}) + after
				want := `"` + before + alone + after + `"`
				if got := string(value.Encode(s)); got != want {
					t.Fatalf("%q is written as %s, want %s", s, got, want)
				}
				n, ok := value.StringSize(s)
				if plain := b != 0 && b < utf8.RuneSelf; ok != plain || ok && n != len(want) {
					t.Fatalf("%q has size %d, %t; want %d, %t", s, n, ok, len(want), plain)
				}
				read, err := value.Decode([]byte(want))
				if err != nil || ok && read != s {
					t.Fatalf("%s is read as %q, %v", want, read, err)
				}
				if _, err := value.Decode([]byte(`"` + s + `"`)); (err == nil) != (b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf) {
					t.Fatalf("%q in a text: got error %v", s, err)
				}
			}
		}
	}
}
