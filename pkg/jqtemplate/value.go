package jqtemplate

import (
	"iter"
	"slices"
)

// MaxDepth is how deep arrays and objects may nest, in what Decode reads and in what a rendering
// yields. Payloads of people nest a dozen levels; the bound keeps every recursion over a value, here
// and in its readers, far from the end of the stack.
const MaxDepth = 512

// A JSON value is one of nil, bool, float64, string, []any or *Object.

// Object is a JSON object that keeps the order of its members. Its zero value is empty and ready;
// reading it from several goroutines is safe as long as nobody changes it.
type Object struct {
	members []member
	// index is kept from indexFrom members on; scanning fewer is faster than hashing.
	index map[string]int
}

type member struct {
	key   string
	value any
}

const indexFrom = 16

func (o *Object) reindex() {
	o.index = nil
	if len(o.members) < indexFrom {
		return
	}
	o.index = make(map[string]int, len(o.members))
	for i, m := range o.members {
		o.index[m.key] = i
	}
}

// find returns a member's place, -1 when there is none.
func (o *Object) find(key string) int {
	if o == nil {
		return -1
	}
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	for i := range o.members {
		if o.members[i].key == key {
			return i
		}
	}
	return -1
}

// Get returns a member's value and whether there is one.
func (o *Object) Get(key string) (any, bool) {
	i := o.find(key)
	if i < 0 {
		return nil, false
	}
	return o.members[i].value, true
}

// Set adds a member, or gives one that is there another value in its place.
func (o *Object) Set(key string, value any) {
	if i := o.find(key); i >= 0 {
		o.members[i].value = value
		return
	}
	o.members = append(o.members, member{key, value})
	if o.index != nil {
		o.index[key] = len(o.members) - 1
	} else {
		o.reindex()
	}
}

// Delete removes a member; the others keep their order.
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
			if !yield(m.key, m.value) {
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

// ordered returns the members as JavaScript enumerates them: array indices first, ascending, then
// the others in their order.
func (o *Object) ordered() []member {
	if o == nil {
		return nil
	}
	members := o.members
	for i := range members {
		if _, ok := arrayIndex(members[i].key); ok {
			members = slices.Clone(members)
			slices.SortStableFunc(members, func(a, b member) int {
				i, numeric := arrayIndex(a.key)
				j, other := arrayIndex(b.key)
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
