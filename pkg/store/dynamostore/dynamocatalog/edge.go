package dynamocatalog

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/internal/table"
)

// edgesAtOnce bounds how many edges of one entity are written at a time.
const edgesAtOnce = 25

// An edge carries the id of its source and the rev with which the source was to name the target. Both
// order the writers of one edge: whoever drops a relation leaves alone the edge of somebody who has
// named the target again since, and whoever comes late does not put an older rev over a newer one.
const (
	edgeIsOlder = "attribute_not_exists(pk) OR id <> :id OR rev < :rev"
	edgeIsStale = "id = :id AND rev <= :rev"
)

func edgePartition(target catalog.Key) string {
	return "edge#" + target.Blueprint + "#" + table.KeyPart(target.Identifier)
}

func edgePlace(e catalog.Edge) table.Name {
	return table.Name{
		PK: edgePartition(e.Target),
		SK: table.KeyPart(e.Relation) + "#" + e.Source.Blueprint + "#" + table.KeyPart(e.Source.Identifier),
	}
}

// addEdges writes the edges of an entity that is about to be written with this rev.
func (s *Catalog) addEdges(ctx context.Context, edges []catalog.Edge, id string, rev int64) error {
	return each(edges, func(e catalog.Edge) error {
		place := edgePlace(e)
		i := table.NewItem(place.PK, place.SK)
		i.SetText("relation", e.Relation)
		i.SetText("sourceBlueprint", e.Source.Blueprint)
		i.SetText("source", e.Source.Identifier)
		i.SetText("target", e.Target.Identifier)
		i.SetText("id", id)
		i.SetInt("rev", rev)
		// One that is there already does as well.
		_, _, err := s.table.Put(ctx, i, edgeIsOlder, same(id, rev))
		return err
	})
}

// removeEdges removes edges of an entity that was written with this rev and does not have them any
// more. It is too late to fail: one that stays is a hint that whoever reads it finds stale.
func (s *Catalog) removeEdges(ctx context.Context, edges []catalog.Edge, id string, rev int64) {
	_ = each(edges, func(e catalog.Edge) error {
		place := edgePlace(e)
		return s.table.Delete(ctx, place.PK, place.SK, edgeIsStale, same(id, rev))
	})
}

// each calls do for every edge, some at once, and returns the first error.
func each(edges []catalog.Edge, do func(catalog.Edge) error) error {
	for some := range slices.Chunk(edges, edgesAtOnce) {
		if err := table.Parallel(len(some), func(n int) error { return do(some[n]) }); err != nil {
			return err
		}
	}
	return nil
}

// Sources implements catalog.Store.
func (s *Catalog) Sources(ctx context.Context, target catalog.Key, from string, limit int) (edges []catalog.Edge, next string, err error) {
	if target.Identifier == "" {
		return nil, "", nil
	}
	pk := edgePartition(target)
	input := &dynamodb.QueryInput{
		TableName:                 &s.table.Name,
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(pk)},
		ConsistentRead:            aws.Bool(true),
	}
	if from != "" {
		sk, err := readCursor(pk, from)
		if err != nil {
			return nil, "", err
		}
		input.ExclusiveStartKey = table.Key(pk, sk)
	}
	// One more than the page takes tells whether there is a next one.
	for limit = max(limit, 1); len(edges) <= limit; {
		input.Limit = aws.Int32(int32(limit + 1 - len(edges)))
		out, err := s.table.Client.Query(ctx, input)
		if err != nil {
			return nil, "", table.Failed(err, "query edges")
		}
		for _, found := range out.Items {
			i := table.Item(found)
			edges = append(edges, catalog.Edge{
				Relation: i.Text("relation"), Target: target,
				Source: catalog.Key{Blueprint: i.Text("sourceBlueprint"), Identifier: i.Text("source")},
			})
		}
		if out.LastEvaluatedKey == nil {
			break
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
	if len(edges) > limit {
		edges = edges[:limit]
		next = newCursor(pk, edgePlace(edges[limit-1]).SK)
	}
	return edges, next, nil
}
