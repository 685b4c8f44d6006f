package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/klauspost/compress/zstd"
)

// TTLAttribute holds the time in seconds after which an item may vanish.
const TTLAttribute = "ttl"

// Item is a row of a table. Absent attributes stand for empty text, 0 and the zero time.
type Item map[string]types.AttributeValue

// NewItem returns an item with its keys.
func NewItem(pk, sk string) Item {
	i := Item{}
	i.SetText("pk", pk)
	i.SetText("sk", sk)
	return i
}

// SetText keeps a text; empty is left out.
func (i Item) SetText(name, text string) {
	if text != "" {
		i[name] = &types.AttributeValueMemberS{Value: text}
	}
}

// SetInt keeps a number; 0 is left out.
func (i Item) SetInt(name string, n int64) {
	if n != 0 {
		i[name] = Number(n)
	}
}

// SetTime keeps a time in milliseconds.
func (i Item) SetTime(name string, t time.Time) {
	if !t.IsZero() {
		i[name] = Number(t.UnixMilli())
	}
}

// SetExpiry lets the item vanish after a time.
func (i Item) SetExpiry(t time.Time) { i[TTLAttribute] = Number(t.Unix()) }

// Text returns an attribute that SetText kept.
func (i Item) Text(name string) string {
	if s, ok := i[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// Int returns an attribute that SetInt kept.
func (i Item) Int(name string) int64 {
	if n, ok := i[name].(*types.AttributeValueMemberN); ok {
		v, _ := strconv.ParseInt(n.Value, 10, 64)
		return v
	}
	return 0
}

// Time returns an attribute that SetTime kept, in UTC.
func (i Item) Time(name string) time.Time {
	if _, ok := i[name]; !ok {
		return time.Time{}
	}
	return time.UnixMilli(i.Int(name)).UTC()
}

// SetMark tells this write of the item from all others; nil is none.
func (i Item) SetMark(mark []byte) {
	if mark != nil {
		i["mark"] = Bytes(mark)
	}
}

// SameMark reports whether both items come from one write.
func (i Item) SameMark(other Item) bool {
	mine, ok := i["mark"].(*types.AttributeValueMemberB)
	theirs, too := other["mark"].(*types.AttributeValueMemberB)
	return ok && too && bytes.Equal(mine.Value, theirs.Value)
}

// Expired reports whether the item's time has passed.
func (i Item) Expired(now time.Time) bool {
	at := i.Int(TTLAttribute)
	return at != 0 && at <= now.Unix()
}

// Number returns a number as an attribute's value.
func Number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// Text returns a text as an attribute's value.
func Text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Bytes returns bytes as an attribute's value.
func Bytes(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// Key names an item.
func Key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": Text(pk), "sk": Text(sk)}
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

// Pack returns a text as an attribute's value: a string, or bytes when zstd makes it smaller by a
// KiB or more. A text that does not fit one item is always bytes.
func (c codec) Pack(plain string) types.AttributeValue {
	if len(plain) >= saving {
		if packed := c.encoder.EncodeAll([]byte(plain), nil); len(packed)+saving <= len(plain) || len(plain) > maxPart {
			return &types.AttributeValueMemberB{Value: packed}
		}
	}
	return Text(plain)
}

// Unpack reads a text that Pack wrote; absent is empty.
func (c codec) Unpack(v types.AttributeValue) (string, error) {
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

// Split cuts a packed text into the values of as many items as it takes.
func Split(v types.AttributeValue) []types.AttributeValue {
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

// Join puts the values of several items together; nil when one is missing.
func Join(parts []types.AttributeValue) types.AttributeValue {
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

// Encode writes JSON and leaves <, > and & inside raw members as they were sent.
func Encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
