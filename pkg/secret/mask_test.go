package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"longshore/pkg/secret"
)

// values have what escapes change.
var values = []string{
	"hunter2hunter2", `pa"ss\word/<é>&+ %41 ?😀`, "line one\nline two\t", `C:\new\table`, "n\\u0041bcdef", "%%%%%%%", "ключключ",
	`{"user":"ada","password":"s3cr3t"}`, "123456", "++++++++",
}

func asJSON(v string) string {
	text, _ := json.Marshal(v)
	return string(text[1 : len(text)-1])
}

// asASCII escapes as Python's json does.
func asASCII(v string) string {
	var b strings.Builder
	for _, u := range v {
		switch {
		case u > 0xFFFF:
			u -= 0x10000
			b.WriteString(`\u` + hex4(0xD800+u>>10) + `\u` + hex4(0xDC00+u&0x3FF))
		case u > '~' || u < ' ' || u == '"' || u == '\\':
			b.WriteString(`\u` + hex4(u))
		case u == '/':
			b.WriteString(`\/`)
		default:
			b.WriteRune(u)
		}
	}
	return b.String()
}

func hex4(u rune) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[u>>12&15], digits[u>>8&15], digits[u>>4&15], digits[u&15]})
}

func TestMaskFindsEverySpelling(t *testing.T) {
	t.Parallel()
	mask := secret.NewMask(values)
	spellings := map[string]func(string) string{
		"plain":                func(v string) string { return v },
		"JSON":                 asJSON,
		"JSON in JSON":         func(v string) string { return asJSON(asJSON(v)) },
		"JSON thrice":          func(v string) string { return asJSON(asJSON(asJSON(v))) },
		"ASCII JSON":           asASCII,
		"query":                url.QueryEscape,
		"path":                 url.PathEscape,
		"lower-case query":     func(v string) string { return lower(url.QueryEscape(v)) },
		"query of a query":     func(v string) string { return url.QueryEscape(url.QueryEscape(v)) },
		"query of JSON":        func(v string) string { return url.QueryEscape(asJSON(v)) },
		"base64":               func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
		"base64 behind 1 byte": func(v string) string { return base64.StdEncoding.EncodeToString([]byte("?" + v + "tail")) },
		"base64 behind 2":      func(v string) string { return base64.StdEncoding.EncodeToString([]byte("é" + v + "é")) },
		"base64 behind 5":      func(v string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + v)) },
		"base64 for URLs":      func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte("user:" + v + "!")) },
		"base64 in a query":    func(v string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(v))) },
		"base64 of JSON":       func(v string) string { return base64.StdEncoding.EncodeToString([]byte(`{"a":"` + asJSON(v) + `"}`)) },
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range values {
				spelled := spell(v)
				// A neighbour that is a letter of base64 goes with it.
				got := mask.Text("got <" + spelled + "> back")
				if want := "got <" + secret.Hidden; !strings.HasPrefix(got, "got <") || !strings.Contains(got, secret.Hidden) {
					t.Errorf("%q as %q: got %q, want %q", v, spelled, got, want)
				}
				if strings.Contains(got, spelled) || leftover(got, spelled) > 7 {
					t.Errorf("%q as %q: got %q", v, spelled, got)
				}
			}
		})
	}
}

// lower writes the digits of escapes in lower case.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:], strings.ToLower(string(b[i:i+3])))
		}
	}
	return string(b)
}

// leftover is how many bytes of the spelling's end are still there.
func leftover(got, spelled string) int {
	n := 0
	for n < len(spelled) && strings.Contains(got, spelled[len(spelled)-n-1:]+"> back") {
		n++
	}
	return n
}

func TestMaskLeavesTheRest(t *testing.T) {
	t.Parallel()
	mask := secret.NewMask([]string{"hunter2hunter2", "short", "", `tok"en-1`})
	for in, want := range map[string]string{
		"":                                       "",
		"nothing here, short as it is":           "nothing here, short as it is",
		"a hunter2hunter2 and hunter2hunter2":    "a ****** and ******",
		"hunter2hunter2":                         "******",
		"hunter2hunterhunter2hunter2":            "hunter2hunter******",
		"path\\hunter2hunter2":                   "path\\******",
		`x tok\"en-1 y`:                          `x ****** y`,
		`C:\dir 100% + more`:                     `C:\dir 100% + more`,
		"cut: hunter2hun":                        "cut: ******",
		"cut early: hunte":                       "cut early: hunte",
		"Authorization: Bearer hunter2hunter2\r": "Authorization: Bearer ******\r",
	} {
		if got := mask.Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	var none *secret.Mask
	if got := none.Text("a"); got != "a" || secret.NewMask([]string{"short"}) != nil || string(none.JSON([]byte("1"))) != "1" {
		t.Error("a mask of nothing masks")
	}
	if got := secret.NewMask([]string{"k1234k"}).Text("k1234k1234k"); got != "******" {
		t.Errorf("overlapping: got %q", got)
	}
}

func TestMaskedJSONIsJSON(t *testing.T) {
	t.Parallel()
	mask := secret.NewMask(values)
	for in, want := range map[string]string{
		`{"a": "hunter2hunter2", "n":1.50, "b":[true,null,"x"]}`: `{"a": "******", "n":1.50, "b":[true,null,"x"]}`,
		`{"hunter2hunter2":{"deep":"is hunter2hunter2!"}}`:       `{"******":{"deep":"is ******!"}}`,
		`{"pin":123456,"big":91234567}`:                          `{"pin":"******","big":"******"}`,
		`"\nbc: \u0068unter2hunter2"`:                            `"\nbc: ******"`,
		`"<b>&hunter2hunter2"`:                                   `"<b>&******"`,
		`{"user":"ada","password":"s3cr3t"}`:                     `"******"`,
		`[1e3,-2]`:                                               `[1e3,-2]`,
		`"\"quoted\" \\ as it was"`:                              `"\"quoted\" \\ as it was"`,
	} {
		got := string(mask.JSON([]byte(in)))
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	for _, v := range values {
		text, err := json.Marshal(map[string]any{"args": map[string]any{"q": v}, "data": `{"token":"` + asJSON(v) + `"}`,
			"headers": map[string]any{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+v))}})
		if err != nil {
			t.Fatal(err)
		}
		got := mask.JSON(text)
		if !json.Valid(got) || strings.Contains(string(got), asJSON(v)) {
			t.Errorf("%q: got %s", v, got)
		}
	}
}
