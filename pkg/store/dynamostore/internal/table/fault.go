// Package table reads and writes the items of one DynamoDB table for the stores on it.
//
// A throttled or unreachable table is fault.Unavailable, and no error of AWS shows in a sentence. A
// condition that is refused because the SDK repeated a write whose answer was lost counts as won.
package table

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
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
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

const (
	// MaxTries is how often a write is repeated that others keep overtaking.
	MaxTries = 100
	// retryAfter is what callers are told to wait when the table is throttled or out of reach.
	retryAfter = 2 * time.Second
)

// MaxKeyPart is the longest part of a key in bytes that is stored as it is. Keys take 1,024 bytes.
const MaxKeyPart = 400

// KeyPart returns a text as part of a key: a long one is cut and made unique by its hash. Its full
// text is then an attribute.
func KeyPart(text string) string {
	if len(text) <= MaxKeyPart {
		return text
	}
	end := 300
	for !utf8.RuneStart(text[end]) {
		end--
	}
	sum := sha256.Sum256([]byte(text))
	return text[:end] + "~" + hex.EncodeToString(sum[:])
}

// ErrOvertaken means that others kept writing an item while a caller tried.
var ErrOvertaken = errors.New("others keep writing it")

// NewMark returns what tells a write from all others.
func NewMark() []byte {
	mark := make([]byte, 8)
	_, _ = rand.Read(mark)
	return mark
}

// Failed says what could not be done. Only the log sees why.
func Failed(err error, doing string) error {
	err = fmt.Errorf("%s: %w", doing, err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	var inProgress *types.TransactionInProgressException
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &inProgress) ||
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool() ||
		becauseOf(err, "ThrottlingError", "ProvisionedThroughputExceeded") {
		return Busy(err)
	}
	return err
}

// Busy says that the store cannot be used now.
func Busy(err error) error { return fault.Busy(err, retryAfter, "the store cannot be used now") }

// Contended reports whether a write was refused because another one of the same item was under way.
func Contended(err error) bool {
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

// Refused returns the item that did not meet the condition of write number n, nil when there is
// none; ok is false for any other error.
func Refused(err error, n int) (old Item, ok bool) {
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

// Rest waits a little before the next try of a write, longer and less predictably each time.
func Rest(ctx context.Context, try int) error {
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
