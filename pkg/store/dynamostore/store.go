// Package dynamostore keeps runs in DynamoDB and describes its tables. Definitions are kept by
// dynamocatalog.
//
// It promises what run.Store promises, and of DynamoDB in particular:
//   - every write of a run's head is conditional on its rev, and draws a mark: a condition that is
//     refused because the SDK repeated a write whose answer was lost counts as won;
//   - a text too large for an item is cut into several, written before the head that refers to them;
//   - a throttled or unreachable table is fault.Unavailable, and no error of AWS shows in a sentence;
//   - an item past its time is absent, though DynamoDB may hold it for days.
package dynamostore

import (
	"hash/fnv"
	"strconv"

	"longshore/pkg/store/dynamostore/internal/table"
)

// Client is what the stores need of DynamoDB's client.
type Client = table.Client

// TTLAttribute holds the time in seconds after which an item may vanish.
const TTLAttribute = table.TTLAttribute

// shards is over how many partitions the indexes of all and of due runs are spread: one partition
// takes 1,000 writes a second.
const shards = 8

// shard spreads run ids over the partitions of an index.
func shard(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return strconv.Itoa(int(h.Sum32() % shards))
}
