package dynamostore_test

import (
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/storetest"
)

func TestActions(t *testing.T) {
	t.Parallel()
	storetest.Actions(t, func(t *testing.T) action.Store {
		s := newTables(t)
		return dynamostore.NewActions(s.client, s.catalog)
	})
}
