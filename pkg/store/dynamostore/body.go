package dynamostore

import (
	"encoding/json"
	"errors"
	"strings"

	"longshore/pkg/run"
)

// A body is stored as a line of JSON. The text that a webhook sends follows on the next line instead
// of standing in the JSON: there it would be quoted, and could not be compressed as the repetition
// of the payload that it mostly is. It halves what a body takes.

func encodeBody(b *run.Body) (string, error) {
	if b.Invocation == nil || b.Invocation.Webhook == nil || b.Invocation.Webhook.Body == nil {
		return encode(b)
	}
	sent := *b.Invocation.Webhook.Body
	webhook, invocation, whole := *b.Invocation.Webhook, *b.Invocation, *b
	webhook.Body = nil
	invocation.Webhook = &webhook
	whole.Invocation = &invocation
	line, err := encode(whole)
	return line + "\n" + sent, err
}

func decodeBody(text string) (run.Body, error) {
	var b run.Body
	line, sent, apart := strings.Cut(text, "\n")
	if err := json.Unmarshal([]byte(line), &b); err != nil {
		return run.Body{}, err
	}
	if apart {
		if b.Invocation == nil || b.Invocation.Webhook == nil {
			return run.Body{}, errors.New("a text follows that no webhook sends")
		}
		b.Invocation.Webhook.Body = &sent
	}
	return b, nil
}
