package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/organization"
	"longshore/pkg/secret"
)

// Secrets opens the organization's secrets; *organization.Vault is one.
type Secrets interface {
	// Values returns those of the named secrets that are there, or with all every one. fault.Unavailable
	// when one cannot be read or opened now.
	Values(ctx context.Context, names []string, all bool) ([]organization.Value, error)
}

// withheld takes the place of a message that may quote a secret.
const withheld = "it failed for a reason that is not shown, since it may hold a secret"

// invoke renders the method of a definition of the second generation into the plan, once with what its
// template reads of the secrets, to be sent, and once with every one of them hidden, to be shown. Where
// they differ the run keeps what is sent sealed.
func (t *Trigger) invoke(ctx context.Context, c *checked, p *plan, report bool) error {
	d := c.Definition
	values, err := t.secrets(ctx, d.Method.Secrets)
	if err != nil {
		return err
	}
	if len(values) == 0 {
		if p.body.Invocation, p.failed, err = invokeV2(ctx, d, p.data, report); err != nil {
			return err
		}
		return t.route(ctx, p, p.body.Invocation)
	}
	open, hidden, hide := new(jqtemplate.Object), new(jqtemplate.Object), []string(nil)
	for _, v := range values {
		open.Set(v.Name, v.Text.Reveal())
		hidden.Set(v.Name, secret.Hidden)
		hide = append(hide, v.Text.Reveal())
	}
	sees := changed(p.data, object(member{"secrets", open}), "")
	p.data = changed(p.data, object(member{"secrets", hidden}), "")

	sent, err := render(ctx, d, sees, jqtemplate.Options{Report: report})
	if err != nil {
		_, shown := render(ctx, d, p.data, jqtemplate.Options{})
		return hideFault(err, shown)
	}
	shown, err := render(ctx, d, p.data, jqtemplate.Options{Report: report, Lenient: true})
	if err != nil {
		return err // A limit: a template fault fails no lenient rendering.
	}
	if err := sent.faults.beside(shown.faults); err != nil {
		return err
	}
	if err := t.route(ctx, p, sent.invocation); err != nil {
		return err
	}
	p.failed = hideFailed(sent.failed, shown.failed)
	shown.resemble(sent)
	p.body.Invocation = shown.invocation
	if report || same(sent.invocation, shown.invocation) {
		return nil
	}
	hide = append(hide, differences(sent.value, shown.value)...)
	if p.body.Sealed, err = invocation.Seal(ctx, t.Sealer, p.run.ID, sent.invocation, hide); err != nil {
		return fmt.Errorf("seal what is sent: %w", err)
	}
	p.body.Secrets = true
	return nil
}

// secrets opens what a template reads of the secrets.
func (t *Trigger) secrets(ctx context.Context, reads jqtemplate.Members) ([]organization.Value, error) {
	if t.Secrets == nil || reads.None() {
		return nil, nil
	}
	values, err := t.Secrets.Values(ctx, reads.Names, reads.All)
	if err != nil && fault.KindOf(err) != fault.Unavailable {
		return nil, notRecorded(err)
	}
	size := 0
	for _, v := range values {
		size += len(v.Text.Reveal())
	}
	if size > maxSecrets {
		return nil, fault.New(fault.Invalid, "template_limit",
			"the template reads secrets of %d bytes together, more than %d: let it name those that it needs", size, maxSecrets)
	}
	return values, err
}

// maxSecrets is how many bytes the secrets that one template reads may have together: what is sealed with
// a run holds all of them.
const maxSecrets = 1 << 20

// same reports whether two invocations are the same call.
func same(a, b *invocation.Invocation) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}

// resemble makes a masked rendering show what it is the rendering of: who carries it out, and that
// there are a URL and a method where the mask left none.
func (r *rendered) resemble(sent *rendered) {
	r.invocation.Backend = sent.invocation.Backend
	w, real := r.invocation.Webhook, sent.invocation.Webhook
	if w == nil || real == nil {
		return
	}
	w.Agent, w.Synchronized = real.Agent, real.Synchronized
	if w.URL == "" {
		w.URL = secret.Hidden
	}
	if !isMethod(w.Method) {
		w.Method = secret.Hidden
	}
}

// hideFault returns the fault of a rendering with secrets: those of its messages that the same rendering
// without them has too, nothing of the others but where they are.
func hideFault(err, shown error) error {
	e, ok := asFault(err)
	if !ok || len(e.Details) == 0 {
		return err // A limit, which quotes nothing.
	}
	var known []fault.Detail
	if s, ok := asFault(shown); ok {
		known = s.Details
	}
	details := make([]fault.Detail, len(e.Details))
	for i, d := range e.Details {
		details[i] = d
		if !has(known, d) {
			details[i].Message = withheld
		}
	}
	return fault.InvalidDetails(details)
}

func has(known []fault.Detail, d fault.Detail) bool {
	for _, k := range known {
		if k.Path == d.Path && k.Message == d.Message {
			return true
		}
	}
	return false
}

// beside returns the faults of a rendering with secrets. Names of headers stand in paths and messages:
// one that the masked rendering does not have too may be a secret.
func (f faults) beside(shown faults) error {
	const headers = "invocationMethod.headers"
	details := make([]fault.Detail, len(f))
	for i, d := range f {
		details[i] = d
		if strings.HasPrefix(d.Path, headers) && !has(shown, d) {
			details[i] = fault.Detail{Path: headers, Message: "has a header that cannot be sent: its name has a character " +
				"that none may have, or its value has control characters; it is not shown, since it may hold a secret"}
		}
	}
	return fault.InvalidDetails(details)
}

// hideFailed returns expressions that failed with messages that quote no secret.
func hideFailed(sent, shown []jqtemplate.Warning) []jqtemplate.Warning {
	for i, w := range sent {
		known := false
		for _, k := range shown {
			known = known || k == w
		}
		if !known {
			sent[i].Message = "jq: error: " + withheld
		}
	}
	return sent
}

// maxDifferences bounds how many parts that secrets made are searched for in answers.
const maxDifferences = 64

// differences are the parts of a rendered value that its masked form does not have: what expressions
// made of secrets, the member of one that is JSON for example, which their own values do not find.
func differences(sent, shown any) (parts []string) {
	var walk func(sent, shown any)
	note := func(text string) {
		if utf8.RuneCountInString(text) >= secret.MinMasked && len(parts) < maxDifferences {
			parts = append(parts, text)
		}
	}
	walk = func(sent, shown any) {
		switch v := sent.(type) {
		case string:
			masked, _ := shown.(string)
			note(between(v, masked))
		case float64:
			if shown != sent {
				note(string(jqtemplate.Encode(v)))
			}
		case []any:
			list, _ := shown.([]any)
			for i, e := range v {
				var other any
				if i < len(list) {
					other = list[i]
				}
				walk(e, other)
			}
		case *jqtemplate.Object:
			o, _ := shown.(*jqtemplate.Object)
			for name, e := range v.All() {
				other, _ := o.Get(name)
				walk(e, other)
			}
		}
	}
	walk(sent, shown)
	return parts
}

// between returns what is left of a text without what it begins and ends with as another does.
func between(text, other string) string {
	for text != "" && other != "" && text[0] == other[0] {
		text, other = text[1:], other[1:]
	}
	for text != "" && other != "" && text[len(text)-1] == other[len(other)-1] {
		text, other = text[:len(text)-1], other[:len(other)-1]
	}
	return strings.ToValidUTF8(text, "")
}
