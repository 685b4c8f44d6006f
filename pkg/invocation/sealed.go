package invocation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"longshore/pkg/secret"
)

// sealed is what a run with secrets keeps sealed: the invocation as it is sent, and what is to be
// hidden in whatever comes back.
type sealed struct {
	V          int         `json:"v"`
	Invocation *Invocation `json:"invocation"`
	Values     []string    `json:"values,omitempty"`
}

// Seal seals the invocation of a run. Values are what no answer of its target may be stored with.
func Seal(ctx context.Context, s *secret.Sealer, runID string, i *Invocation, values []string) ([]byte, error) {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(sealed{Version, i, values}); err != nil {
		return nil, fmt.Errorf("encode the invocation to seal: %w", err)
	}
	return s.Seal(ctx, "invocation "+runID, plain.Bytes())
}

// Open returns what Seal sealed for the run, and the mask of its values. The errors are those of
// secret.Sealer.Open; none quotes what was sealed.
func Open(ctx context.Context, s *secret.Sealer, runID string, text []byte) (*Invocation, *secret.Mask, error) {
	plain, err := s.Open(ctx, "invocation "+runID, text)
	if err != nil {
		return nil, nil, err
	}
	var opened sealed
	// The cause may quote what was sealed.
	if json.Unmarshal(plain, &opened) != nil || opened.Invocation == nil {
		return nil, nil, fmt.Errorf("decode the sealed invocation of %s: it is not what this program writes", runID)
	}
	if opened.V < 1 || opened.V > Version {
		return nil, nil, fmt.Errorf("decode the sealed invocation of %s: version %d, this code reads 1 to %d", runID, opened.V, Version)
	}
	return opened.Invocation, secret.NewMask(opened.Values), nil
}
