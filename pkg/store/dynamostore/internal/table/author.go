package table

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
)

// Author returns an author as an attribute's value.
func Author(a audit.Author) types.AttributeValue {
	i := Item{}
	i.SetText("by", a.ID)
	i.SetText("email", a.Email)
	i.SetText("origin", a.Origin)
	i.SetText("runId", a.RunID)
	i.SetTime("at", a.At)
	i.SetCause(a.Cause)
	return &types.AttributeValueMemberM{Value: i}
}

// ReadAuthor reads what Author returned.
func ReadAuthor(v types.AttributeValue) (a audit.Author) {
	m, ok := v.(*types.AttributeValueMemberM)
	if !ok {
		return a
	}
	i := Item(m.Value)
	a = audit.Author{ID: i.Text("by"), Email: i.Text("email"), Origin: i.Text("origin"), RunID: i.Text("runId"), At: i.Time("at")}
	a.Cause = i.Cause()
	return a
}

// SetCause sets the attribute cause, unless it is the zero Cause.
func (i Item) SetCause(c audit.Cause) {
	if c == (audit.Cause{}) {
		return
	}
	cause := Item{}
	cause.SetText("eventId", c.EventID)
	cause.SetText("runId", c.RunID)
	cause.SetInt("depth", int64(c.Depth))
	i["cause"] = &types.AttributeValueMemberM{Value: cause}
}

// Cause returns the attribute cause.
func (i Item) Cause() audit.Cause {
	m, ok := i["cause"].(*types.AttributeValueMemberM)
	if !ok {
		return audit.Cause{}
	}
	cause := Item(m.Value)
	return audit.Cause{EventID: cause.Text("eventId"), RunID: cause.Text("runId"), Depth: int(cause.Int("depth"))}
}
