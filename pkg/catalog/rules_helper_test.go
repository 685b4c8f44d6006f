package catalog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// made is when everything in these tests was created.
var made = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)

// blueprint returns a blueprint with those properties (the members of an object) and members at the top.
func blueprint(properties, members string) string {
	if members != "" {
		members = "," + members
	}
	return fmt.Sprintf(`{"identifier":"service","title":"Service","schema":{"properties":{%s}}%s}`, properties, members)
}

func definition(t testing.TB, text string) *catalog.Definition {
	t.Helper()
	d, err := catalog.ParseBlueprint(json.RawMessage(text))
	if err != nil {
		t.Fatalf("ParseBlueprint(%.300s): %v", text, err)
	}
	return d
}

func body(t testing.TB, text string, w catalog.Write) *catalog.Body {
	t.Helper()
	b, err := catalog.ParseBody(json.RawMessage(text), w)
	if err != nil {
		t.Fatalf("ParseBody(%.300s): %v", text, err)
	}
	return b
}

func entity(identifier, content string) *catalog.Entity {
	return &catalog.Entity{
		Key: catalog.Key{Blueprint: "bp_1", Identifier: identifier}, ID: "ent_1", Content: json.RawMessage(content),
		CreatedAt: made, UpdatedAt: made.Add(time.Minute - 6*time.Millisecond).In(time.FixedZone("", 3600)),
		CreatedBy: "client_1", UpdatedBy: "client_2",
	}
}

// entityTimes is what views end with for the entities of entity.
const entityTimes = `"createdAt":"2026-01-02T03:04:05.006Z","updatedAt":"2026-01-02T03:05:05.000Z","createdBy":"client_1","updatedBy":"client_2"`

// lines returns a fault of a kind as its details, one line each.
func lines(t testing.TB, err error, kind fault.Kind) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind {
		t.Fatalf("got error %v, want a fault of kind %d", err, kind)
	}
	if len(f.Details) == 0 {
		return []string{f.Message}
	}
	var list []string
	for _, d := range f.Details {
		list = append(list, d.Path+": "+d.Message)
	}
	return list
}
