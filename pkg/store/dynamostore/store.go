// Package dynamostore keeps runs and definitions in two tables of DynamoDB.
//
// It promises what run.Store and action.Store promise, and of DynamoDB in particular:
//   - every write of a run's head is conditional on its rev, and draws a mark: a condition that is
//     refused because the SDK repeated a write whose answer was lost counts as won;
//   - a text too large for an item is cut into several, written before the head that refers to them;
//   - a throttled or unreachable table is fault.Unavailable, and no error of AWS shows in a sentence;
//   - an item past its time is absent, though DynamoDB may hold it for days.
package dynamostore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/fault"
)

// Client is what the stores need of DynamoDB's client.
type Client interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

const (
	// shards is over how many partitions the indexes of all and of due runs are spread: one
	// partition takes 1,000 writes a second.
	shards = 8
	// maxTries is how often a write is repeated that others keep overtaking.
	maxTries = 100
	// retryAfter is what callers are told to wait when the table is throttled or out of reach.
	retryAfter = 2 * time.Second
)

// shard spreads run ids over the partitions of an index.
func shard(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return strconv.Itoa(int(h.Sum32() % shards))
}

// maxKeyPart is the longest part of a key in bytes that is stored as it is. Keys take 1,024 bytes.
const maxKeyPart = 400

// keyPart returns a text as part of a key: a long one is cut and made unique by its hash. Its full
// text is then an attribute.
func keyPart(text string) string {
	if len(text) <= maxKeyPart {
		return text
	}
	end := 300
	for !utf8.RuneStart(text[end]) {
		end--
	}
	sum := sha256.Sum256([]byte(text))
	return text[:end] + "~" + hex.EncodeToString(sum[:])
}

// newMark returns what tells a write from all others.
func newMark() []byte {
	mark := make([]byte, 8)
	_, _ = rand.Read(mark)
	return mark
}

// failed says what could not be done. Only the log sees why.
func failed(err error, doing string) error {
	err = fmt.Errorf("%s: %w", doing, err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	var inProgress *types.TransactionInProgressException
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &inProgress) ||
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool() ||
		becauseOf(err, "ThrottlingError", "ProvisionedThroughputExceeded") {
		return busy(err)
	}
	return err
}

func busy(err error) error { return fault.Busy(err, retryAfter, "the store cannot be used now") }

// contended reports whether a write was refused because another one of the same item was under way.
func contended(err error) bool {
	var conflict *types.TransactionConflictException
	if errors.As(err, &conflict) {
		return true
	}
	return becauseOf(err, "TransactionConflict")
}

// becauseOf reports whether a transaction was refused for one of these reasons.
func becauseOf(err error, codes ...string) bool {
	return slices.ContainsFunc(cancelled(err), func(r types.CancellationReason) bool {
		return r.Code != nil && slices.Contains(codes, *r.Code)
	})
}

// cancelled returns why a transaction was refused, one reason for each of its writes; nil for any
// other error.
func cancelled(err error) []types.CancellationReason {
	var c *types.TransactionCanceledException
	if errors.As(err, &c) {
		return c.CancellationReasons
	}
	return nil
}

// refused returns the item that did not meet the condition of write number n, nil when there is
// none; ok is false for any other error.
func refused(err error, n int) (old item, ok bool) {
	var single *types.ConditionalCheckFailedException
	if errors.As(err, &single) {
		return single.Item, true
	}
	if reasons := cancelled(err); n < len(reasons) {
		if code := reasons[n].Code; code != nil && *code == "ConditionalCheckFailed" {
			return reasons[n].Item, true
		}
	}
	return nil, false
}

// rest waits a little before the next try of a write, longer and less predictably each time.
func rest(ctx context.Context, try int) error {
	longest := min(time.Duration(try+1)*4*time.Millisecond, 200*time.Millisecond)
	timer := time.NewTimer(mathrand.N(longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
