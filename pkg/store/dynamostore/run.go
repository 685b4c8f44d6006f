package dynamostore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/fault"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Runs keeps runs in the runs table.
type Runs struct {
	table     table.Table
	retention time.Duration
	now       func() time.Time
}

var _ run.Store = (*Runs)(nil)

// NewRuns returns the store of runs in a table. A run's items vanish once retention has passed since
// the time in its id; retention is longer than any run's time-out.
func NewRuns(client Client, name string, retention time.Duration, now func() time.Time) *Runs {
	return &Runs{table: table.New(client, name), retention: retention, now: now}
}

func notFound(id string) error { return fault.New(fault.NotFound, "", "there is no run %s", id) }

func taken(id string) error { return fault.New(fault.Conflict, "", "run %s exists already", id) }

// expires returns when the items of a run vanish.
func (s *Runs) expires(id string) (time.Time, error) {
	at, ok := run.Expires(id, s.retention)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is no run id", id)
	}
	return at, nil
}

// Create implements run.Store.
func (s *Runs) Create(ctx context.Context, r *run.Run, b *run.Body) error {
	expires, err := s.expires(r.ID)
	if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	mark := table.NewMark()
	body, err := s.putBody(ctx, r.ID, b, mark, expires)
	if err != nil {
		return err
	}
	before := table.Item{"body": table.Text(body)}
	if b.Secrets {
		sealed, err := s.putSealed(ctx, r.ID, b.Sealed, mark, expires)
		if err != nil {
			return err
		}
		before.SetText("sealed", sealed)
	}
	stored := *r
	stored.Rev = 0
	next, err := s.next(ctx, head{Item: before}, &stored, nil, mark, expires)
	if err != nil {
		return err
	}
	_, won, err := s.table.Put(ctx, next.Item, "attribute_not_exists(pk)", nil)
	if err == nil && !won {
		err = taken(r.ID)
	}
	return err
}

// putBody writes a body and returns its sort key. The body of a Create that died keeps its place,
// since nobody can tell whether its writer is still at work; this one goes beside it.
func (s *Runs) putBody(ctx context.Context, id string, b *run.Body, mark []byte, expires time.Time) (sk string, err error) {
	plain, err := table.Encode(b)
	if err != nil {
		return "", fmt.Errorf("encode body of %s: %w", id, err)
	}
	won, err := s.table.PutText(ctx, id, bodyKey, plain, mark, expires, "attribute_not_exists(pk)")
	if err != nil || won {
		return bodyKey, err
	}
	if found, err := s.table.Get(ctx, id, headKey); err != nil {
		return "", err
	} else if found != nil {
		return "", taken(id)
	}
	sk = otherBody + hex.EncodeToString(mark)
	_, err = s.table.PutText(ctx, id, sk, plain, nil, expires, "")
	return sk, err
}

// next returns the head that follows old, with the run in its new state, and writes the items that
// it refers to. Only this head names them: until it is written they do not exist for a reader.
func (s *Runs) next(ctx context.Context, old head, r *run.Run, response json.RawMessage, mark []byte, expires time.Time) (head, error) {
	r.Rev++
	n := namesOf(old.Item)
	d := aside(r)
	switch {
	case d.empty():
		n.detail = ""
	case !d.equal(old.detail):
		n.detail = named(detailPrefix, r.Rev, mark)
		plain, err := table.Encode(d)
		if err != nil {
			return head{}, fmt.Errorf("encode detail of %s: %w", r.ID, err)
		}
		if _, err := s.table.PutText(ctx, r.ID, n.detail, plain, nil, expires, ""); err != nil {
			return head{}, err
		}
	}
	if response != nil {
		r.HasResponse = true
		n.response = named(responsePrefix, r.Rev, mark)
		if _, err := s.table.PutText(ctx, r.ID, n.response, string(response), nil, expires, ""); err != nil {
			return head{}, err
		}
	}
	i, err := encodeHead(r, n, expires)
	if err != nil {
		return head{}, fmt.Errorf("encode head of %s: %w", r.ID, err)
	}
	i.SetMark(mark)
	return head{Item: i, detail: d}, nil
}

// fetch reads the first item of one of a run's texts, nil when it is missing.
type fetch func(sk string) (table.Item, error)

func (s *Runs) from(ctx context.Context, id string) fetch {
	return func(sk string) (table.Item, error) { return s.table.Get(ctx, id, sk) }
}

// text reads one of a run's texts; found is false when it is missing.
func (s *Runs) text(ctx context.Context, by fetch, sk string) (plain string, found bool, err error) {
	first, err := by(sk)
	if err != nil || first == nil {
		return "", false, err
	}
	return s.table.GetText(ctx, first)
}

// complete returns an item as a head, its detail read; fault.NotFound when there is none or its time
// has passed.
func (s *Runs) complete(ctx context.Context, id string, i table.Item, by fetch) (head, error) {
	h := head{Item: i}
	if i == nil || i.Expired(s.now()) {
		return h, notFound(id)
	}
	sk := namesOf(i).detail
	if sk == "" {
		return h, nil
	}
	plain, found, err := s.text(ctx, by, sk)
	if err != nil || !found {
		return h, err
	}
	if err := json.Unmarshal([]byte(plain), &h.detail); err != nil {
		return h, fmt.Errorf("read detail of %s: %w", id, err)
	}
	return h, nil
}

// head reads a head.
func (s *Runs) head(ctx context.Context, id string) (head, error) {
	if _, err := s.expires(id); err != nil {
		return head{}, notFound(id)
	}
	i, err := s.table.Get(ctx, id, headKey)
	if err != nil {
		return head{}, err
	}
	return s.complete(ctx, id, i, s.from(ctx, id))
}

// Get implements run.Store.
func (s *Runs) Get(ctx context.Context, id string) (*run.Run, error) {
	h, err := s.head(ctx, id)
	if err != nil {
		return nil, err
	}
	return h.run()
}

// Read implements run.Store.
func (s *Runs) Read(ctx context.Context, id string) (*run.Record, error) {
	if _, err := s.expires(id); err != nil {
		return nil, notFound(id)
	}
	items := make([]table.Item, 2)
	err := table.Parallel(2, func(n int) (err error) {
		items[n], err = s.table.Get(ctx, id, []string{headKey, bodyKey}[n])
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.record(ctx, id, items[0], func(sk string) (table.Item, error) {
		// A body that was not there may have been written since, before the head that is.
		if sk == bodyKey && items[1] != nil {
			return items[1], nil
		}
		return s.table.Get(ctx, id, sk)
	})
}

// record puts a run together from the item of its head and what that refers to.
func (s *Runs) record(ctx context.Context, id string, i table.Item, by fetch) (*run.Record, error) {
	h, err := s.complete(ctx, id, i, by)
	if err != nil {
		return nil, err
	}
	r, err := h.run()
	if err != nil {
		return nil, err
	}
	record := &run.Record{Run: r, Body: run.Body{Properties: json.RawMessage("{}")}}
	n := namesOf(h.Item)
	plain, found, err := s.text(ctx, by, n.body)
	if err != nil {
		return nil, err
	}
	if found {
		record.Body = run.Body{}
		if err := json.Unmarshal([]byte(plain), &record.Body); err != nil {
			return nil, fmt.Errorf("read body of %s: %w", id, err)
		}
	}
	if n.response == "" {
		return record, nil
	}
	plain, found, err = s.text(ctx, by, n.response)
	if err != nil {
		return nil, err
	}
	if found {
		record.Response = json.RawMessage(plain)
	}
	return record, nil
}

// Update implements run.Store.
func (s *Runs) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	expires, err := s.expires(id)
	if err != nil {
		return nil, notFound(id)
	}
	h, err := s.head(ctx, id)
	if err != nil {
		return nil, err
	}
	for try := range table.MaxTries {
		r, err := h.run()
		if err != nil {
			return nil, err
		}
		before := *r
		w, err := move(r)
		if err != nil {
			return nil, err
		}
		if w == nil {
			return h.run()
		}
		// Its entry is Audited's.
		run.Sign(&before, r, w)
		next, err := s.next(ctx, h, r, w.Response, table.NewMark(), expires)
		if err != nil {
			return nil, err
		}
		winner, won, err := s.replace(ctx, h, next, w, expires)
		if err != nil {
			return nil, err
		}
		if won {
			return next.run()
		}
		if err := table.Rest(ctx, try); err != nil {
			return nil, table.Failed(err, "update "+id)
		}
		if winner == nil {
			h, err = s.head(ctx, id)
		} else {
			h, err = s.complete(ctx, id, winner, s.from(ctx, id))
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, table.Busy(fmt.Errorf("update %s: %w", id, table.ErrOvertaken))
}

// replace writes the next head in the place of the old one, and with it what else the write has. If
// another write came first, won is false and winner is its head, nil if that is not known.
func (s *Runs) replace(ctx context.Context, old, next head, w *run.Write, expires time.Time) (winner table.Item, won bool, err error) {
	values := map[string]types.AttributeValue{":rev": table.Number(old.Int("rev"))}
	const condition = "rev = :rev"
	if len(w.Logs) == 0 && len(w.Closed) == 0 {
		winner, won, err = s.table.Put(ctx, next.Item, condition, values)
		if table.Contended(err) {
			return nil, false, nil
		}
		return winner, won, err
	}
	cond := condition
	writes := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &s.table.Name, Item: next.Item, ConditionExpression: &cond, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	beside, err := s.beside(next.Text("pk"), w, expires)
	if err != nil {
		return nil, false, err
	}
	for _, i := range beside {
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &s.table.Name, Item: i}})
	}
	_, err = s.table.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if winner, ok := table.Refused(err, 0); ok {
		return winner, winner.SameMark(next.Item), nil
	}
	if table.Contended(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, table.Failed(err, "write "+next.Text("pk"))
	}
	return nil, true, nil
}

// beside returns the items that are written together with a head.
func (s *Runs) beside(id string, w *run.Write, expires time.Time) ([]table.Item, error) {
	var items []table.Item
	for _, l := range w.Logs {
		i, err := s.logItem(l)
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if len(w.Closed) > 0 {
		i, err := s.attemptsItem(id, w, expires)
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	return items, nil
}
