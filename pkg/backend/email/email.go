// Package email sends e-mails to approvers through Amazon SES.
//
// It promises that one attempt is one request, that recipients do not see each other, and that no
// address or text reaches the error of an outcome.
package email

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"longshore/pkg/backend"
	"longshore/pkg/run"
)

// Mailer is what a Backend needs of SES; *sesv2.Client is one.
type Mailer interface {
	SendEmail(ctx context.Context, in *sesv2.SendEmailInput, options ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// Config is what a Backend needs.
type Config struct {
	// Else carries out what is no e-mail.
	Else backend.Backend
	// Mailer is nil in a deployment that sends no e-mails.
	Mailer Mailer
	// Sender is the address that e-mails come from; SES has verified it.
	Sender string
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// Backend carries out invocations of type EMAIL, and leaves others to another backend whose queue they
// share. It is safe for concurrent use.
type Backend struct{ c Config }

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
)

// New returns a backend.
func New(c Config) *Backend {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Backend{c}
}

// NewMailer returns a client of SES that makes one request a call: the delivery tries again.
func NewMailer(config aws.Config) *sesv2.Client {
	return sesv2.NewFromConfig(config, func(o *sesv2.Options) { o.Retryer = aws.NopRetryer{} })
}

// Open returns a backend beside another one, which sends through SES as config says if there is a sender;
// config is not used without one.
func Open(sender string, config aws.Config, other backend.Backend) *Backend {
	c := Config{Else: other, Sender: sender}
	if sender != "" {
		c.Mailer = NewMailer(config)
	}
	return New(c)
}

// Prepare implements backend.Preparer for the other backend.
func (b *Backend) Prepare(ctx context.Context) error {
	if p, ok := b.c.Else.(backend.Preparer); ok {
		return p.Prepare(ctx)
	}
	return nil
}

// Call makes one attempt.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	if c.Invocation == nil || c.Invocation.Email == nil {
		return b.c.Else.Call(ctx, c)
	}
	if b.c.Mailer == nil || b.c.Sender == "" {
		return backend.Refuse("this deployment has no e-mail sender")
	}
	mail := c.Invocation.Email
	destination := &types.Destination{BccAddresses: mail.To}
	if len(mail.To) == 1 {
		destination = &types.Destination{ToAddresses: mail.To}
	}
	text := func(s string) *types.Content {
		return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
	}
	_, err := b.c.Mailer.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(b.c.Sender), Destination: destination,
		Content: &types.EmailContent{Simple: &types.Message{Subject: text(mail.Subject), Body: &types.Body{Text: text(mail.Text)}}},
	})
	if err == nil {
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 200}
	}
	return b.outcome(err)
}

// outcome says what an error of SES means. Its message quotes addresses and is left out; its code is a
// word of SES's.
func (b *Backend) outcome(err error) backend.Outcome {
	var answered *awshttp.ResponseError
	// The SDK makes an answer with the status 0 of a connection that failed.
	if !errors.As(err, &answered) || answered.Response == nil || answered.HTTPStatusCode() < 100 {
		return backend.Outcome{Verdict: run.Retry, Error: "SES could not be reached", StatusLabel: backend.DeliveryFailed}
	}
	o := backend.Answer(answered.Response.Response, new(url.URL), b.c.Now())
	if o.Verdict == run.Deliver {
		o.Verdict, o.StatusLabel = run.Retry, backend.DeliveryFailed
	}
	o.Error = fmt.Sprintf("SES answered %d", answered.HTTPStatusCode())
	var coded smithy.APIError
	if errors.As(err, &coded) && isWord(coded.ErrorCode()) {
		o.Error += " " + coded.ErrorCode()
	}
	return o
}

// isWord reports whether a code is one as AWS has them: letters and digits.
func isWord(code string) bool {
	for _, c := range []byte(code) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return code != "" && len(code) <= 80
}
