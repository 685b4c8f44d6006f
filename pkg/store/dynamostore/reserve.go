package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	reservationPrefix = "idem#"
	reservationKey    = "idem"
)

// Reserved implements run.Store.
func (s *Runs) Reserved(ctx context.Context, key string, now time.Time) (run.Reservation, bool, error) {
	i, err := s.table.Get(ctx, reservationPrefix+table.KeyPart(key), reservationKey)
	if err != nil || i == nil {
		return run.Reservation{}, false, err
	}
	held := reservationOf(key, i)
	if !held.Expires.After(now) {
		return run.Reservation{}, false, nil
	}
	return held, true, nil
}

// Reserve implements run.Store.
func (s *Runs) Reserve(ctx context.Context, want run.Reservation, now time.Time) (held run.Reservation, won bool, err error) {
	const free = "attribute_not_exists(pk) OR expires <= :now"
	condition, values := free, map[string]types.AttributeValue{":now": table.Number(now.UnixMilli())}
	for try := range table.MaxTries {
		i := reservationItem(want)
		old, won, err := s.table.Put(ctx, i, condition, values)
		switch {
		case err != nil:
			return run.Reservation{}, false, err
		case won:
			return reservationOf(want.Key, i), true, nil
		}
		if old == nil {
			// It vanished between the condition and now.
			condition, values = free, map[string]types.AttributeValue{":now": table.Number(now.UnixMilli())}
		} else {
			held = reservationOf(want.Key, old)
			if !held.Until.Before(now) {
				return held, false, nil
			}
			head, err := s.table.Get(ctx, held.RunID, headKey)
			if err != nil {
				return run.Reservation{}, false, err
			}
			if head != nil {
				return held, false, nil
			}
			// Whoever takes it over changes its mark.
			want.RunID = held.RunID
			condition, values = "mark = :mark", map[string]types.AttributeValue{":mark": old["mark"]}
		}
		if err := table.Rest(ctx, try); err != nil {
			return run.Reservation{}, false, table.Failed(err, "reserve a key")
		}
	}
	return run.Reservation{}, false, table.Busy(fmt.Errorf("reserve a key: %w", table.ErrOvertaken))
}

func reservationItem(r run.Reservation) table.Item {
	i := table.NewItem(reservationPrefix+table.KeyPart(r.Key), reservationKey)
	i.SetText("runId", r.RunID)
	i.SetText("bodyHash", r.BodyHash)
	i.SetTime("until", r.Until)
	i.SetTime("expires", r.Expires)
	i.SetExpiry(r.Expires)
	i.SetMark(table.NewMark())
	return i
}

func reservationOf(key string, i table.Item) run.Reservation {
	return run.Reservation{
		Key: key, RunID: i.Text("runId"), BodyHash: i.Text("bodyHash"), Until: i.Time("until"), Expires: i.Time("expires"),
	}
}
