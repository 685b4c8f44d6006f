// Package secret keeps secrets from being seen: a value that hides itself, sealing for what is stored,
// and a mask for what others echo.
//
// It promises that a Text shows its value to nobody but Reveal, that what was sealed is opened only
// under the same key and in the same context, unchanged, and that no error names a value.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Hidden stands for a secret wherever one is shown.
const Hidden = "******"

// Text is a secret value. Whatever formats, encodes or logs it writes Hidden; the zero value is the
// empty secret.
type Text struct {
	// value is a pointer: what cannot call the methods of an unexported field, as fmt cannot, prints an
	// address.
	value *string
}

var (
	_ fmt.Formatter  = Text{}
	_ slog.LogValuer = Text{}
)

// NewText hides a value.
func NewText(value string) Text { return Text{&value} }

// Reveal returns the value.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Equal reports whether both hide the same value, in a time that does not tell where they differ.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Hidden.
func (Text) String() string { return Hidden }

// Format implements fmt.Formatter for every verb and flag.
func (Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Hidden)) }

// MarshalText writes Hidden; encoders of JSON, XML and YAML use it.
func (Text) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// GobEncode writes Hidden.
func (Text) GobEncode() ([]byte, error) { return []byte(Hidden), nil }

// LogValue implements slog.LogValuer.
func (Text) LogValue() slog.Value { return slog.StringValue(Hidden) }
