package jqtemplate

import "longshore/pkg/jqtemplate/value"

// MaxDepth is how deep arrays and objects may nest; see value.MaxDepth.
const MaxDepth = value.MaxDepth

// Object is a JSON object that keeps the order of its members.
type Object = value.Object

// Decode reads one JSON value and nothing behind it; see value.Decode.
func Decode(text []byte) (any, error) { return value.Decode(text) }

// Encode writes a value as JavaScript's JSON.stringify would; see value.Encode.
func Encode(v any) []byte { return value.Encode(v) }

// EncodeString is Encode for who needs the text as a string.
func EncodeString(v any) string { return value.EncodeString(v) }
