package dynamostore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// listBatch is how many runs are read at a time: a head and a body each.
const listBatch = table.BatchKeys / 2

// List implements run.Store. An index says which runs may be meant; their heads, read consistently,
// say which are. Filters by a person's e-mail alone and for ended runs alone read heads that they
// then drop: no index knows.
func (s *Runs) List(ctx context.Context, f run.Filter) (*run.Page, error) {
	found, err := s.candidates(ctx, f)
	if err != nil {
		return nil, err
	}
	page := &run.Page{}
	size := 0
	for {
		// One more than the page takes tells whether there is a next one.
		ids, err := found.take(ctx, min(f.Limit+1-len(page.Runs), listBatch))
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return page, nil
		}
		records, cut, err := s.records(ctx, ids, f)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			n := sizeOf(r)
			if len(page.Runs) == f.Limit || len(page.Runs) > 0 && size+n > run.MaxPage {
				page.Next = page.Runs[len(page.Runs)-1].ID
				return page, nil
			}
			page.Runs = append(page.Runs, r)
			size += n
		}
		if cut {
			page.Next = page.Runs[len(page.Runs)-1].ID
			return page, nil
		}
	}
}

// sizeOf is about how many bytes a run takes in an answer.
func sizeOf(r *run.Record) int {
	n := len(r.Properties) + len(r.User) + len(r.Response) + len(r.Summary) + len(r.Link)
	if r.Invocation != nil {
		n += len(r.Invocation.Payload)
		if w := r.Invocation.Webhook; w != nil && w.Body != nil {
			n += len(*w.Body)
		}
	}
	return n
}

// records reads the runs that meet the filter, in the order of ids. Once it has more than a page
// holds it stops; cut says so.
func (s *Runs) records(ctx context.Context, ids []string, f run.Filter) (records []*run.Record, cut bool, err error) {
	var first, second []table.Name
	for _, id := range ids {
		first = append(first, place(id, headKey), place(id, bodyKey))
	}
	items, err := s.table.Batch(ctx, first)
	if err != nil {
		return nil, false, err
	}
	var matching []string
	size := 0
	for _, id := range ids {
		h := head{Item: items[place(id, headKey)]}
		if h.Item == nil || h.Expired(s.now()) {
			continue
		}
		if r, err := h.run(); err != nil {
			return nil, false, err
		} else if !matches(r, f) {
			continue
		}
		if cut = size > run.MaxPage; cut {
			break
		}
		matching = append(matching, id)
		n, body := namesOf(h.Item), items[place(id, bodyKey)]
		for _, sk := range []string{n.body, n.detail, n.response} {
			if sk != "" && items[place(id, sk)] == nil {
				second = append(second, place(id, sk))
			}
		}
		size += stored(body["text"]) * int(max(body.Int("parts"), 1))
	}
	for batch := range slices.Chunk(second, table.BatchKeys) {
		more, err := s.table.Batch(ctx, batch)
		if err != nil {
			return nil, false, err
		}
		maps.Copy(items, more)
	}
	for _, id := range matching {
		r, err := s.record(ctx, id, items[place(id, headKey)], func(sk string) (table.Item, error) {
			return items[place(id, sk)], nil
		})
		if err != nil {
			return nil, false, err
		}
		records = append(records, r)
	}
	return records, cut, nil
}

func place(id, sk string) table.Name { return table.Name{PK: id, SK: sk} }

// stored returns how many bytes a text takes in the table.
func stored(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	}
	return 0
}

// matches reports whether a run is what a filter selects.
func matches(r *run.Run, f run.Filter) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Action, r.Action.Identifier) && is(f.Blueprint, r.Blueprint) && is(f.Entity, r.Entity) &&
		is(f.UserID, r.UserID) && is(f.ExternalRunID, r.ExternalRunID) &&
		(f.UserEmail == "" || strings.EqualFold(f.UserEmail, r.UserEmail)) &&
		(len(f.Sources) == 0 || slices.Contains(f.Sources, r.Source)) &&
		(f.Active == nil || *f.Active != r.Status.Ended()) &&
		(f.From == "" || r.ID < f.From)
}
