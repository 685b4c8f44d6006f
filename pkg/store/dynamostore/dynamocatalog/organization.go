package dynamocatalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/organization"
	"longshore/pkg/store/dynamostore/internal/table"
)

// settingKey is where the settings are in their partition.
const settingKey = "setting"

// Organization keeps settings and secrets in the catalog table.
type Organization struct {
	// definitions are the secrets.
	definitions
	settings definitions
}

var _ organization.Store = (*Organization)(nil)

// NewOrganization returns the store of settings and secrets in a table.
func NewOrganization(client table.Client, name string) *Organization {
	t := table.New(client, name)
	return &Organization{
		definitions: definitions{table: t, partition: "secret", noun: "a secret"},
		settings:    definitions{table: t, partition: "organization", noun: "the organization"},
	}
}

// Settings implements organization.Store.
func (s *Organization) Settings(ctx context.Context) (*organization.Settings, error) {
	i, err := s.settings.table.Get(ctx, s.settings.partition, settingKey)
	if err != nil {
		return nil, err
	}
	content, err := s.table.Codec.Unpack(i["content"])
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	o := &organization.Settings{Rev: i.Int("rev"), UpdatedAt: i.Time("updatedAt"), UpdatedBy: i.Text("updatedBy")}
	if content != "" {
		o.Content = json.RawMessage(content)
	}
	return o, nil
}

// ReplaceSettings implements organization.Store.
func (s *Organization) ReplaceSettings(ctx context.Context, o *organization.Settings, e *audit.Entry) error {
	i := table.NewItem(s.settings.partition, settingKey)
	i.SetInt("rev", o.Rev+1)
	i.SetTime("updatedAt", o.UpdatedAt)
	i.SetText("updatedBy", o.UpdatedBy)
	i["content"] = s.table.Codec.Pack(string(o.Content))
	condition, values := "rev = :rev", map[string]types.AttributeValue{":rev": table.Number(o.Rev)}
	if o.Rev == 0 {
		condition, values = "attribute_not_exists(pk)", nil
	}
	d := s.settings
	d.AuditRetention = s.AuditRetention
	err := d.change(ctx, "change the organization", []*audit.Entry{e}, d.put(i, condition, values))
	if _, ok := table.Refused(err, 0); ok {
		return fault.New(fault.Conflict, "conflict", "the organization was changed meanwhile")
	}
	return err
}

// Secrets implements organization.Store.
func (s *Organization) Secrets(ctx context.Context) ([]*organization.Secret, error) {
	return list(ctx, s.definitions, readSecret)
}

// Secret implements organization.Store.
func (s *Organization) Secret(ctx context.Context, name string) (*organization.Secret, error) {
	i, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return readSecret(i)
}

// CreateSecret implements organization.Store.
func (s *Organization) CreateSecret(ctx context.Context, o *organization.Secret, e *audit.Entry) error {
	return s.write(ctx, "create secret", o.Name, e, s.put(s.item(o, 1), isFree, nil), func(table.Item) error {
		return s.noun.taken(o.Name)
	})
}

// ReplaceSecret implements organization.Store.
func (s *Organization) ReplaceSecret(ctx context.Context, o *organization.Secret, e *audit.Entry) error {
	put := s.put(s.item(o, o.Rev+1), isSame, same(o.ID, o.Rev))
	return s.write(ctx, "replace secret", o.Name, e, put, func(found table.Item) error {
		return s.noun.refused(o.Name, found)
	})
}

// DeleteSecret implements organization.Store. What stays for an hour to say who deleted it has no value.
func (s *Organization) DeleteSecret(ctx context.Context, o *organization.Secret, by audit.Author, e *audit.Entry) error {
	buried := s.bury(o.Name, by, isSame, same(o.ID, o.Rev))
	buried.Update.UpdateExpression = aws.String(*buried.Update.UpdateExpression + " REMOVE sealed, description")
	return s.write(ctx, "delete secret", o.Name, e, buried, func(found table.Item) error {
		return s.noun.refused(o.Name, found)
	})
}

// write makes a change of a secret and its audit entry in one transaction.
func (s *Organization) write(ctx context.Context, doing, name string, e *audit.Entry, change types.TransactWriteItem, refused func(found table.Item) error) error {
	if name == "" {
		return s.noun.missing(name)
	}
	err := s.change(ctx, doing, []*audit.Entry{e}, change)
	if found, ok := table.Refused(err, 0); ok {
		return refused(found)
	}
	return err
}

// item returns a secret with its next rev as it is stored.
func (s *Organization) item(o *organization.Secret, rev int64) table.Item {
	i := record{
		identifier: o.Name, id: o.ID, rev: rev,
		createdAt: o.CreatedAt, updatedAt: o.UpdatedAt, createdBy: o.CreatedBy, updatedBy: o.UpdatedBy,
	}.item(s.partition)
	i.SetText("description", o.Description)
	i["sealed"] = table.Bytes(o.Sealed)
	return i
}

func readSecret(i table.Item) (*organization.Secret, error) {
	c := recordOf(i)
	sealed, ok := i["sealed"].(*types.AttributeValueMemberB)
	if !ok {
		return nil, fmt.Errorf("read secret %q: it has no value", c.identifier)
	}
	return &organization.Secret{
		Name: c.identifier, ID: c.id, Rev: c.rev, Description: i.Text("description"), Sealed: sealed.Value,
		CreatedAt: c.createdAt, UpdatedAt: c.updatedAt, CreatedBy: c.createdBy, UpdatedBy: c.updatedBy,
	}, nil
}
