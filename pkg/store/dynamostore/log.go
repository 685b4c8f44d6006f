package dynamostore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/run"
)

func (s *Runs) logItem(id string, l *run.Log, expires time.Time) item {
	i := newItem(id, logPrefix+l.ID)
	i.setExpiry(expires)
	i["message"] = s.codec.pack(l.Message)
	i.setTime("createdAt", l.CreatedAt)
	i.setText("createdBy", l.CreatedBy)
	return i
}

// AppendLog implements run.Store. It does not look at the run, whose caller has just read it: a line
// costs one unit.
func (s *Runs) AppendLog(ctx context.Context, l *run.Log) error {
	expires, err := s.expires(l.RunID)
	if err != nil {
		return notFound(l.RunID)
	}
	_, _, err = s.put(ctx, s.logItem(l.RunID, l, expires), "", nil)
	return err
}

// ulidLength is that of a log line's id.
const ulidLength = 26

// Logs implements run.Store. Lines before the offset are read and dropped: a follower asks for those
// after the last it has seen.
func (s *Runs) Logs(ctx context.Context, id string, q run.LogQuery) ([]*run.Log, error) {
	// A space stands before every character of an id, so the bound is after q.After itself and
	// before all that follow. A bound past the prefix's last key would be refused.
	after := q.After
	if after != "" {
		after = strings.ToValidUTF8(after[:min(len(after), ulidLength)], "") + " "
	}
	first, last := logPrefix+after, logPrefix+"~"
	if _, ok := run.IDTime(id); !ok || first > last || q.Limit <= 0 {
		return nil, nil
	}
	var lines []*run.Log
	skip, now := q.Offset, s.now()
	var broken error
	err := s.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :id AND sk BETWEEN :first AND :last"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": text(id), ":first": text(first), ":last": text(last),
		},
		ConsistentRead: aws.Bool(true),
		Limit:          aws.Int32(int32(min(skip+q.Limit, 1000))),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, found := range page {
			i := item(found)
			if i.expired(now) {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			message, err := s.codec.unpack(i["message"])
			if err != nil {
				broken = fmt.Errorf("read log of %s: %w", id, err)
				return false
			}
			lines = append(lines, &run.Log{
				ID: strings.TrimPrefix(i.text("sk"), logPrefix), RunID: id, Message: message,
				CreatedAt: i.time("createdAt"), CreatedBy: i.text("createdBy"),
			})
			if len(lines) == q.Limit {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// attemptsItem holds the attempts of a generation that a redelivery closes.
func (s *Runs) attemptsItem(id string, w *run.Write, expires time.Time) (item, error) {
	plain, err := encode(w.Closed)
	if err != nil {
		return nil, fmt.Errorf("encode attempts of %s: %w", id, err)
	}
	i := newItem(id, attemptsPrefix+strconv.Itoa(w.ClosedGeneration))
	i.setExpiry(expires)
	i["text"] = s.codec.pack(plain)
	return i, nil
}

// Attempts implements run.Store.
func (s *Runs) Attempts(ctx context.Context, id string) ([]run.Attempt, error) {
	if _, ok := run.IDTime(id); !ok {
		return nil, nil
	}
	var attempts []run.Attempt
	var broken error
	now := s.now()
	err := s.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :id AND begins_with(sk, :prefix)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": text(id), ":prefix": text(attemptsPrefix),
		},
		ConsistentRead: aws.Bool(true),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, found := range page {
			if item(found).expired(now) {
				continue
			}
			plain, err := s.codec.unpack(found["text"])
			var closed []run.Attempt
			if err == nil {
				err = json.Unmarshal([]byte(plain), &closed)
			}
			if err != nil {
				broken = fmt.Errorf("read attempts of %s: %w", id, err)
				return false
			}
			attempts = append(attempts, closed...)
		}
		return true
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	// Their keys sort as texts, 10 before 2.
	slices.SortFunc(attempts, func(a, b run.Attempt) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Number, b.Number))
	})
	return attempts, nil
}
