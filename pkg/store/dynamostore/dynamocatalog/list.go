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
	limit = max(limit, 1)
	page, size := catalog.Page{}, 0
	for {
		pk := partitionOf(blueprint, at.shard)
		input := living(pk)
		input.TableName, input.ConsistentRead = &s.table.Name, aws.Bool(true)
		input.Limit = aws.Int32(int32(limit - len(page.Entities)))
		if at.sk != "" {
			input.ExclusiveStartKey = table.Key(pk, at.sk)
		}
		out, err := s.table.Client.Query(ctx, input)
		if err != nil {
			return catalog.Page{}, table.Failed(err, "list entities")
		}
		for _, i := range out.Items {
			e, err := s.readEntity(i)
			if err != nil {
				return catalog.Page{}, err
			}
			if size += len(e.Content); size > maxPage && len(page.Entities) > 0 {
				page.Next = at.cursor(blueprint)
				return page, nil
			}
			page.Entities = append(page.Entities, e)
			at.sk = table.Item(i).Text("sk")
		}
		if out.LastEvaluatedKey != nil {
			at.sk = table.Item(out.LastEvaluatedKey).Text("sk")
		} else if at = (position{shard: at.shard + 1}); at.shard == entityShards {
			return page, nil
		}
		if len(page.Entities) >= limit || size >= maxPage || !s.now().Before(until) {
			page.Next = at.cursor(blueprint)
			return page, nil
		}
	}
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
	return fault.InvalidDetails([]fault.Detail{{Path: "from", Message: "this is no page of this list; leave it out to begin"}})
}
