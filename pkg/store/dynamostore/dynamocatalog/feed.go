package dynamocatalog

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Changed reads a record of the table's stream: an item before and after its change, nil where there was
// none. It returns nil for what is no change of a definition: the end of what a deletion left, for one.
func (s *Actions) Changed(old, next map[string]types.AttributeValue) (*feed.Action, error) {
	before, after, err := changed(old, next, s.read)
	if err != nil || before == nil && after == nil {
		return nil, err
	}
	if before != nil && after != nil && before.ID == after.ID && before.Rev == after.Rev {
		return nil, nil
	}
	return &feed.Action{Before: before, After: after}, nil
}

// EntityChanged reads a record of the table's stream as Actions.Changed does. An entity of which only a timer
// was taken out has its rev still, and is none that changed.
func (s *Catalog) EntityChanged(old, next map[string]types.AttributeValue) (*feed.Entity, error) {
	before, after, err := changed(old, next, s.readEntity)
	if err != nil {
		return nil, err
	}
	switch {
	case before == nil && after == nil:
		return nil, nil
	case after == nil:
		return &feed.Entity{Before: before, By: table.ReadAuthor(next["deleted"])}, nil
	case before != nil && before.ID == after.ID && before.Rev == after.Rev:
		return nil, nil
	}
	return &feed.Entity{Before: before, After: after, By: after.Last}, nil
}

// changed reads both sides of a change; a side that was deleted is nil. What was removed outright is no
// change: a deletion was told when the item was marked.
func changed[T any](old, next map[string]types.AttributeValue, read func(table.Item) (*T, error)) (before, after *T, err error) {
	if next == nil {
		return nil, nil, nil
	}
	if !gone(old) {
		if before, err = read(old); err != nil {
			return nil, nil, err
		}
	}
	if !gone(next) {
		after, err = read(next)
	}
	return before, after, err
}
