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
	"longshore/pkg/store/dynamostore/internal/table"
)

func (s *Runs) logItem(l *run.Log) (table.Item, error) {
	expires, err := s.expires(l.RunID)
	if err != nil {
		return nil, notFound(l.RunID)
	}
	i := table.NewItem(l.RunID, logPrefix+l.ID)
	i.SetExpiry(expires)
	i["message"] = s.table.Codec.Pack(l.Message)
	i.SetTime("createdAt", l.CreatedAt)
	i.SetText("createdBy", l.CreatedBy)
	return i, nil
}

// AppendLog implements run.Store. It does not look at the run, whose caller has just read it: a line
// costs one unit.
func (s *Runs) AppendLog(ctx context.Context, l *run.Log) error {
	i, err := s.logItem(l)
	if err != nil {
		return err
	}
	_, _, err = s.table.Put(ctx, i, "", nil)
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
	err := s.table.Query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :id AND sk BETWEEN :first AND :last"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": table.Text(id), ":first": table.Text(first), ":last": table.Text(last),
		},
		ConsistentRead: aws.Bool(true),
		Limit:          aws.Int32(int32(min(skip+q.Limit, 1000))),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, found := range page {
			i := table.Item(found)
			if i.Expired(now) {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			message, err := s.table.Codec.Unpack(i["message"])
			if err != nil {
				broken = fmt.Errorf("read log of %s: %w", id, err)
				return false
			}
			lines = append(lines, &run.Log{
				ID: strings.TrimPrefix(i.Text("sk"), logPrefix), RunID: id, Message: message,
				CreatedAt: i.Time("createdAt"), CreatedBy: i.Text("createdBy"),
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
func (s *Runs) attemptsItem(id string, w *run.Write, expires time.Time) (table.Item, error) {
	plain, err := table.Encode(w.Closed)
	if err != nil {
		return nil, fmt.Errorf("encode attempts of %s: %w", id, err)
	}
	i := table.NewItem(id, attemptsPrefix+strconv.Itoa(w.ClosedGeneration))
	i.SetExpiry(expires)
	i["text"] = s.table.Codec.Pack(plain)
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
	err := s.table.Query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :id AND begins_with(sk, :prefix)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": table.Text(id), ":prefix": table.Text(attemptsPrefix),
		},
		ConsistentRead: aws.Bool(true),
	}, func(page []map[string]types.AttributeValue) bool {
		for _, found := range page {
			if table.Item(found).Expired(now) {
				continue
			}
			plain, err := s.table.Codec.Unpack(found["text"])
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
