package jqtemplate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"longshore/pkg/jqtemplate"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	if strings.HasSuffix(path, ".gz") {
		return gunzip(t, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The data of the benchmark: a small event and one with a big diff. Both render to the same.
var benchData = map[string]string{
	"small": "../../testdata/bench/small.json",
	"large": "../../testdata/bench/large.json.gz",
}

func benchTemplate(t testing.TB) *jqtemplate.Template {
	t.Helper()
	tmpl, err := jqtemplate.Parse(decode(t, readFile(t, "../../testdata/bench/template.json")), "")
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestBenchmarkRendersWhatIsExpected(t *testing.T) {
	t.Parallel()
	for size, path := range benchData {
		result, err := benchTemplate(t).Render(context.Background(), jqtemplate.NewData(decode(t, readFile(t, path))), jqtemplate.Options{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(readFile(t, "../../testdata/bench/"+size+".expected.json")))
		if got := string(jqtemplate.Encode(result.Value)); got != want {
			t.Errorf("%s: got %s\nwant %s", size, got, want)
		}
	}
}

// BenchmarkRender renders and encodes: InMemory with data that other renderings used before, Fresh
// with decoded data of its own, Decoding from the data's text.
func BenchmarkRender(b *testing.B) {
	tmpl := benchTemplate(b)
	render := func(b *testing.B, data *jqtemplate.Data) {
		result, err := tmpl.Render(context.Background(), data, jqtemplate.Options{})
		if err != nil {
			b.Fatal(err)
		}
		jqtemplate.Encode(result.Value)
	}
	for _, size := range []string{"small", "large"} {
		text := readFile(b, benchData[size])
		value := decode(b, text)
		b.Run(size+"/InMemory", func(b *testing.B) {
			b.ReportAllocs()
			data := jqtemplate.NewData(value)
			for b.Loop() {
				render(b, data)
			}
		})
		b.Run(size+"/Fresh", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				render(b, jqtemplate.NewData(value))
			}
		})
		b.Run(size+"/Decoding", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				render(b, jqtemplate.NewData(decode(b, text)))
			}
		})
	}
}

// BenchmarkParse compiles the template; plain/expressions is the share that takes the fast path.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	text := readFile(b, "../../testdata/bench/template.json")
	value := decode(b, text)
	plain, all := 0, 0
	for _, block := range regexp.MustCompile(`\{\{(.*?)\}\}`).FindAllSubmatch(text, -1) {
		if strings.Contains(string(block[1]), "spreadValue") {
			continue
		}
		e, err := jqtemplate.ParseExpression(strings.ReplaceAll(string(block[1]), `\"`, `"`))
		if err != nil {
			b.Fatal(err)
		}
		all++
		if e.Plain() {
			plain++
		}
	}
	defer func() { b.ReportMetric(float64(plain)/float64(all), "plain/expressions") }()
	for b.Loop() {
		if _, err := jqtemplate.Parse(value, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode compares Decode with the tokens of encoding/json, which keep the order too.
func BenchmarkDecode(b *testing.B) {
	for _, size := range []string{"small", "large"} {
		text := readFile(b, benchData[size])
		b.Run(size, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				decode(b, text)
			}
		})
		b.Run(size+"/Tokens", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				d := json.NewDecoder(strings.NewReader(string(text)))
				for {
					if _, err := d.Token(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		value := decode(b, text)
		b.Run(size+"/Encode", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				jqtemplate.Encode(value)
			}
		})
	}
}
