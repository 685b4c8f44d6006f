// Package value is JSON as the templates see it: objects keep the order of their members, numbers are
// doubles that may carry their text. Its functions share nothing between calls.
package value

import (
	"iter"
	"slices"
)

// MaxDepth is how deep arrays and objects may nest, in what Decode reads and in what a rendering
// yields. Payloads of people nest a dozen levels; the bound keeps every recursion over a value, here
// and in its readers, far from the end of the stack.
const MaxDepth = 512

// A JSON value is one of nil, bool, float64, string, []any or *Object; inside an evaluation Number too.

// Object is a JSON object that keeps the order of its members. Its zero value is empty and ready;
// reading it from several goroutines is safe as long as nobody changes it.
type Object struct {
	members []Member
	// index is kept from indexFrom members on; scanning fewer is faster than hashing.
	index map[string]int
	// tail is set for objects that With made.
	tail *tail
}

// Member is one member of an Object.
type Member struct {
	Key   string
	Value any
}

const indexFrom = 16

func (o *Object) reindex() {
	o.index = nil
	if len(o.members) < indexFrom {
		return
	}
	o.index = make(map[string]int, len(o.members))
	for i, m := range o.members {
		o.index[m.Key] = i
	}
}

// find returns a Member's place, -1 when there is none.
func (o *Object) find(key string) int {
	if o == nil {
		return -1
	}
	if o.index != nil {
		// The index may be shared with objects that have more members (With).
		if i, ok := o.index[key]; ok && i < len(o.members) && o.members[i].Key == key {
			return i
		}
		return -1
	}
	for i := range o.members {
		if o.members[i].Key == key {
			return i
		}
	}
	return -1
}

// Get returns a Member's value and whether there is one.
func (o *Object) Get(key string) (any, bool) {
	i := o.find(key)
	if i < 0 {
		return nil, false
	}
	return o.members[i].Value, true
}

// Set adds a Member, or gives one that is there another value in its place.
func (o *Object) Set(key string, value any) {
	if i := o.find(key); i >= 0 {
		o.members[i].Value = value
		return
	}
	o.members = append(o.members, Member{key, value})
	if o.index != nil {
		o.index[key] = len(o.members) - 1
	} else {
		o.reindex()
	}
}

// Delete removes a Member; the others keep their order.
func (o *Object) Delete(key string) {
	if i := o.find(key); i >= 0 {
		o.members = slices.Delete(o.members, i, i+1)
		o.reindex()
	}
}

// Len returns the number of members. A nil Object has none.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.members)
}

// All yields the members in order.
func (o *Object) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if o == nil {
			return
		}
		for _, m := range o.members {
			if !yield(m.Key, m.Value) {
				return
			}
		}
	}
}

// arrayIndex returns the number that a key stands for, if JavaScript orders it as an array index: a
// decimal without leading zeros, at most 2^32 - 2 (ECMA-262, section 6.1.7).
func arrayIndex(key string) (uint32, bool) {
	if key == "" || len(key) > 10 || key[0] == '0' && len(key) > 1 {
		return 0, false
	}
	var n uint64
	for i := range len(key) {
		if key[i] < '0' || key[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(key[i]-'0')
	}
	if n >= 1<<32-1 {
		return 0, false
	}
	return uint32(n), true
}

// Ordered returns the members as JavaScript enumerates them: array indices first, ascending, then
// the others in their order.
func (o *Object) Ordered() []Member {
	if o == nil {
		return nil
	}
	members := o.members
	for i := range members {
		if _, ok := arrayIndex(members[i].Key); ok {
			members = slices.Clone(members)
			slices.SortStableFunc(members, func(a, b Member) int {
				i, numeric := arrayIndex(a.Key)
				j, other := arrayIndex(b.Key)
				switch {
				case numeric && other:
					return int(int64(i) - int64(j))
				case numeric:
					return -1
				case other:
					return 1
				}
				return 0
			})
			break
		}
	}
	return members
}

// Members returns the members in order; they must not be changed.
func (o *Object) Members() []Member {
	if o == nil {
		return nil
	}
	return o.members
}

// Grow makes room for n more members.
func (o *Object) Grow(n int) { o.members = slices.Grow(o.members, n) }

// tail is what objects that were grown from one another share: whose they are, and how many members
// the longest of them has. Only the longest may grow in place.
type tail struct {
	owner any
	top   int
}

// With returns the object with one member set, leaving o as it is. Objects that one owner grows share
// their memory, so that adding members one by one takes linear time; an owner is one goroutine's. The
// second result is how many members were copied.
func (o *Object) With(owner any, key string, v any) (*Object, int) {
	n := o.Len()
	at := o.find(key)
	if at < 0 && n > 0 && o.tail != nil && o.tail.owner == owner && o.tail.top == n && n < cap(o.members) {
		out := &Object{members: append(o.members, Member{key, v}), index: o.index, tail: o.tail}
		o.tail.top++
		out.indexLast()
		return out, 1
	}
	room := n
	if at < 0 {
		room += 1 + n/2
	}
	members := append(make([]Member, 0, room), o.Members()...)
	if at >= 0 {
		members[at].Value = v
		out := &Object{members: members, tail: &tail{owner, n}}
		if o.tail != nil && o.tail.owner == owner {
			out.index = o.index
		} else {
			out.reindex()
		}
		return out, n
	}
	out := &Object{members: append(members, Member{key, v}), tail: &tail{owner, n + 1}}
	if o != nil && o.tail != nil && o.tail.owner == owner && o.index != nil {
		out.index = o.index
		out.indexLast()
	} else {
		out.reindex()
	}
	return out, n
}

// indexLast enters the last member into the index, which others may share: one that has the name
// already belongs to another object.
func (o *Object) indexLast() {
	if o.index == nil {
		o.reindex()
		return
	}
	last := len(o.members) - 1
	if _, taken := o.index[o.members[last].Key]; taken {
		o.reindex()
		return
	}
	o.index[o.members[last].Key] = last
}

// Without returns the object without some members, leaving o as it is.
func (o *Object) Without(drop func(key string) bool) *Object {
	out := &Object{members: make([]Member, 0, o.Len())}
	for _, m := range o.Members() {
		if !drop(m.Key) {
			out.members = append(out.members, m)
		}
	}
	out.reindex()
	return out
}
