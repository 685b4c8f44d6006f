package action_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		userInputs, given string
		// want are the names as path format blueprint/identifier, with "!" for a dataset.
		want, faults []string
	}{
		"each format": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"service"},"u":{"type":"string","format":"user"},"t":{"type":"string","format":"team"},"s":{"type":"string","blueprint":"service"}}}`,
			given:      `{"e":"cart","u":"a@example.com","t":"web","s":"cart"}`,
			want:       []string{"properties.e entity service/cart", "properties.u user /a@example.com", "properties.t team /web"},
		},
		"an object and lists": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"service"},"l":{"type":"array","items":{"type":"string","format":"entity","blueprint":"service"}},"u":{"type":"array","items":{"type":"string","format":"user"}}}}`,
			given:      `{"e":{"identifier":"cart","title":"x"},"l":["a",{"identifier":"b"}],"u":["c"]}`,
			want:       []string{"properties.e entity service/cart", "properties.l[0] entity service/a", "properties.l[1] entity service/b", "properties.u[0] user /c"},
		},
		"members, and members of any name": {
			userInputs: `{"properties":{"o":{"type":"object","properties":{"e":{"type":"string","format":"entity","blueprint":"b"},"s":{"type":"string"}},"additionalProperties":{"type":"array","items":{"type":"string","format":"team"}}}}}`,
			given:      `{"o":{"e":"x","s":"y","z":["web"]}}`,
			want:       []string{"properties.o.e entity b/x", "properties.o.z[0] team /web"},
		},
		"what is empty or of a wrong type names nothing": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity"},"n":{"type":"string","format":"user"},"l":{"type":"array","items":{"type":"string","format":"entity"}},"u":{"type":"string","format":"user"}}}`,
			given:      `{"e":1,"n":null,"l":{},"u":{"identifier":"x"}}`,
			faults: []string{
				"properties.e: must be a string or an object, got a number", "properties.l: must be an array, got an object", "properties.u: must be a string, got an object",
			},
		},
		"defaults name something too": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"b","visible":false,"default":"x"},"t":{"type":"string","format":"team","default":{"jqQuery":"\"web\""}}}}`,
			given:      `{}`, want: []string{"properties.e entity b/x", "properties.t team /web"},
		},
		"a dataset": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"b","dataset":{"combinator":"and","rules":[{"property":"x","operator":"=","value":{"jqQuery":".form.v"}},
				{"combinator":"or","rules":[{"property":"y","operator":"in","value":["{{ .inputs.v }}"]}]}]}},"v":{"type":"string"}}}`,
			given: `{"e":"x","v":"y"}`, want: []string{"properties.e entity b/x!"},
		},
		"a dataset that fails lets nothing through": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"b","dataset":{"combinator":"and","rules":[{"property":"x","operator":"!=","value":{"jqQuery":"1 + {}"}}]}}}}`,
			given:      `{"e":"x"}`,
			faults: []string{
				"properties.e: cannot be checked against its dataset: trigger.userInputs.properties.e.dataset.rules[0].value.jqQuery: jq: error: number (1) and object ({}) cannot be added",
			},
		},
		"a dataset that does not compile lets nothing through": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"b","dataset":{"combinator":"and","rules":[{"property":"x","operator":"=","value":{"jqQuery":".["}}]}}}}`,
			given:      `{"e":"x"}`,
			faults:     []string{"properties.e: cannot be checked against its dataset: trigger.userInputs.properties.e.dataset.rules[0].value.jqQuery: jq: compile error: unexpected EOF"},
		},
		"a dataset that is no search lets nothing through": {
			userInputs: `{"properties":{"e":{"type":"string","format":"entity","blueprint":"b","dataset":{"combinator":"and","rules":[{"property":"x","operator":"similar","value":1}]}}}}`,
			given:      `{"e":"x"}`,
			faults:     []string{"properties.e: cannot be checked against its dataset: trigger.userInputs.properties.e.dataset.rules[0].operator: must be one of"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, err := inputs(t, c.userInputs).Complete(t.Context(), decode(t, c.given), action.Scope{})
			got := faultLines(t, err)
			for i := range got {
				if i < len(c.faults) && strings.HasPrefix(got[i], c.faults[i]) {
					got[i] = c.faults[i] // Operators are listed elsewhere.
				}
			}
			if diff := cmp.Diff(c.faults, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			var names []string
			for _, n := range done.Named {
				line := fmt.Sprintf("%s %s %s/%s", n.Path, n.Format, n.Blueprint, n.Identifier)
				if n.Dataset != nil {
					line += "!"
				}
				names = append(names, line)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("named (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamedIsBounded(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"l":{"type":"array","items":{"type":"string","format":"entity","blueprint":"b"}}}}`)
	list := strings.TrimSuffix(strings.Repeat(`"x",`, action.MaxNamed+1), ",")
	done, err := in.Complete(t.Context(), decode(t, `{"l":[`+list+`]}`), action.Scope{})
	if want := []string{"properties.l: the inputs may name at most 1000 entities, users and teams"}; !cmp.Equal(want, faultLines(t, err)) || len(done.Named) != action.MaxNamed {
		t.Errorf("%d named, faults %v", len(done.Named), faultLines(t, err))
	}
}

// A dataset that is no search, or has an expression that does not compile, is saved with a warning.
func TestDatasetWarnings(t *testing.T) {
	t.Parallel()
	d := parse(t, input(`{"type":"array","items":{"type":"string","format":"entity","dataset":{"combinator":"and","rules":[
		{"property":"a","operator":"=","value":{"jqQuery":".["}},{"property":"b","operator":"=","value":"{{ .[ }}"}]}}}`))
	var paths []string
	for _, w := range d.Warnings {
		paths = append(paths, strings.TrimPrefix(w.Path, "trigger.userInputs.properties.alpha.items."))
	}
	if want := []string{"dataset.rules[0].value.jqQuery", "dataset.rules[1].value"}; !cmp.Equal(want, paths) {
		t.Errorf("warnings at %v, want %v", paths, want)
	}
	if d = parse(t, input(`{"type":"string","format":"entity","dataset":{"combinator":"and","rules":[{"property":"a","operator":"similar"}]}}`)); len(d.Warnings) != 1 {
		t.Errorf("warnings %v", d.Warnings)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"one":{"type":"string","format":"entity"},"l":{"type":"array","items":{"type":"string","format":"entity"}},
		"o":{"type":"object","properties":{"l":{"type":"array","items":{"type":"string","format":"entity"}}}},
		"nested":{"type":"array","items":{"type":"array","items":{"type":"string","format":"entity"}}},
		"users":{"type":"array","items":{"type":"string","format":"user"}}}}`)
	const given = `{"one":{"identifier":"x"},"l":["a",{"title":"theirs","identifier":"b","more":1}],"o":{"x":1,"l":["c"]},"nested":[["d"]],"users":["u"],"other":["e"]}`
	values := decode(t, given)
	got := in.Expand(values, func(path string) any {
		if path == "properties.o.l[0]" {
			return nil
		}
		return "T of " + path
	})
	want := `{"one":{"identifier":"x"},"l":[{"identifier":"a","title":"T of properties.l[0]"},{"title":"T of properties.l[1]","identifier":"b","more":1}],` +
		`"o":{"x":1,"l":[{"identifier":"c","title":null}]},"nested":[[{"identifier":"d","title":"T of properties.nested[0][0]"}]],"users":["u"],"other":["e"]}`
	if text := string(jqtemplate.Encode(got)); text != want {
		t.Errorf("expanded (-want +got):\n%s", cmp.Diff(want, text))
	}
	if text := string(jqtemplate.Encode(values)); text != given {
		t.Errorf("it changed what it was given: %s", text)
	}
}
