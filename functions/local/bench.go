package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// benchProcess compares the product with the limit program, in one run: servers on core 0, load and
// receiver (this process) on core 1, rounds in turn. It prints its measures as a table, or JSON.
type benchProcess struct {
	Rounds      int    `default:"3" help:"Rounds of what is compared, in turn."`
	Runs        int    `default:"3000" help:"Runs in a burst."`
	Connections int    `default:"64" help:"Connections of a burst."`
	Measures    []int  `help:"The measures to make, all by default."`
	Stored      int    `default:"1000000" env:"LONGSHORE_BENCH_STORED" help:"Stored runs of measures 10 and 11; 0 leaves both out."`
	Functions   string `type:"path" help:"The folder of the functions' and hello's executables for measures 13 and 14, NAME/bootstrap."`
	JSON        bool   `name:"json" help:"Print JSON."`
	Results     string `type:"path" help:"A file for the results as JSON."`
	Samples     string `type:"path" help:"A file for each round's figures, as benchstat reads them."`
}

// measure is one line of the table.
type measure struct {
	Number int     `json:"number"`
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Least  float64 `json:"min"`
	Most   float64 `json:"max"`
	Floor  string  `json:"floor"`
	Goal   string  `json:"goal"`
	// Met is whether the median is as good as the floor, or as the goal: "no", "floor" or "goal"; empty
	// for a figure without either.
	Met string `json:"met,omitempty"`
	// Values are those of the rounds.
	Values []float64 `json:"values"`
}

// bench gathers measures.
type bench struct {
	*benchProcess
	s     *streams
	table []measure
}

// add takes the values of the rounds. Floor and goal begin with ≥ or ≤.
func (b *bench) add(number int, name, floor, goal string, values ...float64) {
	if len(values) == 0 {
		return
	}
	m := measure{Number: number, Name: name, Median: median(values), Least: slices.Min(values), Most: slices.Max(values), Floor: floor, Goal: goal, Met: "no", Values: values}
	switch {
	case floor == "":
		m.Met = ""
	case reaches(m.Median, goal):
		m.Met = "goal"
	case reaches(m.Median, floor):
		m.Met = "floor"
	}
	b.table = append(b.table, m)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// reaches reports whether a value is as good as a bound, which begins with ≥ or ≤.
func reaches(value float64, bound string) bool {
	var limit float64
	if _, err := fmt.Sscanf(strings.TrimLeft(bound, "≥≤ "), "%g", &limit); err != nil {
		return false
	}
	if strings.HasPrefix(bound, "≥") {
		return value >= limit
	}
	return value <= limit
}

func (c *benchProcess) Run(ctx context.Context, s *streams) error {
	b := &bench{benchProcess: c, s: s}
	if pinned := pin(os.Getpid(), 1); pinned != nil {
		fmt.Fprintln(s.err, "longshore: not pinned to cores:", pinned)
	}
	for _, part := range []struct {
		measures []int
		make     func(context.Context) error
	}{
		{[]int{1, 2, 5, 6, 7}, b.load},
		{[]int{3, 4}, b.syncs},
		{[]int{8}, b.processors},
		{[]int{9}, b.slowDisk},
		{[]int{10, 11}, b.stored},
		{[]int{12}, b.delayed},
		{[]int{13, 14}, b.starts},
	} {
		if len(c.Measures) > 0 && !slices.ContainsFunc(part.measures, func(n int) bool { return slices.Contains(c.Measures, n) }) {
			continue
		}
		begun := time.Now()
		err := part.make(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(s.err, "measures %s took %s; load average %s\n", numbers(part.measures), time.Since(begun).Round(time.Second), loadAverage())
		if err != nil {
			fmt.Fprintf(s.err, "longshore: not all of measures %s were made: %v\n", numbers(part.measures), err)
		}
	}
	slices.SortStableFunc(b.table, func(x, y measure) int { return cmp.Compare(x.Number, y.Number) })
	return b.print()
}

func numbers(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") }

// print writes the table, and the files that were asked for.
func (b *bench) print() error {
	text, err := json.MarshalIndent(b.table, "", "  ")
	if err != nil {
		return err
	}
	var samples strings.Builder
	for _, m := range b.table {
		name := strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' {
				return '_'
			}
			return r
		}, m.Name)
		for _, v := range m.Values {
			fmt.Fprintf(&samples, "BenchmarkProcess/%d/%s 1 %g figure\n", m.Number, name, v)
		}
	}
	for _, f := range []struct{ path, text string }{{b.Results, string(text) + "\n"}, {b.Samples, samples.String()}} {
		if f.path == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(f.path, []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	if b.JSON {
		_, err := fmt.Fprintf(b.s.out, "%s\n", text)
		return err
	}
	fmt.Fprintf(b.s.out, "%-2s %-52s %9s %9s %9s  %-7s %-7s %s\n", "", "measure", "median", "min", "max", "floor", "goal", "met")
	for _, m := range b.table {
		fmt.Fprintf(b.s.out, "%-2d %-52s %9.3f %9.3f %9.3f  %-7s %-7s %s\n", m.Number, m.Name, m.Median, m.Least, m.Most, m.Floor, m.Goal, m.Met)
	}
	return nil
}
