// Package dynamofeed reads the streams of both tables of DynamoDB as a change feed.
//
// It promises what package feed says of feeds, and of DynamoDB in particular: an expiry, a lease, a mark
// and an index that moves are no changes, and a run that changed is whole though its texts stand in items
// of their own.
package dynamofeed

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore/internal/table"
)

// Record is a record of a stream: an item before and after its change, nil where there was none. An item
// that was removed outright, which expiry does, has no New.
type Record struct {
	Old, New map[string]types.AttributeValue
}

// Item names the item that changed.
func (r Record) Item() string {
	i := table.Item(r.New)
	if i == nil {
		i = r.Old
	}
	return i.Text("pk") + "\x00" + i.Text("sk")
}

// Runs is what a Decoder needs of the store of runs.
type Runs interface {
	Changed(ctx context.Context, old, next map[string]types.AttributeValue) (before, after *run.Record, err error)
}

// Actions is what a Decoder needs of the store of definitions.
type Actions interface {
	Changed(old, next map[string]types.AttributeValue) (*feed.Action, error)
}

// Catalog is what a Decoder needs of the store of entities.
type Catalog interface {
	EntityChanged(old, next map[string]types.AttributeValue) (*feed.Entity, error)
}

// Decoder makes changes of records.
type Decoder struct {
	Runs    Runs
	Actions Actions
	Catalog Catalog
}

// Change makes a record whole; nil when it is no change. Errors: fault.Unavailable when an item of a run
// cannot be read now; any other says that the record is none of ours.
func (d *Decoder) Change(ctx context.Context, r Record) (*feed.Change, error) {
	if r.New == nil {
		return nil, nil
	}
	i := table.Item(r.New)
	kind, _, _ := strings.Cut(i.Text("pk"), "#")
	var c feed.Change
	var err error
	switch {
	case strings.HasPrefix(kind, "r_"):
		var changed feed.Run
		changed.Before, changed.After, err = d.Runs.Changed(ctx, r.Old, r.New)
		if changed.After != nil {
			c.Run = &changed
		}
	case kind == "entity":
		c.Entity, err = d.Catalog.EntityChanged(r.Old, r.New)
	case kind == "action":
		c.Action, err = d.Actions.Changed(r.Old, r.New)
	case kind == "event" && r.Old == nil:
		c.Timer = timer(i)
	}
	if err != nil {
		return nil, fmt.Errorf("read a change of %s of %s: %w", i.Text("sk"), i.Text("pk"), err)
	}
	if c == (feed.Change{}) {
		return nil, nil
	}
	return &c, nil
}

// timer reads an event that the clock has put.
func timer(i table.Item) *feed.Timer {
	// The partition of entities is called entity#<blueprint's id>#<shard>.
	parts := strings.Split(i.Text("entities"), "#")
	t := &feed.Timer{EntityID: i.Text("id"), Property: i.Text("property"), At: i.Time("at"), Fired: i.Time("firedAt")}
	t.Key = catalog.Key{Identifier: i.Text("identifier")}
	if len(parts) > 1 {
		t.Blueprint = parts[1]
	}
	return t
}
