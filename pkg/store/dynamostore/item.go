package dynamostore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/klauspost/compress/zstd"
)

// item is a row of a table. Absent attributes stand for empty text, 0 and the zero time.
type item map[string]types.AttributeValue

// newItem returns an item with its keys.
func newItem(pk, sk string) item {
	i := item{}
	i.setText("pk", pk)
	i.setText("sk", sk)
	return i
}

func (i item) setText(name, text string) {
	if text != "" {
		i[name] = &types.AttributeValueMemberS{Value: text}
	}
}

func (i item) setInt(name string, n int64) {
	if n != 0 {
		i[name] = number(n)
	}
}

// setTime keeps a time in milliseconds.
func (i item) setTime(name string, t time.Time) {
	if !t.IsZero() {
		i[name] = number(t.UnixMilli())
	}
}

// setExpiry lets the item vanish after a time.
func (i item) setExpiry(t time.Time) { i[TTLAttribute] = number(t.Unix()) }

func (i item) text(name string) string {
	if s, ok := i[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func (i item) int(name string) int64 {
	if n, ok := i[name].(*types.AttributeValueMemberN); ok {
		v, _ := strconv.ParseInt(n.Value, 10, 64)
		return v
	}
	return 0
}

func (i item) time(name string) time.Time {
	if _, ok := i[name]; !ok {
		return time.Time{}
	}
	return time.UnixMilli(i.int(name)).UTC()
}

// setMark tells this write of the item from all others; nil is none.
func (i item) setMark(mark []byte) {
	if mark != nil {
		i["mark"] = &types.AttributeValueMemberB{Value: mark}
	}
}

// sameMark reports whether both items come from one write.
func (i item) sameMark(other item) bool {
	mine, ok := i["mark"].(*types.AttributeValueMemberB)
	theirs, too := other["mark"].(*types.AttributeValueMemberB)
	return ok && too && bytes.Equal(mine.Value, theirs.Value)
}

// expired reports whether the item's time has passed.
func (i item) expired(now time.Time) bool {
	at := i.int(TTLAttribute)
	return at != 0 && at <= now.Unix()
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// key names an item.
func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(pk), "sk": text(sk)}
}

const (
	// saving is how many bytes compression has to save: DynamoDB bills writes by the KiB.
	saving = 1 << 10
	// maxPart is how many bytes of a text one item holds. DynamoDB's items take 400 KiB.
	maxPart = 350 << 10
	// maxText is how large a compressed text may become; a run's body takes 1 MiB several times.
	maxText = 64 << 20
)

// codec packs texts.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() codec {
	// Neither can fail: the options are in range and there is no stream.
	encoder, _ := zstd.NewWriter(nil, zstd.WithLowerEncoderMem(true))
	decoder, _ := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxText))
	return codec{encoder, decoder}
}

// pack returns a text as an attribute's value: a string, or bytes when zstd makes it smaller by a
// KiB or more. A text that does not fit one item is always bytes.
func (c codec) pack(plain string) types.AttributeValue {
	if len(plain) >= saving {
		if packed := c.encoder.EncodeAll([]byte(plain), nil); len(packed)+saving <= len(plain) || len(plain) > maxPart {
			return &types.AttributeValueMemberB{Value: packed}
		}
	}
	return text(plain)
}

// unpack reads a text that pack wrote; absent is empty.
func (c codec) unpack(v types.AttributeValue) (string, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberB:
		plain, err := c.decoder.DecodeAll(v.Value, nil)
		if err != nil {
			return "", fmt.Errorf("decompress: %w", err)
		}
		return string(plain), nil
	}
	return "", nil
}

// split cuts a packed text into the values of as many items as it takes.
func split(v types.AttributeValue) []types.AttributeValue {
	b, ok := v.(*types.AttributeValueMemberB)
	if !ok || len(b.Value) <= maxPart {
		return []types.AttributeValue{v}
	}
	var parts []types.AttributeValue
	for rest := b.Value; len(rest) > 0; {
		n := min(len(rest), maxPart)
		parts = append(parts, &types.AttributeValueMemberB{Value: rest[:n]})
		rest = rest[n:]
	}
	return parts
}

// join puts the values of several items together; nil when one is missing.
func join(parts []types.AttributeValue) types.AttributeValue {
	if len(parts) == 1 {
		return parts[0]
	}
	var whole []byte
	for _, part := range parts {
		b, ok := part.(*types.AttributeValueMemberB)
		if !ok {
			return nil
		}
		whole = append(whole, b.Value...)
	}
	return &types.AttributeValueMemberB{Value: whole}
}

// encode writes JSON and leaves <, > and & inside raw members as they were sent.
func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
