package catalog

import (
	"slices"
	"strings"
	"time"

	"longshore/pkg/jqtemplate"
)

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
