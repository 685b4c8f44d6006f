package dynamostore

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"longshore/pkg/run"
)

// putSealed writes a sealed invocation and returns its sort key, as putBody does. It is kept as text:
// texts of any length are cut into items.
func (s *Runs) putSealed(ctx context.Context, id string, sealed, mark []byte, expires time.Time) (sk string, err error) {
	text := base64.StdEncoding.EncodeToString(sealed)
	won, err := s.table.PutText(ctx, id, sealedKey, text, mark, expires, "attribute_not_exists(pk)")
	if err != nil || won {
		return sealedKey, err
	}
	sk = otherSealed + hex.EncodeToString(mark)
	_, err = s.table.PutText(ctx, id, sk, text, nil, expires, "")
	return sk, err
}

// Sealed implements run.Store.
func (s *Runs) Sealed(ctx context.Context, id string) ([]byte, error) {
	if _, ok := run.IDTime(id); !ok {
		return nil, notFound(id)
	}
	h, err := s.table.Get(ctx, id, headKey)
	if err != nil {
		return nil, err
	}
	sk := namesOf(h).sealed
	if h == nil || h.Expired(s.now()) || sk == "" {
		return nil, notFound(id)
	}
	text, found, err := s.text(ctx, s.from(ctx, id), sk)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound(id)
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read the sealed invocation of %s: it is damaged", id)
	}
	return sealed, nil
}
