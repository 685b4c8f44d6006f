package kafka

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate/value"
	"longshore/pkg/signature"
)

// forAgent reports whether an agent takes the run from the topic.
func forAgent(i *invocation.Invocation) bool {
	return i.Webhook != nil && i.Webhook.Agent || i.Type == "GITLAB"
}

// Message is what an agent finds on the topic: the body's members at the root, the rendered method at
// payload.action.invocationMethod, the run's id at context.runId, and headers, two of which sign the
// rest. A run message has the method and the id already. Errors hold nothing of the message.
//
// The agent reads it with Python and writes it again, compact and without escapes of what is not ASCII,
// before it checks the signature: so numbers are written as Python writes them.
func Message(i *invocation.Invocation, runID, secret string, at time.Time) ([]byte, error) {
	if secret == "" {
		return nil, signature.ErrNoSecret
	}
	root, err := body(i)
	if err != nil {
		return nil, err
	}
	headers := new(value.Object)
	if w := i.Webhook; w != nil {
		for _, h := range w.Headers {
			if !strings.EqualFold(h.Name, signature.PortTimestamp) && !strings.EqualFold(h.Name, signature.PortSignature) {
				headers.Set(h.Name, h.Value)
			}
		}
		if !w.Message {
			method, err := object(i.Readable())
			if err != nil {
				return nil, err
			}
			member(member(root, "payload"), "action").Set("invocationMethod", method)
			member(root, "context").Set("runId", runID)
		}
	}
	root.Delete("headers")
	if i.Type != "GITLAB" {
		// Of GITLAB the headers are no part of what is signed.
		root.Set("headers", headers)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	sum := signature.Port(secret, timestamp, value.EncodePython(root))
	headers.Set(signature.PortTimestamp, timestamp)
	headers.Set(signature.PortSignature, sum)
	root.Set("headers", headers)
	return value.EncodePython(root), nil
}

// body is the body of an agent's run, an object of the caller's own.
func body(i *invocation.Invocation) (*value.Object, error) {
	switch {
	case i.Webhook == nil && i.Message == nil:
		return nil, errors.New("the run has no run message")
	case i.Webhook == nil:
		return object(i.Message)
	case i.Webhook.Body == nil:
		return new(value.Object), nil
	}
	return object([]byte(*i.Webhook.Body))
}

func object(text []byte) (*value.Object, error) {
	v, err := value.Decode(text)
	if o, ok := v.(*value.Object); ok && err == nil {
		return o, nil
	}
	return nil, errors.New("the body is no JSON object")
}

// member is an object's member that is an object; what is there and is none gives way to an empty one.
func member(o *value.Object, name string) *value.Object {
	v, _ := o.Get(name)
	inner, ok := v.(*value.Object)
	if !ok {
		inner = new(value.Object)
		o.Set(name, inner)
	}
	return inner
}
