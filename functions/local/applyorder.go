package main

import "slices"

// link leads from one of a list to another that it needs.
type link struct {
	// index is its place in the list.
	index int
	// required says that what needs it cannot be without it.
	required bool
}

// order returns the places of a list so that each comes after what it needs, else as it stands in the
// list. In a cycle one comes before something that it needs, if possible something it can do without.
func order(needs [][]link) []int {
	sequence, placed := make([]int, 0, len(needs)), make([]bool, len(needs))
	open := func(n link) bool { return !placed[n.index] }
	mustWait := func(n link) bool { return n.required && open(n) }
	place := func(i int) {
		placed[i] = true
		sequence = append(sequence, i)
	}
	for len(sequence) < len(needs) {
		before := len(sequence)
		for i := range needs {
			if !placed[i] && !slices.ContainsFunc(needs[i], open) {
				place(i)
			}
		}
		if len(sequence) > before || len(sequence) == len(needs) {
			continue
		}
		cycle := findCycle(needs, placed)
		candidates := slices.Clone(cycle)
		for i := range needs {
			if !placed[i] {
				candidates = append(candidates, i)
			}
		}
		first := slices.IndexFunc(candidates, func(i int) bool { return !slices.ContainsFunc(needs[i], mustWait) })
		place(candidates[max(first, 0)])
	}
	return sequence
}

// findCycle returns the members of a cycle of those that are not placed, each of which waits for another.
func findCycle(needs [][]link, placed []bool) []int {
	var path []int
	seen := map[int]int{}
	for at := slices.Index(placed, false); ; {
		if from, ok := seen[at]; ok {
			path = path[from:]
			slices.Sort(path)
			return path
		}
		seen[at] = len(path)
		path = append(path, at)
		next := slices.IndexFunc(needs[at], func(n link) bool { return !placed[n.index] })
		at = needs[at][next].index
	}
}
