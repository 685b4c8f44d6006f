package awsevent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Record is one record of a DynamoDB stream.
type Record struct {
	// Sequence is the record's place in its shard.
	Sequence string
	// Old and New are the item before and after its change, nil where there was none.
	Old, New map[string]types.AttributeValue
	// Text is the record as it came.
	Text json.RawMessage
	// Err says why the record cannot be read; Old and New are nil then.
	Err error
}

// Stream serves batches of records of a DynamoDB stream, each from one shard and in its order. Handle
// returns the place of the first that has to come again, with all that follow it, and -1 for none; the event
// source must report batch item failures.
func Stream(handle func(ctx context.Context, records []Record) (again int)) Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var batch struct{ Records []json.RawMessage }
		if err := json.Unmarshal(event, &batch); err != nil {
			return nil, fmt.Errorf("decode DynamoDB event: %w", err)
		}
		records := make([]Record, len(batch.Records))
		for i, text := range batch.Records {
			var r events.DynamoDBEventRecord
			err := json.Unmarshal(text, &r)
			if err != nil {
				// Its place is known even if one of its values cannot be read.
				var place struct {
					EventSource string `json:"eventSource"`
					DynamoDB    struct{ SequenceNumber string }
				}
				if failed := json.Unmarshal(text, &place); failed != nil {
					return nil, fmt.Errorf("decode DynamoDB event: record %d: %w", i, err)
				}
				r.EventSource, r.Change.SequenceNumber = place.EventSource, place.DynamoDB.SequenceNumber
			}
			if r.EventSource != "aws:dynamodb" || r.Change.SequenceNumber == "" {
				return nil, fmt.Errorf("decode DynamoDB event: record %d is none of a stream", i)
			}
			records[i] = Record{Sequence: r.Change.SequenceNumber, Text: text, Err: err}
			if err == nil {
				records[i].read(r.Change)
			}
		}
		answer := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
		// Lambda goes on from the lowest number that it is given.
		if again := handle(identified(ctx, ""), records); again >= 0 {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: records[again].Sequence})
		}
		return answer, nil
	}
}

// read takes both images.
func (r *Record) read(c events.DynamoDBStreamRecord) {
	before, err := attributes(c.OldImage)
	after, failed := attributes(c.NewImage)
	if r.Err = errors.Join(err, failed); r.Err == nil {
		r.Old, r.New = before, after
	}
}

// attributes are an image as the SDK has it.
func attributes(image map[string]events.DynamoDBAttributeValue) (map[string]types.AttributeValue, error) {
	if image == nil {
		return nil, nil
	}
	all := make(map[string]types.AttributeValue, len(image))
	for name, v := range image {
		var err error
		if all[name], err = attributeValue(v); err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
	}
	return all, nil
}

func attributeValue(v events.DynamoDBAttributeValue) (types.AttributeValue, error) {
	switch v.DataType() {
	case events.DataTypeBinary:
		return &types.AttributeValueMemberB{Value: v.Binary()}, nil
	case events.DataTypeBinarySet:
		return &types.AttributeValueMemberBS{Value: v.BinarySet()}, nil
	case events.DataTypeBoolean:
		return &types.AttributeValueMemberBOOL{Value: v.Boolean()}, nil
	case events.DataTypeNull:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case events.DataTypeNumber:
		return &types.AttributeValueMemberN{Value: v.Number()}, nil
	case events.DataTypeNumberSet:
		return &types.AttributeValueMemberNS{Value: v.NumberSet()}, nil
	case events.DataTypeString:
		return &types.AttributeValueMemberS{Value: v.String()}, nil
	case events.DataTypeStringSet:
		return &types.AttributeValueMemberSS{Value: v.StringSet()}, nil
	case events.DataTypeMap:
		m, err := attributes(v.Map())
		return &types.AttributeValueMemberM{Value: m}, err
	case events.DataTypeList:
		list := make([]types.AttributeValue, len(v.List()))
		for i, member := range v.List() {
			var err error
			if list[i], err = attributeValue(member); err != nil {
				return nil, err
			}
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	}
	return nil, fmt.Errorf("it is of type %d, which is unknown", v.DataType())
}
