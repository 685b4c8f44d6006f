package dynamocatalog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/store/dynamostore/internal/table"
)

const (
	auditPrefix = "audit#"
	// auditShards is over how many partitions the entries of one day are spread: one takes 1,000 writes a
	// second.
	auditShards = 4
	// restPrefix begins the partition that has what of a large entry does not fit into one item.
	restPrefix = "auditrest#"
	// recordFor bounds what follows a change that has happened.
	recordFor = 5 * time.Second
)

// Audit keeps the audit log in the catalog table: an item of an entry in the partition of its day and
// shard, by its id.
type Audit struct {
	table     table.Table
	retention time.Duration
	now       func() time.Time
}

var _ audit.Store = (*Audit)(nil)

// NewAudit returns the audit log in a table. Retention 0 means audit.DefaultRetention.
func NewAudit(client table.Client, name string, retention time.Duration, now func() time.Time) *Audit {
	return &Audit{table: table.New(client, name), retention: retention, now: now}
}

// kept is how long entries are kept.
func kept(retention time.Duration) time.Duration {
	if retention <= 0 {
		return audit.DefaultRetention
	}
	return retention
}

// dayPartition returns one partition of a day.
func dayPartition(day time.Time, shard int) string {
	return fmt.Sprintf("%s%s#%d", auditPrefix, day.UTC().Format(time.DateOnly), shard)
}

// entryPlace returns where the entry of an id is.
func entryPlace(id string, at time.Time) table.Name {
	sum := sha256.Sum256([]byte(id))
	return table.Name{PK: dayPartition(at, int(sum[0])%auditShards), SK: id}
}

// subjectOf is the key of the index that leads to the entries of one thing. An entity belongs to its
// blueprint; the other things have identifiers of their own.
func subjectOf(resource, blueprint, identifier string) string {
	if resource != audit.Entity {
		blueprint = ""
	}
	return resource + "#" + table.KeyPart(blueprint) + "#" + table.KeyPart(identifier)
}

// entryItems returns an entry as it is stored: the item that makes it exist comes last.
func entryItems(t table.Table, e *audit.Entry, retention time.Duration) []table.Item {
	place, expires := entryPlace(e.ID, e.By.At), e.By.At.Add(kept(retention))
	i := table.NewItem(place.PK, place.SK)
	for name, value := range map[string]string{
		"action": e.Action, "resource": e.Resource, "identifier": e.Identifier, "blueprint": e.Blueprint, "entity": e.Entity,
		"by": e.By.ID, "email": e.By.Email, "origin": e.By.Origin, "runId": e.By.RunID,
	} {
		i.SetText(name, value)
	}
	i.SetTime("at", e.By.At)
	i.SetExpiry(expires)
	if e.Resource != audit.Run {
		i.SetText("subject", subjectOf(e.Resource, e.Blueprint, e.Identifier))
	}
	// Both texts in one: what they share is compressed away.
	diff, err := table.Encode([2]json.RawMessage{orNull(e.Before), orNull(e.After)})
	if err != nil {
		panic(fmt.Sprintf("encode JSON texts: %v", err)) // They are JSON.
	}
	var items []table.Item
	parts := table.Split(t.Codec.Pack(diff))
	for n, part := range parts[1:] {
		rest := table.NewItem(restPrefix+e.ID, fmt.Sprint(n+1))
		rest["diff"] = part
		rest.SetExpiry(expires)
		items = append(items, rest)
	}
	i["diff"] = parts[0]
	if len(parts) > 1 {
		i.SetInt("parts", int64(len(parts)))
	}
	return append(items, i)
}

func orNull(text json.RawMessage) json.RawMessage {
	if text == nil {
		return json.RawMessage("null")
	}
	return text
}

// Record implements audit.Store.
func (s *Audit) Record(ctx context.Context, entries ...*audit.Entry) error {
	for _, e := range audit.Kept(entries) {
		for _, i := range entryItems(s.table, e, s.retention) {
			// One that is there already is the same.
			if _, _, err := s.table.Put(ctx, i, "attribute_not_exists(pk)", nil); err != nil {
				return fmt.Errorf("record audit entry: %w", err)
			}
		}
	}
	return nil
}

// Missing implements audit.Store. It reads keys only, at the half price of a read that may lag.
func (s *Audit) Missing(ctx context.Context, entries ...*audit.Entry) ([]*audit.Entry, error) {
	var missing []*audit.Entry
	for some := range slices.Chunk(audit.Kept(entries), table.BatchKeys) {
		names := make([]table.Name, len(some))
		for n, e := range some {
			names[n] = entryPlace(e.ID, e.By.At)
		}
		there, err := s.table.There(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("look for audit entries: %w", err)
		}
		for n, e := range some {
			if !there[names[n]] {
				missing = append(missing, e)
			}
		}
	}
	return missing, nil
}

// entryOf reads an entry but for its contents.
func entryOf(i table.Item) *audit.Entry {
	return &audit.Entry{
		ID: i.Text("sk"), Action: i.Text("action"), Resource: i.Text("resource"), Identifier: i.Text("identifier"),
		Blueprint: i.Text("blueprint"), Entity: i.Text("entity"),
		By: audit.Author{ID: i.Text("by"), Email: i.Text("email"), Origin: i.Text("origin"), RunID: i.Text("runId"), At: i.Time("at")},
	}
}

// readDiff reads the contents of an entry, which may lie in several items.
func (s *Audit) readDiff(ctx context.Context, i table.Item, e *audit.Entry) error {
	parts := make([]types.AttributeValue, max(i.Int("parts"), 1))
	parts[0] = i["diff"]
	err := table.Parallel(len(parts)-1, func(n int) error {
		rest, err := s.table.Get(ctx, restPrefix+e.ID, fmt.Sprint(n+1))
		parts[n+1] = rest["diff"]
		return err
	})
	if err != nil {
		return err
	}
	text, err := s.table.Codec.Unpack(table.Join(parts))
	if err != nil {
		return fmt.Errorf("read audit entry %s: %w", e.ID, err)
	}
	if text == "" {
		// Its rest has expired.
		return nil
	}
	var diff [2]json.RawMessage
	if err := json.Unmarshal([]byte(text), &diff); err != nil {
		return fmt.Errorf("read audit entry %s: %w", e.ID, err)
	}
	for n, to := range []*json.RawMessage{&e.Before, &e.After} {
		if string(diff[n]) != "null" {
			*to = diff[n]
		}
	}
	return nil
}
