package trigger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// reservation is the claim of a request's idempotency key, for the run of that id. The hash of its body
// is keyed: what is in it may be a secret that a list of words would tell.
func (t *Trigger) reservation(q Request, entry *action.Entry, id string, now time.Time) run.Reservation {
	return run.Reservation{
		Key:   digest([]any{q.Caller.OrgID, q.Caller.ID, entry.Record.ID, q.IdempotencyKey}),
		RunID: id,
		BodyHash: t.keyedDigest(object(member{"properties", given(q)}, member{"entity", q.Entity},
			member{"run_as", q.RunAs})),
		Until:   now.Add(run.ReserveFor),
		Expires: now.Add(run.KeyLifetime),
	}
}

// digest hashes a JSON value; the order of members does not count.
func digest(value any) string {
	sum := sha256.Sum256(jqtemplate.Encode(canonical(value)))
	return hex.EncodeToString(sum[:])
}

// keyedDigest is digest for whoever has the key.
func (t *Trigger) keyedDigest(value any) string {
	h := hmac.New(sha256.New, t.hashKey)
	h.Write(jqtemplate.Encode(canonical(value)))
	return hex.EncodeToString(h.Sum(nil))
}

// hashKey derives the key of hashes from one that has another use too.
func hashKey(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("longshore idempotency key v1"))
	return h.Sum(nil)
}

// canonical returns the value with the members of every object in the order of their keys.
func canonical(value any) any {
	switch v := value.(type) {
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = canonical(v[i])
		}
		return items
	case *jqtemplate.Object:
		keys := make([]string, 0, v.Len())
		for key := range v.All() {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		sorted := new(jqtemplate.Object)
		for _, key := range keys {
			item, _ := v.Get(key)
			sorted.Set(key, canonical(item))
		}
		return sorted
	}
	return value
}

// given are the user inputs as they were sent.
func given(q Request) *jqtemplate.Object {
	if q.Properties == nil {
		return new(jqtemplate.Object)
	}
	return q.Properties
}

// earlier answers a request whose key is known, before anything else about it is checked: the action
// may have changed since the first one. It returns nil when the key is free, or may be taken over.
func (t *Trigger) earlier(ctx context.Context, q Request, entry *action.Entry, now time.Time) (*Started, error) {
	held, found, err := t.Runs.Reserved(ctx, t.reservation(q, entry, "", now).Key, now)
	if err != nil {
		return nil, notRecorded(err)
	}
	if !found {
		return nil, nil
	}
	if held.Until.Before(now) {
		if _, err := t.Runs.Read(ctx, held.RunID); fault.KindOf(err) == fault.NotFound {
			return nil, nil
		}
	}
	return t.replay(ctx, q, entry, held)
}

// replay answers a request whose key is held by another one.
func (t *Trigger) replay(ctx context.Context, q Request, entry *action.Entry, held run.Reservation) (*Started, error) {
	if held.BodyHash != t.reservation(q, entry, held.RunID, time.Time{}).BodyHash {
		return nil, keyReused()
	}
	record, err := t.Runs.Read(ctx, held.RunID)
	if fault.KindOf(err) == fault.NotFound {
		return nil, &fault.Error{
			Kind: fault.Conflict, Code: "request_in_progress", Retryable: true, RetryAfter: retryAfter,
			Message: "the first request with this Idempotency-Key is still being recorded",
		}
	}
	if err != nil {
		return nil, err
	}
	return &Started{Record: record, Replayed: true}, nil
}

// overtaken answers a request that held its key while an earlier holder, taken for dead, recorded
// the run after all. The earlier one may have asked for something else.
func (t *Trigger) overtaken(ctx context.Context, c *checked, p *plan) (*Started, error) {
	record, err := t.Runs.Read(ctx, p.run.ID)
	if err != nil {
		return nil, notRecorded(err)
	}
	same, err := t.sameInputs(c, record.Properties)
	if err != nil || !same || record.Action.ID != p.run.Action.ID || record.Entity != p.run.Entity || record.UserID != p.run.UserID {
		return nil, keyReused()
	}
	return &Started{Record: record, Replayed: true}, nil
}

func keyReused() error {
	return fault.New(fault.Invalid, "idempotency_key_reused",
		"this Idempotency-Key was used for a request with another body in the last 24 hours")
}
