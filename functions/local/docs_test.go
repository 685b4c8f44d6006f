package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"longshore/pkg/jqtemplate"
)

// root is the repository's root.
const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks returns a page's fenced blocks of a language.
func blocks(t *testing.T, path, language string) []string {
	t.Helper()
	var found []string
	for _, match := range fence.FindAllStringSubmatch(read(t, path), -1) {
		if match[1] == language {
			found = append(found, match[2])
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no block of %s", path, language)
	}
	return found
}

// rows returns the rows of a page's table with these heads: the code in each cell.
func rows(t *testing.T, path string, heads ...string) [][]string {
	t.Helper()
	_, table, ok := strings.Cut(read(t, path), "| "+strings.Join(heads, " | ")+" |\n")
	if !ok {
		t.Fatalf("%s has no table of %v", path, heads)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var found [][]string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		line = strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00")
		var row []string
		for cell := range strings.SplitSeq(line, "|") {
			row = append(row, strings.Trim(strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|"), "`"))
		}
		if len(row) != len(heads) {
			t.Fatalf("%s: %d cells in %q", path, len(row), line)
		}
		found = append(found, row)
	}
	return found
}

// Every flag and variable of serve is in the settings table, and nothing else is.
func TestSettingsTable(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, flag := range node.Flags {
			want = append(want, "--"+flag.Name)
			want = append(want, flag.Envs...)
			if len(flag.Envs) != 1 {
				t.Errorf("--%s has the variables %v, want one", flag.Name, flag.Envs)
			}
		}
	}
	var got []string
	for _, row := range rows(t, "README.md", "flag", "variable", "default") {
		got = append(got, regexp.MustCompile(`--[a-z-]+|(?:LONGSHORE|OTEL)_[A-Z_]+`).FindAllString(row[0]+" "+row[1], -1)...)
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("README.md lacks %s", name)
		}
	}
	for _, name := range slices.Compact(got) {
		if !slices.Contains(want, name) {
			t.Errorf("README.md has %s, which serve does not have", name)
		}
	}
}

// Every variable that a function or a command reads is in the README.
func TestVariables(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	tag, found := regexp.MustCompile(`env:"([A-Z_]+)"`), 0
	for _, dir := range []string{"functions", "pkg"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range tag.FindAllStringSubmatch(string(text), -1) {
				if found++; !strings.Contains(readme, "`"+match[1]) {
					t.Errorf("README.md lacks %s, which %s reads", match[1], path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 60 {
		t.Errorf("found %d variables", found)
	}
}

// Every flag and variable that a page about a backend has is one that the README has.
func TestSettingsOfBackends(t *testing.T) {
	t.Parallel()
	readme, name := read(t, "README.md"), regexp.MustCompile("`(--[a-z-]+)|(LONGSHORE_[A-Z_]+)")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "backends", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("found %d pages: %v", len(pages), err)
	}
	for _, path := range pages {
		page := filepath.Join("docs", "backends", filepath.Base(path))
		for _, found := range name.FindAllStringSubmatch(read(t, page), -1) {
			if setting := found[1] + found[2]; !strings.Contains(readme, "`"+setting+"`") {
				t.Errorf("%s has %s, which the README has not", page, setting)
			}
		}
	}
}

// Every command that help shows is in the README.
func TestCommandsTable(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	readme := read(t, "README.md")
	for _, node := range parser.Model.Children {
		if !node.Hidden && !strings.Contains(readme, "`longshore "+node.Name) {
			t.Errorf("README.md lacks the command %s", node.Name)
		}
	}
}

// Every link to a file leads to one.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	backends, err := filepath.Glob(root + "/docs/backends/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, backends...)
	pages = append(pages, root+"/README.md", root+"/SECURITY.md")
	links := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || target == "" {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if links < 5 {
		t.Errorf("only %d links were found", links)
	}
}

// rendered renders what a cell of the page holds with the page's data: JSON, or else a string.
func rendered(t *testing.T, cell string) (jqtemplate.Result, error) {
	t.Helper()
	data, err := jqtemplate.Decode([]byte(blocks(t, "docs/templates.md", "json")[0]))
	if err != nil {
		t.Fatal(err)
	}
	template, err := jqtemplate.Decode([]byte(cell))
	if err != nil {
		template = cell
	}
	parsed, err := jqtemplate.Parse(template, "")
	if err != nil {
		return jqtemplate.Result{}, err
	}
	return parsed.Render(t.Context(), jqtemplate.NewData(data), jqtemplate.Options{})
}

// The page on templates shows what happens.
func TestTemplatesPage(t *testing.T) {
	t.Parallel()
	const page = "docs/templates.md"
	check := func(template, want string) {
		t.Helper()
		result, err := rendered(t, template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			return
		}
		if got := string(jqtemplate.Encode(result.Value)); got != want || result.Undefined {
			t.Errorf("%s renders to %s, the page says %s", template, got, want)
		}
	}
	for _, row := range rows(t, page, "template", "renders to") {
		check(row[0], row[1])
	}
	for _, row := range rows(t, page, "template", "fault") {
		if _, err := rendered(t, row[0]); err == nil || !strings.Contains(err.Error(), row[1]) {
			t.Errorf("%s: got %v, the page says %s", row[0], err, row[1])
		}
	}
	for _, row := range rows(t, page, "expression", "jq 1.7.1", "here") {
		if row[1] == row[2] {
			t.Errorf("%s does not differ", row[0])
		}
		if !json.Valid([]byte(row[1])) {
			t.Errorf("%s: %s is no JSON", row[0], row[1])
		}
		check("{{ "+row[0]+" }}", row[2])
	}
}
