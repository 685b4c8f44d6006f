package jqtemplate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/jqtemplate"
)

// Every expression names the secrets that it may read, and no more of them than it must.
func TestMembersThatATemplateReads(t *testing.T) {
	t.Parallel()
	const all = "*"
	for expression, want := range map[string]string{
		`.inputs.a`:                             "",
		`.secrets.a`:                            "a",
		`.secrets["a-b"]`:                       "a-b",
		`.secrets.a.b.c`:                        "a",
		`.secrets?.a?`:                          "a",
		`.["secrets"]["a"]`:                     "a",
		`.secrets[0]`:                           "",
		`.inputs.secrets.a`:                     "",
		`.secrets`:                              all,
		`.`:                                     all,
		`.secrets[.inputs.x]`:                   all,
		`.secrets["a\(.inputs.x)"]`:             all,
		`.secrets | keys`:                       all,
		`.secrets[]`:                            all,
		`..`:                                    all,
		`.[.inputs.x]`:                          all,
		`.[]`:                                   all,
		`tojson`:                                all,
		`to_entries`:                            all,
		`getpath(["secrets","a"])`:              all,
		`"Bearer \(.secrets.a)"`:                "a",
		`@base64 "\(.secrets.u):\(.secrets.p)"`: "p u",
		`.secrets.u + ":" + .secrets.p | @base64`: "p u",
		`"\(.)"`:                          all,
		`@json`:                           all,
		`.secrets | .a`:                   "a",
		`.secrets as $s | $s.a`:           "a",
		`.secrets as $s | .inputs | $s.a`: "a",
		`.secrets as $s | $s`:             all,
		`. as $d | .inputs.l | map($d.secrets.a + .)`:                   "a",
		`. as {secrets: {a: $x} } | $x`:                                 all,
		`. as {$secrets} | $secrets.a`:                                  all,
		`.inputs | map(.secrets.a)`:                                     "",
		`.inputs.list | map(. + 1) | join(",")`:                         "",
		`.inputs | .. | .secrets?`:                                      "",
		`.inputs | to_entries`:                                          "",
		`[.inputs[], .secrets.b]`:                                       "b",
		`[.secrets]`:                                                    all,
		`{a: .secrets.b, c: .inputs}`:                                   "b",
		`{secrets}`:                                                     all,
		`{"secrets"}`:                                                   all,
		`.secrets as $s | {$s}`:                                         all,
		`{("x"): .}`:                                                    all,
		`{(.secrets.k): 1}`:                                             "k",
		`if .inputs.x then .secrets.a else .secrets.b end`:              "a b",
		`if .secrets.a == "x" then 1 end`:                               all,
		`if .secrets.a == "x" then 1 else 2 end`:                        "a",
		`if . then .secrets.a else . end | .secrets.b`:                  "a b",
		`.secrets.a // .secrets.b`:                                      "a b",
		`(.secrets // {}).a`:                                            "a",
		`.secrets == {}`:                                                all,
		`.secrets and true`:                                             "",
		`try .secrets.a catch .`:                                        "a",
		`try error(.secrets) catch .a`:                                  all,
		`.secrets.a | fromjson | .password`:                             "a",
		`.secrets.a | test("^x")`:                                       "a",
		`select(.inputs.x == 1) | .secrets.a`:                           "a",
		`first(.secrets.a, .secrets.b)`:                                 "a b",
		`any(.inputs.l[]; . == 1)`:                                      "",
		`now`:                                                           "",
		`env.PATH`:                                                      "",
		`reduce .inputs.l[] as $x (.secrets; . + {}) | .a`:              all,
		`reduce .inputs.l[] as $x (""; . + $x)`:                         "",
		`reduce .inputs.l[] as $x (.; .secrets) | .z`:                   "secrets z",
		`foreach .inputs.l[] as $x (0; . + 1; $x)`:                      "",
		`.secrets.a |= "x"`:                                             all,
		`del(.secrets)`:                                                 all,
		`def f: .secrets.a; f`:                                          all,
		`def f: 1; .inputs | f`:                                         all,
		`label $out | .secrets.a | ., break $out`:                       "a",
		`.secrets.a as $x | .inputs.b as $y | $x + $y`:                  "a",
		`-(.secrets.n | tonumber)`:                                      "n",
		`.inputs.list[.secrets.i | tonumber]`:                           "i",
		`.secrets.a[2:4]`:                                               "a",
		`.secrets[2:4]`:                                                 all,
		`.inputs | . as $i | .secrets`:                                  "",
		`not compiling (`:                                               "",
		`. as [$a] ?// {secrets: $a} | $a`:                              all,
		`limit(1; .secrets.a)`:                                          "a",
		`isempty(.secrets.a)`:                                           "a",
		`range(0; .secrets.n)`:                                          "n",
		`.secrets | with_entries(.value |= length)`:                     all,
		`.inputs.x | sub("a"; "b") | ascii_downcase | .[0:3]`:           "",
		`.secrets as $s | .inputs.names | map($s[.])`:                   all,
		`.secrets as $s | .inputs.names | map($s.a)`:                    "a",
		`.secrets as $s | .inputs.l | reduce .[] as $x ($s; .) | .q`:    "q",
		`. as $d | reduce .inputs.l[] as $x ({}; .[$x] = $d.secrets.a)`: "a",
		`. as $d | reduce .inputs.l[] as $x (0; $d) | .secrets.a`:       "a",
		// Each loop in a loop doubles what there is to be followed.
		strings.Repeat("reduce . as $x (.; ", 60) + "." + strings.Repeat(")", 60) + " | .secrets.a":                 "a",
		". as $d | " + strings.Repeat("reduce 1 as $x (0; ", 60) + "$d" + strings.Repeat(")", 60) + " | .secrets.a": all,
	} {
		template := new(jqtemplate.Object)
		template.Set("x", []any{"{{ " + expression + " }}", "text", 1.0})
		compiled, err := jqtemplate.Parse(template, "")
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		got := compiled.Members("secrets")
		wanted := jqtemplate.Members{Names: strings.Fields(want)}
		if want == all {
			wanted = jqtemplate.Members{All: true}
		}
		if diff := cmp.Diff(wanted, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expression, diff)
		}
		if got.None() != (want == "") {
			t.Errorf("%s: none is %t", expression, got.None())
		}
	}
}

func TestMembersOfKeysAndSpreads(t *testing.T) {
	t.Parallel()
	template := new(jqtemplate.Object)
	template.Set("{{ .secrets.key }}", "text {{ .secrets.b }} and {{ .secrets.a }}")
	template.Set("{{ spreadValue() }}", "{{ .secrets.spread | fromjson }}")
	compiled, err := jqtemplate.Parse(template, "")
	if err != nil {
		t.Fatal(err)
	}
	want := jqtemplate.Members{Names: []string{"a", "b", "key", "spread"}}
	if diff := cmp.Diff(want, compiled.Members("secrets")); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// A lenient rendering leaves out what a strict one would fail for.
func TestLenientRendering(t *testing.T) {
	t.Parallel()
	inner := new(jqtemplate.Object)
	inner.Set("{{ .n }}", "key of a number")
	inner.Set("{{ spreadValue() }}", "{{ .n }}")
	inner.Set("kept", "{{ .n }}")
	template := new(jqtemplate.Object)
	template.Set("list", []any{inner})
	compiled, err := jqtemplate.Parse(template, "")
	if err != nil {
		t.Fatal(err)
	}
	data := new(jqtemplate.Object)
	data.Set("n", 1.0)
	if _, err := compiled.Render(t.Context(), jqtemplate.NewData(data), jqtemplate.Options{}); err == nil {
		t.Error("a key of a number is rendered")
	}
	got, err := compiled.Render(t.Context(), jqtemplate.NewData(data), jqtemplate.Options{Lenient: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"list":[{"kept":1}]}`; string(jqtemplate.Encode(got.Value)) != want {
		t.Errorf("got %s, want %s", jqtemplate.Encode(got.Value), want)
	}
}
