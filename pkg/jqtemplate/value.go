package jqtemplate

import "iter"

// A JSON value is one of nil, bool, float64, string, []any or *Object.

// Object is a JSON object that keeps the order of its members.
type Object struct {
	members []member
	index   map[string]int
}

type member struct {
	key   string
	value any
}

// Get returns a member's value and whether there is one.
func (o *Object) Get(key string) (any, bool) { panic("not implemented") }

// Set adds a member, or gives one that is there another value in its place.
func (o *Object) Set(key string, value any) { panic("not implemented") }

// Delete removes a member; the others keep their order.
func (o *Object) Delete(key string) { panic("not implemented") }

// Len returns the number of members. A nil Object has none.
func (o *Object) Len() int { panic("not implemented") }

// All yields the members in order.
func (o *Object) All() iter.Seq2[string, any] { panic("not implemented") }

// Decode reads one JSON value and nothing behind it. Of a repeated member the last value counts, at
// the first place. Numbers become doubles, as in JavaScript. It refuses invalid UTF-8, values nested
// deeper than MaxDepth, and answers a fault.Invalid that names the byte offset.
func Decode(text []byte) (any, error) { panic("not implemented") }

// Encode writes a value as JavaScript's JSON.stringify would: compact, no HTML or ASCII escaping,
// JavaScript's number text, integer-like keys first, ascending.
func Encode(v any) []byte { panic("not implemented") }
