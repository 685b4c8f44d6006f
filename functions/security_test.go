package functions_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// SECURITY.md names what proves each promise; all of it exists, and no promise is without.
func TestSecurityNamesItsTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.CommandContext(t.Context(), "grep", "-rhoE", "--include=*_test.go", "^func (Test|Fuzz)[A-Za-z0-9_]+", "../pkg", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		exists[strings.TrimPrefix(strings.TrimSpace(line), "func ")] = true
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	for _, promise := range []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9"} {
		row := regexp.MustCompile(`(?m)^\| ` + promise + ` \|.*$`).FindString(string(text))
		if len(named.FindAllString(row, -1)) == 0 {
			t.Errorf("SECURITY.md names no test for %s", promise)
		}
	}
	for _, name := range named.FindAllStringSubmatch(string(text), -1) {
		if !exists[name[1]] {
			t.Errorf("SECURITY.md names %s, which is no test", name[1])
		}
	}
}
