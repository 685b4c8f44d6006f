package dynamostore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/fault"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Changed reads a record of the table's stream: an item before and after its change, nil where there was
// none. If it is a run's head, and the run differs from what it was or somebody asked for the change, it
// returns the run whole as it was, nil for a new one, and as it became; else nil. The texts are those of
// either moment: heads name items that never change.
func (s *Runs) Changed(ctx context.Context, old, next map[string]types.AttributeValue) (before, after *run.Record, err error) {
	o, n := table.Item(old), table.Item(next)
	if n.Text("sk") != headKey || run.IsNotice(n.Text("pk")) || n.Expired(s.now()) {
		return nil, nil, nil
	}
	changed, err := differ(o, n)
	if err != nil || !changed {
		return nil, nil, err
	}
	id := n.Text("pk")
	by := s.from(ctx, id)
	if o != nil {
		before, err = s.record(ctx, id, o, by)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return nil, nil, err
		}
	}
	after, err = s.record(ctx, id, n, by)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		// It has expired since.
		return nil, nil, nil
	}
	return before, after, err
}

// differ reports whether a head tells of a change, without a look at what it names: a detail or a response
// that changed has another name.
func differ(old, next table.Item) (bool, error) {
	if old == nil {
		return true, nil
	}
	before, err := head{Item: old}.run()
	after, failed := head{Item: next}.run()
	if err := errors.Join(err, failed); err != nil {
		return false, err
	}
	was, is := namesOf(old), namesOf(next)
	return run.Differs(before, after) || before.Last != after.Last || was.detail != is.detail || was.response != is.response, nil
}
