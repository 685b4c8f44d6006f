package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// listedEntities is how many entities a page has when the caller does not say.
const listedEntities = 200

// pageBytes leaves room beside the entities of a page for the longest next, which tells an identifier of 1,000
// characters in a text that encodes it twice.
const pageBytes = MaxAnswer - 16<<10

// foundEntities answers with a page of entities, and with their blueprints if the request named none.
func foundEntities(found *catalog.Found, across bool) (*answer, error) {
	var next *string
	if found.Next != "" {
		next = &found.Next
	}
	var blueprints []string
	if across {
		blueprints = append([]string{}, found.Blueprints...)
	}
	return ok(struct {
		OK         bool              `json:"ok"`
		Entities   []json.RawMessage `json:"entities"`
		Blueprints []string          `json:"matchingBlueprints,omitzero"`
		Next       *string           `json:"next"`
	}{true, append([]json.RawMessage{}, found.Views...), blueprints, next})
}

// searchEntities answers POST /v1/entities/search: the body is the search, all else is in the query. Callers
// who ask for no pages know none: they get all that fits into an answer.
func (s *server) searchEntities(r *request) (*answer, error) {
	q := r.query()
	f := catalog.Find{
		From: q.text("from"), Limit: math.MaxInt32,
		Bytes: searchBytes, Selection: q.selected(),
	}
	if f.From != "" || q.values.Has("limit") {
		f.Limit = q.number("limit", listedEntities, 1, maxListed)
	}
	v, err := jqtemplate.Decode(r.body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if _, isObject := v.(*jqtemplate.Object); !isObject {
		return nil, fault.New(fault.Invalid, "", "the body must be a JSON object")
	}
	if f.Search, err = catalog.ParseSearch(v, "", catalog.SearchOptions{}); err != nil {
		q.faults = append(q.faults, details(err)...)
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	found, err := s.Catalog.Find(r.Context(), f)
	if err != nil {
		return nil, fmt.Errorf("search entities: %w", err)
	}
	return foundEntities(found, true)
}

// details are the faults in an error.
func details(err error) []fault.Detail {
	var f *fault.Error
	if !errors.As(err, &f) {
		return nil
	}
	return f.Details
}

// searchBytes leaves room for the names of blueprints.
const searchBytes = MaxAnswer - 500_000

// searchBlueprint answers POST /v1/blueprints/{blueprint_identifier}/entities/search.
func (s *server) searchBlueprint(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	f := catalog.Find{Blueprint: r.params["blueprint_identifier"], Limit: b.number("limit", listedEntities, 1, maxListed), Bytes: pageBytes}
	if from := b.text("from", 0); from != nil {
		f.From = *from
	}
	f.Selection = r.query().selection(b.texts("include"), b.texts("exclude"))
	if query := b.value("query"); query != nil {
		if f.Search, err = catalog.ParseSearch(query, "query", catalog.SearchOptions{}); err != nil {
			b.faults = append(b.faults, details(err)...)
		}
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	found, err := s.Catalog.Find(r.Context(), f)
	if err != nil {
		return nil, fmt.Errorf("search entities: %w", err)
	}
	return foundEntities(found, false)
}

// number takes a whole number between least and most.
func (b *body) number(name string, absent, least, most int) int {
	var n float64
	switch v := b.value(name).(type) {
	case nil:
		return absent
	case float64:
		n = v
	case int:
		n = float64(v)
	default:
		n = math.NaN()
	}
	if math.IsNaN(n) || n != math.Trunc(n) || n < float64(least) || n > float64(most) {
		b.fault(name, "must be a whole number from %d to %d", least, most)
		return absent
	}
	return int(n)
}
