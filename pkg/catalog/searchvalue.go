package catalog

import (
	"fmt"
	"math"
	"slices"
	"time"

	"longshore/pkg/jqtemplate"
)

// field is a built-in property of an entity.
type field uint8

const (
	noField field = iota
	fieldIdentifier
	fieldTitle
	fieldBlueprint
	fieldTeam
	fieldOwnedByTeam
	fieldIcon
	fieldCreatedAt
	fieldUpdatedAt
	fieldCreatedBy
	fieldUpdatedBy
)

const fieldNames = "$identifier, $title, $blueprint, $team, $owned_by_team, $icon, $createdAt, $updatedAt, $createdBy, $updatedBy"

var fields = map[string]field{
	"$identifier":    fieldIdentifier,
	"$title":         fieldTitle,
	"$blueprint":     fieldBlueprint,
	"$team":          fieldTeam,
	"$owned_by_team": fieldOwnedByTeam,
	"$icon":          fieldIcon,
	"$createdAt":     fieldCreatedAt,
	"$updatedAt":     fieldUpdatedAt,
	"$createdBy":     fieldCreatedBy,
	"$updatedBy":     fieldUpdatedBy,
}

// test is what an operator, or the one that it negates, asks of a value.
type test uint8

const (
	testEqual test = iota
	testContains
	testContainsAny
	testBegins
	testEnds
	testIn
	testMatchAny
	testMore
	testMoreOrEqual
	testLess
	testLessOrEqual
	testBetween
	testNotBetween
	testEmpty
	testExpired
	testNotExpired
)

// valueKind is what an operator's value must be.
type valueKind uint8

const (
	// textValues are null, one plain value or a list of them.
	textValues valueKind = iota
	// orderedValues are a number or a date-time.
	orderedValues
	// rangeValues are {from, to} or {preset}.
	rangeValues
	// textListValues are text or a list of it.
	textListValues
	noValue
)

type operator struct {
	name    string
	test    test
	negated bool
	values  valueKind
}

var relatedToOperator = &operator{name: "relatedTo"}

const operatorNames = "=, !=, >, >=, <, <=, isEmpty, isNotEmpty, between, notBetween, contains, doesNotContains, containsAny, " +
	"beginsWith, doesNotBeginsWith, endsWith, doesNotEndsWith, in, notIn, matchAny, isExpired, isNotExpired, relatedTo"

var operators = map[string]*operator{
	"=":                 {"=", testEqual, false, textValues},
	"!=":                {"!=", testEqual, true, textValues},
	">":                 {">", testMore, false, orderedValues},
	">=":                {">=", testMoreOrEqual, false, orderedValues},
	"<":                 {"<", testLess, false, orderedValues},
	"<=":                {"<=", testLessOrEqual, false, orderedValues},
	"isEmpty":           {"isEmpty", testEmpty, false, noValue},
	"isNotEmpty":        {"isNotEmpty", testEmpty, true, noValue},
	"between":           {"between", testBetween, false, rangeValues},
	"notBetween":        {"notBetween", testNotBetween, false, rangeValues},
	"contains":          {"contains", testContains, false, textValues},
	"doesNotContains":   {"doesNotContains", testContains, true, textValues},
	"containsAny":       {"containsAny", testContainsAny, false, textValues},
	"beginsWith":        {"beginsWith", testBegins, false, textValues},
	"doesNotBeginsWith": {"doesNotBeginsWith", testBegins, true, textValues},
	"endsWith":          {"endsWith", testEnds, false, textValues},
	"doesNotEndsWith":   {"doesNotEndsWith", testEnds, true, textValues},
	"in":                {"in", testIn, false, textValues},
	"notIn":             {"notIn", testIn, true, textValues},
	"matchAny":          {"matchAny", testMatchAny, false, textListValues},
	"isExpired":         {"isExpired", testExpired, false, noValue},
	"isNotExpired":      {"isNotExpired", testNotExpired, false, noValue},
	"relatedTo":         relatedToOperator,
}

// presets are the names of ranges that move with the clock.
var presets = map[string]func(now time.Time) (from, to time.Time){
	"today":        day(0),
	"tomorrow":     day(1),
	"yesterday":    day(-1),
	"lastDay":      last(0, 1),
	"lastWeek":     last(0, 7),
	"last2Weeks":   last(0, 14),
	"lastMonth":    last(1, 0),
	"last3Months":  last(3, 0),
	"last6Months":  last(6, 0),
	"last12Months": last(12, 0),
}

const presetNames = "today, tomorrow, yesterday, lastDay, lastWeek, last2Weeks, lastMonth, last3Months, last6Months, last12Months"

// day is a whole UTC day.
func day(offset int) func(time.Time) (time.Time, time.Time) {
	return func(now time.Time) (time.Time, time.Time) {
		year, month, d := now.UTC().Date()
		from := time.Date(year, month, d+offset, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 0, 1).Add(-1)
	}
}

// last is the time before now. A month back from a day that the month before does not have is that
// month's last day.
func last(months, days int) func(time.Time) (time.Time, time.Time) {
	return func(now time.Time) (time.Time, time.Time) {
		from := now.UTC().AddDate(0, -months, -days)
		if months > 0 && from.Day() != now.UTC().Day() {
			from = from.AddDate(0, 0, -from.Day())
		}
		return from, now
	}
}

// kind is the kind of a value that a search compares.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindBool
	kindTime
	kindList
	kindObject
	kindRange
	// kindUnusable matches nothing.
	kindUnusable
)

// scalar is a plain value, in a form that can be the key of a map: equal values have equal keys.
type scalar struct {
	kind kind
	text string
	// bits are a number's, 1 for true, or a time's seconds; nanos are a time's.
	bits  uint64
	nanos int32
}

func timeScalar(t time.Time) scalar {
	return scalar{kind: kindTime, bits: uint64(t.Unix()), nanos: int32(t.Nanosecond())}
}

// dateTime reads a date-time of RFC 3339. Most text is seen to be none without a call.
func dateTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > 40 || s[4] != '-' || s[7] != '-' || s[10] != 'T' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// operand is the value of a rule, compiled.
type operand struct {
	kind kind
	// scalar is the key of a plain value; text that is a date-time has a time's key.
	scalar scalar
	text   string
	number float64
	time   time.Time
	isTime bool
	// items are the values of a list. TextSet numbers the distinct ones by key, with date-times as
	// text; set has date-times as times, and is nil if there are none.
	items        []operand
	set, textSet map[scalar]int
	from, to     time.Time
	preset       func(time.Time) (time.Time, time.Time)
}

func plainOperand(v any) (operand, bool) {
	switch v := v.(type) {
	case nil:
		return operand{}, true
	case string:
		o := operand{kind: kindText, text: v, scalar: scalar{kind: kindText, text: v}}
		if o.time, o.isTime = dateTime(v); o.isTime {
			o.scalar = timeScalar(o.time)
		}
		return o, true
	case float64:
		return operand{kind: kindNumber, number: v, scalar: numberScalar(v)}, true
	case bool:
		return operand{kind: kindBool, scalar: boolScalar(v)}, true
	}
	return operand{kind: kindUnusable}, false
}

func numberScalar(v float64) scalar {
	return scalar{kind: kindNumber, bits: math.Float64bits(v + 0)} // -0 + 0 is 0.
}

func boolScalar(v bool) scalar {
	if v {
		return scalar{kind: kindBool, bits: 1}
	}
	return scalar{kind: kindBool}
}

func listOperand(items []operand) operand {
	o := operand{kind: kindList, items: items, textSet: make(map[scalar]int, len(items))}
	times := false
	for _, i := range items {
		if i.kind == kindUnusable {
			return i
		}
		times = times || i.isTime
		key := i.scalar
		if i.isTime {
			key = scalar{kind: kindText, text: i.text}
		}
		number(o.textSet, key)
	}
	if times {
		o.set = make(map[scalar]int, len(items))
		for _, i := range items {
			number(o.set, i.scalar)
		}
	}
	return o
}

// number gives a key the next number if it has none.
func number(set map[scalar]int, key scalar) {
	if _, ok := set[key]; !ok {
		set[key] = len(set)
	}
}

// distinct is how many different values a list has for l.
func (o *operand) distinct(l *left) int {
	if o.set == nil || l.plain {
		return len(o.textSet)
	}
	return len(o.set)
}

// place returns the number of a plain value among a list's, by which equal ones are one.
func (o *operand) place(l *left) (int, bool) {
	set := o.set
	if set == nil || l.plain {
		set = o.textSet
	}
	var key scalar
	switch l.kind {
	case kindNull:
	case kindText:
		key = scalar{kind: kindText, text: l.text}
		if o.set != nil {
			if at, ok := l.instant(); ok {
				key = timeScalar(at)
			}
		}
	case kindNumber:
		key = numberScalar(l.number)
	case kindBool:
		key = boolScalar(l.bool)
	case kindTime:
		key = timeScalar(l.time)
	default:
		return 0, false
	}
	place, ok := set[key]
	return place, ok
}

// operands compiles the one value that a rule was given. A list is one value too.
func (p *searchParser) operands(op *operator, v any, path string) []operand {
	if !p.AnyValue {
		return []operand{p.operand(op, v, path)}
	}
	// Too many values are a fault all the same.
	if list, ok := v.([]any); ok && !p.room(len(list), path) {
		return nil
	}
	trial := searchParser{SearchOptions: p.SearchOptions}
	o := trial.operand(op, v, path)
	if trial.faults.Any() {
		o = operand{kind: kindUnusable}
	}
	return []operand{o}
}

func (p *searchParser) operand(op *operator, v any, path string) operand {
	if op.values == orderedValues {
		o, _ := plainOperand(v)
		if o.kind != kindNumber && !o.isTime {
			p.faults.Add(path, "must be a number or a date-time of RFC 3339, such as 2026-01-31T09:30:00Z")
		}
		return o
	}
	switch v := v.(type) {
	case *jqtemplate.Object:
		if op.values == rangeValues || op.name == "=" {
			return p.dateRange(v, path)
		}
	case []any:
		if op.values == rangeValues {
			break
		}
		return p.list(op, v, path)
	default:
		_, isText := v.(string)
		if op.values == rangeValues || op.values == textListValues && !isText {
			break
		}
		o, _ := plainOperand(v)
		switch op.test {
		case testIn, testMatchAny, testContainsAny:
			o = listOperand([]operand{o})
		}
		return o
	}
	switch op.values {
	case rangeValues:
		p.faults.Add(path, "must be an object with from and to, or with preset")
	case textListValues:
		p.faults.Add(path, "must be a string or an array of strings")
	default:
		p.faults.Add(path, "must be null, a string, a number, a boolean or an array of such")
	}
	return operand{kind: kindUnusable}
}

func (p *searchParser) list(op *operator, v []any, path string) operand {
	if !p.room(len(v), path) {
		return operand{kind: kindUnusable}
	}
	items := make([]operand, len(v))
	for i, e := range v {
		var ok bool
		items[i], ok = plainOperand(e)
		switch {
		case op.values == textListValues && items[i].kind != kindText:
			p.faults.Add(fmt.Sprintf("%s[%d]", path, i), "must be a string")
		case !ok || items[i].kind == kindNull:
			p.faults.Add(fmt.Sprintf("%s[%d]", path, i), "must be a string, a number or a boolean")
		}
	}
	return listOperand(items)
}

func (p *searchParser) dateRange(o *jqtemplate.Object, path string) operand {
	if v, ok := o.Get("preset"); ok {
		p.members(o, path, "preset")
		name, _ := v.(string)
		preset := presets[name]
		if preset == nil {
			p.faults.Add(member(path, "preset"), "must be one of %s", presetNames)
		}
		return operand{kind: kindRange, preset: preset}
	}
	p.members(o, path, "from", "to")
	r := operand{kind: kindRange}
	for _, end := range []struct {
		name string
		time *time.Time
	}{{"from", &r.from}, {"to", &r.to}} {
		v, ok := o.Get(end.name)
		text, _ := v.(string)
		if !ok {
			p.faults.Add(member(path, end.name), "is required")
		} else if *end.time, ok = dateTime(text); !ok {
			p.faults.Add(member(path, end.name), "must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z")
		}
	}
	return r
}

// boundOperands compiles the values of a caller's property: one operand for each, of which one
// suffices. An operator that takes a list has all of them in one.
func boundOperands(op *operator, values []any) []operand {
	var flat []operand
	operands := make([]operand, 0, len(values))
	for _, v := range values {
		list, ok := v.([]any)
		if !ok {
			o, _ := plainOperand(v)
			operands, flat = append(operands, o), append(flat, o)
			continue
		}
		items := make([]operand, len(list))
		for i, e := range list {
			items[i], _ = plainOperand(e)
		}
		operands, flat = append(operands, listOperand(items)), append(flat, items...)
	}
	switch op.test {
	case testIn, testMatchAny, testContainsAny:
		flat = slices.DeleteFunc(flat, func(o operand) bool { return o.kind == kindUnusable })
		return []operand{listOperand(flat)}
	}
	return operands
}

// schemaPattern is what the schema of a property must be.
type schemaPattern struct {
	typ, format string
	items       *schemaPattern
}

// describes compares with a property's schema. A format that was not given is any.
func (p *schemaPattern) describes(schema any) bool {
	s, ok := schema.(*jqtemplate.Object)
	if !ok {
		return false
	}
	if v, _ := s.Get("type"); v != p.typ {
		return false
	}
	if p.format != "" {
		if v, _ := s.Get("format"); v != p.format {
			return false
		}
	}
	if p.items == nil {
		return true
	}
	items, _ := s.Get("items")
	return p.items.describes(items)
}
