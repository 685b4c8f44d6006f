package permission

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
)

const (
	// Deadline is how long the queries and conditions of a policy may take together.
	Deadline = 5 * time.Second
	// MaxEntities is how many entities a query of a policy yields.
	MaxEntities = 1_000
	// maxBytes is how many bytes of entities the queries of a policy yield together, about; each has an
	// equal share.
	maxBytes = 16 << 20
)

// facts are what a policy is judged by.
type facts struct {
	caller    identity.Caller
	inputs    *jqtemplate.Object
	entity    *jqtemplate.Object
	blueprint string
	// action is an object with identifier and title, nil for none.
	action any
	at     time.Time
}

func (j *Judge) factsOf(q Question) *facts {
	d := q.Action.Definition
	return &facts{
		caller: q.Caller, inputs: q.Inputs, entity: q.Entity, blueprint: d.Blueprint,
		action: object(member{"identifier", d.Identifier}, member{"title", titleOr(d.Title)}), at: q.At,
	}
}

func titleOr(title string) any {
	if title == "" {
		return nil
	}
	return title
}

// value is what templates and conditions see, but for the results.
func (f *facts) value(blueprint any) *jqtemplate.Object {
	user := userValue(f.caller)
	orEmpty := func(o *jqtemplate.Object) *jqtemplate.Object {
		if o == nil {
			return new(jqtemplate.Object)
		}
		return o
	}
	return object(
		member{"inputs", orEmpty(f.inputs)}, member{"user", user}, member{"entity", orEmpty(f.entity)},
		member{"blueprint", blueprint}, member{"action", f.action},
		member{"trigger", object(member{"at", stamp(f.at)}, member{"user", user})},
	)
}

// stamp is a time in RFC 3339 with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// userValue is a user as policies see them: as trigger data has them, with role and teams. Of a machine
// only the id is known.
func userValue(c identity.Caller) *jqtemplate.Object {
	o := object(member{"id", c.ID})
	text := func(name, value string) { o.Set(name, titleOr(value)) }
	u := c.User
	if u == nil {
		u = &identity.User{}
	}
	text("email", u.Email)
	text("firstName", u.FirstName)
	text("lastName", u.LastName)
	text("status", u.Status)
	text("role", string(u.Role))
	teams := make([]any, len(u.Teams))
	for i, t := range u.Teams {
		teams[i] = t
	}
	o.Set("teams", teams)
	return o
}

// holds reports whether one of a policy's conditions yields true.
func (j *Judge) holds(ctx context.Context, p *catalog.Policy, f *facts) (held bool, err error) {
	err = j.judge(ctx, p, f, func(v any) bool {
		held = v == true
		return held
	})
	return held, err
}

// emails returns all that a policy's conditions yield.
func (j *Judge) emails(ctx context.Context, p *catalog.Policy, f *facts) (emails []string, err error) {
	err = j.judge(ctx, p, f, func(v any) bool {
		emails = append(emails, document.Texts(v)...)
		return false
	})
	return emails, err
}

// judge carries out a policy's queries and calls each with what its conditions yield, until it returns
// true. A condition that fails yields nothing.
func (j *Judge) judge(outer context.Context, p *catalog.Policy, f *facts, each func(any) bool) error {
	ctx, cancel := context.WithTimeout(outer, Deadline)
	defer cancel()
	over := func(err error) error {
		switch {
		case outer.Err() != nil:
			return outer.Err()
		case ctx.Err() != nil:
			return fault.New(fault.Invalid, "template_limit", "the policy took more than %s", Deadline)
		}
		return err
	}
	value, err := j.withResults(ctx, p, f)
	if err = over(err); err != nil {
		return err
	}
	data := jqtemplate.NewData(value)
	for _, condition := range p.Conditions {
		if condition == nil {
			continue
		}
		v, defined, err := condition.Eval(ctx, data)
		if ctx.Err() != nil {
			return over(err)
		}
		if err == nil && defined && each(v) {
			return nil
		}
	}
	return nil
}

// withResults returns what conditions see.
func (j *Judge) withResults(ctx context.Context, p *catalog.Policy, f *facts) (*jqtemplate.Object, error) {
	value, err := j.value(ctx, f)
	if err != nil {
		return nil, err
	}
	data := jqtemplate.NewData(value)
	results := new(jqtemplate.Object)
	for _, q := range p.Queries {
		entities, err := j.query(ctx, q.Search, data, f.caller, maxBytes/len(p.Queries))
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", q.Name, err)
		}
		results.Set(q.Name, object(member{"entities", entities}))
	}
	// The data above must not change: the results go into a copy.
	all := object(member{"results", results})
	for name, v := range value.All() {
		all.Set(name, v)
	}
	return all, nil
}

// value returns the facts with the title of their blueprint.
func (j *Judge) value(ctx context.Context, f *facts) (*jqtemplate.Object, error) {
	if f.blueprint == "" {
		return f.value(nil), nil
	}
	var title any
	k, err := j.Catalog.Blueprint(ctx, f.blueprint)
	switch {
	case err == nil && k.Definition != nil:
		title = titleOr(k.Definition.Title)
	case err != nil && !ignored(err):
		return nil, err
	}
	return f.value(object(member{"identifier", f.blueprint}, member{"title", title})), nil
}

// ignored reports an error that says that a query asks for what cannot be: its result is empty. A store
// that fails is another matter, for an empty result may be what permits.
func ignored(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Invalid || kind == fault.NotFound
}

// query returns the entities that a search is for, at most MaxEntities and about left bytes.
func (j *Judge) query(ctx context.Context, search *catalog.Search, data *jqtemplate.Data, by identity.Caller, left int) ([]any, error) {
	search, err := j.bound(ctx, search, data, by)
	var found []*jqtemplate.Object
	if err == nil {
		found, _, err = j.Catalog.Find(ctx, catalog.Find{Search: search, Limit: MaxEntities, Bytes: left})
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !ignored(err):
		return nil, err
	}
	entities := make([]any, len(found))
	for i, e := range found {
		entities[i] = e
	}
	return entities, nil
}

// bound returns a search with the values of its templates and of the caller's properties.
func (j *Judge) bound(ctx context.Context, search *catalog.Search, data *jqtemplate.Data, by identity.Caller) (*catalog.Search, error) {
	search, err := search.Render(ctx, data)
	if err != nil {
		return nil, err
	}
	email := ""
	if by.User != nil {
		email = by.User.Email
	}
	return search.Bind(j.Catalog.Caller(ctx, email))
}
