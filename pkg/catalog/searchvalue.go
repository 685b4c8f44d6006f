package catalog

import (
	"fmt"
	"math"
	"slices"
	"strings"
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
	if len(trial.faults.details) > 0 {
		o = operand{kind: kindUnusable}
	}
	return []operand{o}
}

func (p *searchParser) operand(op *operator, v any, path string) operand {
	if op.values == orderedValues {
		o, _ := plainOperand(v)
		if o.kind != kindNumber && !o.isTime {
			p.faults.add(path, "must be a number or a date-time of RFC 3339, such as 2026-01-31T09:30:00Z")
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
		p.faults.add(path, "must be an object with from and to, or with preset")
	case textListValues:
		p.faults.add(path, "must be a string or an array of strings")
	default:
		p.faults.add(path, "must be null, a string, a number, a boolean or an array of such")
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
			p.faults.add(fmt.Sprintf("%s[%d]", path, i), "must be a string")
		case !ok || items[i].kind == kindNull:
			p.faults.add(fmt.Sprintf("%s[%d]", path, i), "must be a string, a number or a boolean")
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
			p.faults.add(member(path, "preset"), "must be one of %s", presetNames)
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
			p.faults.add(member(path, end.name), "is required")
		} else if *end.time, ok = dateTime(text); !ok {
			p.faults.add(member(path, end.name), "must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z")
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

// comparison is a rule that compares something of an entity, or of the caller, with a value.
type comparison struct {
	operator *operator
	// What is compared is the one of these that is set.
	field    field
	property string
	relation string
	schema   *schemaPattern
	caller   *ContextProperty
	// title compares the titles of the relation's targets in place of their identifiers.
	title bool
	// operands are what it is compared with; one of them suffices.
	operands []operand
	// template and value make the operands later.
	template     *valueTemplate
	value        *ContextProperty
	callerValues []any
	// bound is set when callerValues are known.
	bound bool
}

// pending tells whether something is still to be rendered or bound.
func (c *comparison) pending() bool {
	return c.template != nil || c.value != nil || c.caller != nil && !c.bound
}

func (c *comparison) matches(s *Subject, now time.Time) bool {
	if c.pending() {
		return false
	}
	return c.holds(s, now) != c.operator.negated
}

// holds tells whether the rule matches, its negation aside.
func (c *comparison) holds(s *Subject, now time.Time) bool {
	switch {
	case c.field != noField:
		l := s.builtIn(c.field)
		return c.test(&l, now)
	case c.schema != nil:
		for name, schema := range s.Schema.All() {
			if c.schema.describes(schema) {
				v, _ := s.Properties.Get(name)
				l := leftOf(v)
				if c.test(&l, now) {
					return true
				}
			}
		}
		return false
	case c.relation != "":
		l := s.related(c.relation, c.title)
		return c.test(&l, now)
	case c.caller != nil:
		for _, v := range c.callerValues {
			l := leftOf(v)
			if c.test(&l, now) {
				return true
			}
		}
		return false
	default:
		v, _ := s.Properties.Get(c.property)
		l := leftOf(v)
		return c.test(&l, now)
	}
}

// restricts returns the only values of a field that an entity which matches can have.
func (c *comparison) restricts(f field) (map[string]bool, bool) {
	if c.field != f || c.operator.negated || c.pending() {
		return nil, false
	}
	switch c.operator.test {
	case testEqual, testIn, testMatchAny:
	default:
		return nil, false
	}
	set := map[string]bool{}
	add := func(o *operand) {
		if o.kind == kindText {
			set[o.text] = true
		}
	}
	for i := range c.operands {
		o := &c.operands[i]
		add(o)
		if c.operator.test != testEqual {
			for j := range o.items {
				add(&o.items[j])
			}
		}
	}
	return set, true
}

// left is what a rule compares: the value on the left of its operator.
type left struct {
	kind   kind
	text   string
	number float64
	bool   bool
	time   time.Time
	// list or texts are the elements of a list.
	list  []any
	texts []string
	// size is the number of members of an object.
	size int
	// plain text is never a date-time.
	plain bool
}

func leftOf(v any) left {
	switch v := v.(type) {
	case string:
		return left{kind: kindText, text: v}
	case float64:
		return left{kind: kindNumber, number: v}
	case bool:
		return left{kind: kindBool, bool: v}
	case []any:
		return left{kind: kindList, list: v}
	case *jqtemplate.Object:
		return left{kind: kindObject, size: v.Len()}
	}
	return left{}
}

func plainText(s string) left {
	if s == "" {
		return left{}
	}
	return left{kind: kindText, text: s, plain: true}
}

func timeOf(t time.Time) left {
	if t.IsZero() {
		return left{}
	}
	return left{kind: kindTime, time: t}
}

func (s *Subject) builtIn(f field) left {
	switch f {
	case fieldIdentifier:
		return plainText(s.Key.Identifier)
	case fieldBlueprint:
		return plainText(s.Blueprint)
	case fieldTitle, fieldIcon:
		v := s.Title
		if f == fieldIcon {
			v = s.Icon
		}
		l := leftOf(v)
		l.plain = true
		return l
	case fieldTeam:
		return left{kind: kindList, texts: s.Team, plain: true}
	case fieldOwnedByTeam:
		return left{kind: kindList, texts: s.OwnedByTeam, plain: true}
	case fieldCreatedAt:
		return timeOf(s.CreatedAt)
	case fieldUpdatedAt:
		return timeOf(s.UpdatedAt)
	case fieldCreatedBy:
		return plainText(s.CreatedBy)
	case fieldUpdatedBy:
		return plainText(s.UpdatedBy)
	}
	return left{}
}

func (s *Subject) related(relation string, title bool) left {
	v, _ := s.Relations.Get(relation)
	l := leftOf(v)
	l.plain = true
	if !title {
		return l
	}
	titleOf := s.RelatedTitle
	if titleOf == nil {
		titleOf = func(string, string) string { return "" }
	}
	switch l.kind {
	case kindText:
		return plainText(titleOf(relation, l.text))
	case kindList:
		texts := make([]string, 0, len(l.list))
		for _, e := range l.list {
			if id, ok := e.(string); ok {
				texts = append(texts, titleOf(relation, id))
			}
		}
		return left{kind: kindList, texts: texts, plain: true}
	}
	return left{}
}

func (l *left) len() int { return len(l.list) + len(l.texts) }

func (l *left) at(i int) left {
	if l.texts != nil {
		return left{kind: kindText, text: l.texts[i], plain: l.plain}
	}
	e := leftOf(l.list[i])
	e.plain = l.plain
	return e
}

func (l *left) instant() (time.Time, bool) {
	switch {
	case l.kind == kindTime:
		return l.time, true
	case l.kind == kindText && !l.plain:
		return dateTime(l.text)
	}
	return time.Time{}, false
}

// test tells whether the operator's test holds for one of the operands.
func (c *comparison) test(l *left, now time.Time) bool {
	for i := range c.operands {
		if c.operator.test.holds(l, &c.operands[i], now) {
			return true
		}
	}
	return false
}

func (t test) holds(l *left, o *operand, now time.Time) bool {
	if o.kind == kindUnusable {
		return false
	}
	switch t {
	case testEqual:
		switch o.kind {
		case kindList:
			return l.sameSet(o)
		case kindRange:
			within, ok := l.within(o, now)
			return ok && within
		}
		return l.equals(o)
	case testContains:
		return l.contains(o)
	case testContainsAny:
		return l.kind == kindText && slices.ContainsFunc(o.items, func(o operand) bool { return l.contains(&o) }) ||
			l.kind == kindList && l.hasOneOf(o)
	case testBegins:
		return l.affix(o, strings.HasPrefix)
	case testEnds:
		return l.affix(o, strings.HasSuffix)
	case testIn, testMatchAny:
		return l.kind != kindNull && l.isOneOf(o) || l.kind == kindList && l.hasOneOf(o)
	case testMore:
		c, ok := l.compare(o)
		return ok && c > 0
	case testMoreOrEqual:
		c, ok := l.compare(o)
		return ok && c >= 0
	case testLess:
		c, ok := l.compare(o)
		return ok && c < 0
	case testLessOrEqual:
		c, ok := l.compare(o)
		return ok && c <= 0
	case testBetween:
		within, ok := l.within(o, now)
		return ok && within
	case testNotBetween:
		within, ok := l.within(o, now)
		return ok && !within
	case testEmpty:
		return l.kind == kindNull || l.kind == kindText && l.text == "" || l.kind == kindList && l.len() == 0 || l.kind == kindObject && l.size == 0
	case testExpired:
		at, ok := l.instant()
		return ok && !at.After(now)
	case testNotExpired:
		at, ok := l.instant()
		return ok && at.After(now)
	}
	return false
}

// equals compares with a plain value.
func (l *left) equals(o *operand) bool {
	switch l.kind {
	case kindNull:
		return o.kind == kindNull
	case kindText:
		if o.kind != kindText {
			return false
		}
		if l.text == o.text {
			return true
		}
		if !o.isTime {
			return false
		}
		at, ok := l.instant()
		return ok && at.Equal(o.time)
	case kindNumber:
		return o.kind == kindNumber && l.number == o.number
	case kindBool:
		return o.kind == kindBool && boolScalar(l.bool) == o.scalar
	case kindTime:
		return o.isTime && l.time.Equal(o.time)
	}
	return false
}

// isOneOf looks a plain value up among a list's.
func (l *left) isOneOf(o *operand) bool {
	_, ok := o.place(l)
	return ok
}

// hasOneOf tells whether an element of a list is among another's.
func (l *left) hasOneOf(o *operand) bool {
	for i := range l.len() {
		if e := l.at(i); e.isOneOf(o) {
			return true
		}
	}
	return false
}

// sameSet tells whether two lists have the same elements, however often and in whatever order.
func (l *left) sameSet(o *operand) bool {
	if l.kind != kindList {
		return false
	}
	all, only := l.covers(o)
	return all && only
}

// covers tells whether a list has all values of another, and only those.
func (l *left) covers(o *operand) (all, only bool) {
	// The values of a rule are bounded; those of a caller's property may be more.
	var room [MaxSearchValues/64 + 1]uint64
	distinct := o.distinct(l)
	seen := room[:]
	if distinct > MaxSearchValues {
		seen = make([]uint64, distinct/64+1)
	}
	found, only := 0, true
	for i := range l.len() {
		e := l.at(i)
		place, ok := o.place(&e)
		switch {
		case !ok:
			only = false
		case seen[place/64]&(1<<(place%64)) == 0:
			seen[place/64] |= 1 << (place % 64)
			found++
		}
	}
	return found == distinct, only
}

// contains tells whether text has a text in it, or a list an element; of a list of values, all.
func (l *left) contains(o *operand) bool {
	switch {
	case o.kind == kindNull:
		return false
	case o.kind == kindList && l.kind == kindList:
		all, _ := l.covers(o)
		return all
	case o.kind == kindList:
		return l.kind == kindText && !slices.ContainsFunc(o.items, func(o operand) bool { return !l.contains(&o) })
	case l.kind == kindText:
		return o.kind == kindText && strings.Contains(l.text, o.text)
	case l.kind == kindList:
		for i := range l.len() {
			if e := l.at(i); e.equals(o) {
				return true
			}
		}
	}
	return false
}

func (l *left) affix(o *operand, has func(s, affix string) bool) bool {
	if l.kind != kindText {
		return false
	}
	if o.kind == kindText {
		return has(l.text, o.text)
	}
	for i := range o.items {
		if o.items[i].kind == kindText && has(l.text, o.items[i].text) {
			return true
		}
	}
	return false
}

// compare orders two numbers or two date-times.
func (l *left) compare(o *operand) (int, bool) {
	if l.kind == kindNumber && o.kind == kindNumber {
		switch {
		case l.number < o.number:
			return -1, true
		case l.number > o.number:
			return 1, true
		}
		return 0, true
	}
	if !o.isTime {
		return 0, false
	}
	at, ok := l.instant()
	if !ok {
		return 0, false
	}
	return at.Compare(o.time), true
}

// within tells whether a date-time lies in a range; ok is false when it is none.
func (l *left) within(o *operand, now time.Time) (within, ok bool) {
	if o.kind != kindRange {
		return false, false
	}
	at, ok := l.instant()
	if !ok {
		return false, false
	}
	from, to := o.from, o.to
	if o.preset != nil {
		from, to = o.preset(now)
	}
	return !at.Before(from) && !at.After(to), true
}
