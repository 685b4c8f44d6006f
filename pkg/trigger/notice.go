package trigger

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"longshore/pkg/action"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// notice is a delivery that tells approvers of a run. It is recorded before the run and sent after it;
// one whose run was never recorded is dropped by its dispatcher.
type notice struct {
	run  *run.Run
	body *run.Body
}

// notices adds to a plan what tells the approvers that its run waits. Line is what the run's log has to
// say about it, nothing where all goes well.
func (t *Trigger) notices(p *plan, c *checked, now time.Time) (line string, err error) {
	var calls []*invocation.Invocation
	switch n := c.Definition.Notification; n.Type {
	case action.NotifyWebhook:
		call, err := t.webhookNotice(n, p, c)
		if err != nil {
			return "", err
		}
		calls = append(calls, call)
	default:
		var to []string
		for _, a := range c.approvers {
			// One that is none would spoil the e-mail of all.
			if address, err := mail.ParseAddress(a.Email); err == nil && address.Address == a.Email {
				to = append(to, a.Email)
			}
		}
		switch {
		case !t.Mails:
			return "The run waits for approval. Nobody was told by e-mail: this deployment has no e-mail sender.", nil
		case len(to) == 0:
			return "The run waits for approval. Nobody was told by e-mail: nobody with an e-mail address may approve it.", nil
		}
		for some := range slices.Chunk(to, invocation.MaxRecipients) {
			calls = append(calls, t.emailNotice(some, p, c))
		}
	}
	waiting := run.Waiting(invocation.BackendWebhook, t.Configured)
	for _, call := range calls {
		r := &run.Run{
			ID: run.NewNoticeID(now), NoticeOf: p.run.ID, Backend: call.Backend, Source: p.run.Source,
			Action:    run.Action{Identifier: p.run.Action.Identifier, ID: p.run.Action.ID},
			CreatedBy: run.Own, UpdatedBy: run.Own,
		}
		r.Start(now, waiting)
		r.Delivery.Host = call.Host()
		p.notices = append(p.notices, notice{r, &run.Body{Properties: []byte("{}"), Invocation: call}})
	}
	if waiting != "" {
		line = "The run waits for approval. Its notice is not sent yet: " + waiting + "."
	}
	return line, nil
}

// webhookNotice is the call of a notice. Its URL is taken as it is written: no template.
func (t *Trigger) webhookNotice(n action.Notification, p *plan, c *checked) (*invocation.Invocation, error) {
	var body []byte
	if n.Format == action.FormatSlack {
		link := "<" + slackText(p.link) + "|" + p.run.ID + ">"
		body = jqtemplate.Encode(object(member{"text", fmt.Sprintf("Run %s of action %s, started by %s, waits for approval.",
			link, slackText(name(c)), slackText(starter(p.run)))}))
	} else {
		var err error
		if body, err = t.runMessage(c, p.run, p.user, p.body.Properties, string(run.WaitingForApproval)); err != nil {
			return nil, err
		}
		body = with(body, "link", jqtemplate.Encode(p.link))
	}
	text := string(body)
	return &invocation.Invocation{
		V: invocation.Version, Type: typeWebhook, Backend: invocation.BackendWebhook,
		Webhook: &invocation.Webhook{URL: n.URL, Method: "POST", Body: &text},
	}, nil
}

// emailNotice is the e-mail of a notice.
func (t *Trigger) emailNotice(to []string, p *plan, c *checked) *invocation.Invocation {
	return &invocation.Invocation{
		V: invocation.Version, Type: invocation.TypeEmail, Backend: invocation.BackendWebhook,
		Email: &invocation.Email{
			To:      to,
			Subject: oneLine("Approval needed: " + name(c)),
			Text: fmt.Sprintf("Run %s of action %s, started by %s, waits for approval.\n\n%s\n",
				p.run.ID, oneLine(name(c)), starter(p.run), p.link),
		},
	}
}

// linkTo is where a run can be read: under the deployment's base URL, or under the address that the
// caller used where none is set.
func (t *Trigger) linkTo(c *checked, id string) string {
	base := t.BaseURL
	if base == "" {
		base = c.address
	}
	return strings.TrimRight(base, "/") + "/v1/actions/runs/" + id
}

// name is what people call the action.
func name(c *checked) string {
	if c.Definition.Title != "" {
		return c.Definition.Title
	}
	return c.Definition.Identifier
}

// starter is who started a run, as people know them.
func starter(r *run.Run) string {
	if r.UserEmail != "" {
		return r.UserEmail
	}
	return r.CreatedBy
}

// slackText escapes what has a meaning in Slack's texts ("Formatting text for app surfaces", escaping).
func slackText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(oneLine(text))
}

// maxLine is the longest name in a notice, in characters.
const maxLine = 200

// oneLine returns text without control characters, of a readable length.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxLine {
		return string(runes[:maxLine]) + "…"
	}
	return text
}

// recordNotices records the notices of a run that is about to be recorded.
func (t *Trigger) recordNotices(ctx context.Context, p *plan) error {
	for _, n := range p.notices {
		if err := t.Runs.Create(ctx, n.run, n.body); err != nil {
			return err
		}
	}
	return nil
}

// sendNotices sends the notices of a run that is recorded.
func (t *Trigger) sendNotices(ctx context.Context, p *plan) {
	for _, n := range p.notices {
		if n.run.Delivery.Waiting == "" {
			m := queue.Message{V: queue.Version, PK: n.run.ID, Generation: n.run.Generation, Kind: queue.KindRun, Invocation: n.body.Invocation}
			send(ctx, t.Sender, t.Log, n.run.Backend, m, n.body.Invocation.Group())
		}
	}
}
