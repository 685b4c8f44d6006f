package api

import (
	"fmt"
	"net/url"
	"strconv"

	"longshore/pkg/fault"
)

// query takes the parameters of a query one by one and gathers the faults. Every parameter is
// optional, and unknown ones are ignored.
type query struct {
	values url.Values
	faults []fault.Detail
}

func (r *request) query() *query { return &query{values: r.URL.Query()} }

func (q *query) text(name string) string { return q.values.Get(name) }

// list takes a parameter that may be repeated; empty values count as absent.
func (q *query) list(name string) []string {
	var list []string
	for _, v := range q.values[name] {
		if v != "" {
			list = append(list, v)
		}
	}
	return list
}

// flag takes a boolean; anything but true and false counts as absent.
func (q *query) flag(name string) *bool {
	switch q.values.Get(name) {
	case "true":
		value := true
		return &value
	case "false":
		value := false
		return &value
	}
	return nil
}

// trial takes a flag that asks to change nothing. One that is not understood is a fault where others count as
// absent: the change would be made that was only to be tried.
func (q *query) trial(name string) bool {
	value := q.flag(name)
	if value == nil && q.values.Has(name) {
		q.fault(name, "must be true or false")
	}
	return value != nil && *value
}

// number takes a whole number between least and most.
func (q *query) number(name string, absent, least, most int) int {
	if !q.values.Has(name) {
		return absent
	}
	n, err := strconv.Atoi(q.values.Get(name))
	if err != nil || n < least || n > most {
		q.fault(name, "must be a whole number from %d to %d", least, most)
	}
	return n
}

func (q *query) fault(name, format string, args ...any) {
	q.faults = append(q.faults, fault.Detail{Path: name, Message: fmt.Sprintf(format, args...)})
}

func (q *query) done() error { return fault.InvalidDetails(q.faults) }
