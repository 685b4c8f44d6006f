package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
)

const (
	reservationPrefix = "idem#"
	reservationKey    = "idem"
)

// Reserve implements run.Store.
func (s *Runs) Reserve(ctx context.Context, want run.Reservation, now time.Time) (held run.Reservation, won bool, err error) {
	const free = "attribute_not_exists(pk) OR expires <= :now"
	condition, values := free, map[string]types.AttributeValue{":now": number(now.UnixMilli())}
	for try := range maxTries {
		i := reservationItem(want)
		old, won, err := s.put(ctx, i, condition, values)
		switch {
		case err != nil:
			return run.Reservation{}, false, err
		case won:
			return reservationOf(want.Key, i), true, nil
		}
		if old == nil {
			// It vanished between the condition and now.
			condition, values = free, map[string]types.AttributeValue{":now": number(now.UnixMilli())}
		} else {
			held = reservationOf(want.Key, old)
			if !held.Until.Before(now) {
				return held, false, nil
			}
			head, err := s.get(ctx, held.RunID, headKey)
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
		if err := rest(ctx, try); err != nil {
			return run.Reservation{}, false, failed(err, "reserve a key")
		}
	}
	return run.Reservation{}, false, busy(fmt.Errorf("reserve a key: %w", errOvertaken))
}

func reservationItem(r run.Reservation) item {
	i := newItem(reservationPrefix+keyPart(r.Key), reservationKey)
	i.setText("runId", r.RunID)
	i.setText("bodyHash", r.BodyHash)
	i.setTime("until", r.Until)
	i.setTime("expires", r.Expires)
	i.setExpiry(r.Expires)
	i.setMark(newMark())
	return i
}

func reservationOf(key string, i item) run.Reservation {
	return run.Reservation{
		Key: key, RunID: i.text("runId"), BodyHash: i.text("bodyHash"), Until: i.time("until"), Expires: i.time("expires"),
	}
}
