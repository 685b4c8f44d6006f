package dynamocatalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	// maxPage is about how many bytes of content a page holds before it ends.
	maxPage = 5 << 20
	// maxTime is how long a page is read for, and timeLeft what stays of the caller's time.
	maxTime  = 10 * time.Second
	timeLeft = 2 * time.Second
	// barrenRead is more items than a megabyte has, which is what one query reads.
	barrenRead = 100_000
)

// position is where a list goes on: behind a sort key in a shard, or at the beginning of the shard
// when there is none.
type position struct {
	shard int
	sk    string
}

// List implements catalog.Store: shard by shard, in each by sort key. It reads at least once, so that
// a caller who always comes late gets on too.
func (s *Catalog) List(ctx context.Context, blueprint, from string, limit int) (catalog.Page, error) {
	at, err := startOf(blueprint, from)
	if err != nil {
		return catalog.Page{}, err
	}
	until := s.now().Add(maxTime)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-timeLeft).Before(until) {
		until = deadline.Add(-timeLeft)
	}
	l := &listing{at: at, limit: max(limit, 1)}
	for {
		parts := make([]*dynamodb.QueryOutput, l.ahead())
		err := table.Parallel(len(parts), func(n int) (err error) {
			from := l.at
			if n > 0 {
				from = position{shard: l.at.shard + n}
			}
			parts[n], err = s.part(ctx, blueprint, from, l.atOnce())
			return err
		})
		if err != nil {
			return catalog.Page{}, err
		}
		for _, part := range parts {
			on, err := l.take(part, s.readEntity)
			if err != nil {
				return catalog.Page{}, err
			}
			if !on {
				break
			}
		}
		if l.at.shard == entityShards {
			return l.page, nil
		}
		if l.full || !s.now().Before(until) {
			l.page.Next = l.at.cursor(blueprint)
			return l.page, nil
		}
	}
}

// part reads up to limit entities of one shard.
func (s *Catalog) part(ctx context.Context, blueprint string, from position, limit int) (*dynamodb.QueryOutput, error) {
	pk := partitionOf(blueprint, from.shard)
	input := living(pk)
	input.TableName, input.ConsistentRead, input.Limit = &s.table.Name, aws.Bool(true), aws.Int32(int32(limit))
	if from.sk != "" {
		input.ExclusiveStartKey = table.Key(pk, from.sk)
	}
	out, err := s.table.Client.Query(ctx, input)
	if err != nil {
		return nil, table.Failed(err, "list entities")
	}
	return out, nil
}

// listing is a page that is being read.
type listing struct {
	page  catalog.Page
	at    position
	limit int
	// size is how many bytes of content the page holds.
	size int
	full bool
	// shards have been read whole, and held that many entities and bytes.
	shards, entities, bytes int
	// barren says that the last part had only deleted entities: they are skipped by the megabyte, or a
	// blueprint that was emptied would take as many reads as it had pages.
	barren bool
}

// atOnce is how many items are read from a shard.
func (l *listing) atOnce() int {
	if l.barren {
		return max(barrenRead, l.limit-len(l.page.Entities))
	}
	return l.limit - len(l.page.Entities)
}

// ahead returns how many shards are to be read at once: as many as the page will probably hold,
// judging by those before. A small blueprint takes two round trips and not one for each shard, and
// of a large one next to nothing is read in vain.
func (l *listing) ahead() int {
	if l.shards == 0 {
		return 1
	}
	n := min((l.limit-len(l.page.Entities))/max(l.entities/l.shards, 1), (maxPage-l.size)/max(l.bytes/l.shards, 1))
	return min(max(n, 1), entityShards-l.at.shard)
}

// take moves what was read at the page's position into the page; on says that the shard is through
// and the page has room.
func (l *listing) take(part *dynamodb.QueryOutput, read func(table.Item) (*catalog.Entity, error)) (on bool, err error) {
	begun, entities, size := l.at, len(l.page.Entities), l.size
	l.barren = len(part.Items) == 0
	for _, i := range part.Items {
		e, err := read(i)
		if err != nil {
			return false, err
		}
		n := len(l.page.Entities)
		if l.full = n == l.limit || n > 0 && l.size+len(e.Content) > maxPage; l.full {
			return false, nil
		}
		l.page.Entities = append(l.page.Entities, e)
		l.size += len(e.Content)
		l.at.sk = table.Item(i).Text("sk")
	}
	if part.LastEvaluatedKey != nil {
		l.at.sk = table.Item(part.LastEvaluatedKey).Text("sk")
	} else {
		l.at = position{shard: l.at.shard + 1}
		if begun.sk == "" {
			l.shards++
			l.entities += len(l.page.Entities) - entities
			l.bytes += l.size - size
		}
	}
	l.full = len(l.page.Entities) == l.limit || l.size >= maxPage
	return part.LastEvaluatedKey == nil && !l.full, nil
}

// Count implements catalog.Store.
func (s *Catalog) Count(ctx context.Context, blueprint string) (int, error) {
	counts := make([]int, entityShards)
	err := table.Parallel(entityShards, func(n int) (err error) {
		counts[n], err = s.table.Count(ctx, living(partitionOf(blueprint, n)))
		return err
	})
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, err
}

func (p position) cursor(blueprint string) string {
	return newCursor(entityPrefix+blueprint, fmt.Sprintf("%x%s", p.shard, p.sk))
}

// startOf returns where a list begins.
func startOf(blueprint, from string) (position, error) {
	if from == "" {
		return position{}, nil
	}
	text, err := readCursor(entityPrefix+blueprint, from)
	if err != nil {
		return position{}, err
	}
	shard := strings.IndexByte("0123456789abcdef", text[0])
	if shard < 0 {
		return position{}, badCursor()
	}
	return position{shard, text[1:]}, nil
}

// boundBytes is how many bytes of a cursor say what list it belongs to.
const boundBytes = 8

// maxKey is the longest sort key that DynamoDB takes.
const maxKey = 1024

// newCursor returns a text for callers to come back with, bound to one list.
func newCursor(list, text string) string {
	sum := sha256.Sum256([]byte(list))
	return base64.RawURLEncoding.EncodeToString(append(sum[:boundBytes], text...))
}

// readCursor returns the text of a cursor of that list, which is never empty.
func readCursor(list, cursor string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	sum := sha256.Sum256([]byte(list))
	if err != nil || len(b) <= boundBytes || len(b) > boundBytes+maxKey || !bytes.Equal(b[:boundBytes], sum[:boundBytes]) || !utf8.Valid(b[boundBytes:]) {
		return "", badCursor()
	}
	return string(b[boundBytes:]), nil
}

func badCursor() error {
	return fault.InvalidDetails([]fault.Detail{{Path: "from", Message: "must be the next of an answer to the same request"}})
}
