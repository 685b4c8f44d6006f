package trigger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// maxFailedText bounds the log line about failed queries, in bytes.
const maxFailedText = 16 << 10

// completeInputs fills in and checks the user inputs of a request, looks for what they name, and
// encrypts those that are to be: nothing that comes later sees them in clear. Details are all that is
// wrong with them.
func (t *Trigger) completeInputs(ctx context.Context, c *checked, q Request) (details []fault.Detail, err error) {
	limited, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	inputs := c.Definition.Inputs
	done, err := inputs.Complete(limited, given(q), action.Scope{Entity: c.entity, User: user(c.caller)})
	var e *fault.Error
	switch {
	case done != nil && err == nil:
	case done != nil && errors.As(err, &e):
		details = e.Details
	case ctx.Err() != nil:
		return nil, notRecorded(ctx.Err())
	default:
		return nil, err
	}
	titles, faults, err := t.resolve(limited, done.Named, email(c.caller))
	if err != nil {
		return nil, err
	}
	if details = append(details, faults...); len(details) > 0 {
		return details, nil
	}
	if c.properties, err = inputs.Encrypt(done.Values, t.ClientSecret); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "inputs with encryption cannot be accepted: this deployment has no client secret of 32 characters or more")
	}
	c.inputs = inputs.Expand(c.properties, func(path string) any { return titles[path] })
	c.failed = done.Failed
	return nil, nil
}

// resolve looks for what inputs name. It returns the titles by path, and a fault for each that is not
// there or not in its dataset. Email is that of who the run is by, empty for a machine.
func (t *Trigger) resolve(ctx context.Context, named []action.Named, email string) (titles map[string]any, faults []fault.Detail, err error) {
	if len(named) == 0 {
		return nil, nil, nil
	}
	caller := t.Entities.Caller(ctx, email)
	bound := map[*catalog.Search]*catalog.Search{}
	references := make([]catalog.Reference, len(named))
	for i, n := range named {
		references[i] = n.Reference
		dataset := n.Dataset
		if dataset == nil {
			continue
		}
		if bound[dataset] == nil {
			if bound[dataset], err = dataset.Bind(caller); err != nil {
				return nil, nil, notRecorded(err)
			}
		}
		references[i].Dataset = bound[dataset]
	}
	found, err := t.Entities.Resolve(ctx, references)
	switch {
	case err != nil && (ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable):
		return nil, nil, notRecorded(err)
	case err != nil:
		return nil, nil, fmt.Errorf("look up what inputs name: %w", err)
	}
	titles = make(map[string]any, len(named))
	for i, n := range named {
		titles[n.Path] = found[i].Title
		if message := missing(n.Reference, found[i]); message != "" {
			faults = append(faults, fault.Detail{Path: n.Path, Message: message})
		}
	}
	return titles, faults, nil
}

// missing says what is wrong with what a reference leads to, nothing when it is right. It does not
// quote the value.
func missing(r catalog.Reference, found catalog.Referent) string {
	switch {
	case r.Format == catalog.FormatUser && !found.Found:
		return "must be the e-mail of a user, there is no such user"
	case r.Format == catalog.FormatTeam && !found.Found:
		return "must be the identifier or the name of a team, there is no such team"
	case !found.Found && r.Blueprint == "":
		return "must be the identifier of an entity, there is no such entity"
	case !found.Found && !found.Blueprint:
		return fmt.Sprintf("must be the identifier of an entity of %s, there is no such blueprint", r.Blueprint)
	case !found.Found:
		return fmt.Sprintf("must be the identifier of an entity of %s, there is no such entity", r.Blueprint)
	case !found.Satisfies:
		return "must be an entity of the input's dataset, this one is not"
	}
	return ""
}

// failedText is the log line about the queries that count as absent, "" without any.
func failedText(failed []jqtemplate.Warning) string {
	if len(failed) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("These queries of the inputs count as absent:")
	for i, w := range failed {
		if b.Len()+len(w.Path)+len(w.Message) > maxFailedText {
			fmt.Fprintf(&b, "\nand %d more", len(failed)-i)
			break
		}
		b.WriteString("\n" + w.Path + ": " + w.Message)
	}
	return b.String()
}

// censored is the list of the encrypted inputs' names.
func (c *checked) censored() []byte {
	names := []any{}
	for _, name := range c.Definition.Inputs.Encrypted() {
		names = append(names, name)
	}
	return jqtemplate.Encode(names)
}

// sameInputs reports whether a run's stored properties are the inputs of a request. Encrypted ones are
// compared in clear, for no two are encrypted alike; they are others where they cannot be decrypted.
func (t *Trigger) sameInputs(c *checked, stored []byte) (bool, error) {
	value, err := jqtemplate.Decode(stored)
	if err != nil {
		return false, fmt.Errorf("read the inputs of a run: %w", err)
	}
	before, ok := value.(*jqtemplate.Object)
	if !ok {
		return false, nil
	}
	inputs := c.Definition.Inputs
	if before, err = inputs.Decrypt(before, t.ClientSecret); err != nil {
		return false, err
	}
	now, err := inputs.Decrypt(c.properties, t.ClientSecret)
	return err == nil && digest(before) == digest(now), err
}
