package dynamostore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/breaker"
	"longshore/pkg/store/dynamostore/internal/table"
)

const hostPrefix = "host#"

// Hosts keeps the states of breakers in the runs table: an item for each host. Reads are eventual, half a
// unit each.
type Hosts struct {
	table table.Table
	now   func() time.Time
}

var _ breaker.Store = (*Hosts)(nil)

// NewHosts returns the store of hosts in the runs table.
func NewHosts(client Client, name string, now func() time.Time) *Hosts {
	return &Hosts{table.New(client, name), now}
}

// Host implements breaker.Store.
func (s *Hosts) Host(ctx context.Context, backend, name string) (breaker.Host, error) {
	out, err := s.table.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table.Name, Key: table.Key(hostPrefix+backend, table.KeyPart(name)),
	})
	if err != nil {
		return breaker.Host{}, table.Failed(err, "get host "+name)
	}
	return s.host(backend, name, out.Item), nil
}

// host reads an item. Of one that has expired only the revision is left.
func (s *Hosts) host(backend, name string, i table.Item) breaker.Host {
	h := breaker.Host{Backend: backend, Name: name, Rev: i.Int("rev")}
	if i.Expired(s.now()) {
		return h
	}
	h.Failures, h.Opened = int(i.Int("failures")), int(i.Int("opened"))
	h.Since, h.OpenUntil, h.ProbeUntil = i.Time("since"), i.Time("openUntil"), i.Time("probeUntil")
	h.Reason = i.Text("reason")
	return h
}

// PutHost implements breaker.Store.
func (s *Hosts) PutHost(ctx context.Context, h breaker.Host) (now breaker.Host, won bool, err error) {
	i := table.NewItem(hostPrefix+h.Backend, table.KeyPart(h.Name))
	if len(h.Name) > table.MaxKeyPart {
		i.SetText("name", h.Name)
	}
	i.SetInt("rev", h.Rev)
	i.SetInt("failures", int64(h.Failures))
	i.SetInt("opened", int64(h.Opened))
	i.SetTime("since", h.Since)
	i.SetTime("openUntil", h.OpenUntil)
	i.SetTime("probeUntil", h.ProbeUntil)
	i.SetText("reason", h.Reason)
	i.SetExpiry(s.now().Add(breaker.Retention))
	i.SetMark(table.NewMark())
	condition, values := "attribute_not_exists(pk)", map[string]types.AttributeValue(nil)
	if h.Rev > 1 {
		condition, values = "rev = :rev", map[string]types.AttributeValue{":rev": table.Number(h.Rev - 1)}
	}
	old, won, err := s.table.Put(ctx, i, condition, values)
	if err != nil || won {
		return h, won, err
	}
	return s.host(h.Backend, h.Name, old), false, nil
}

// Hosts implements breaker.Store.
func (s *Hosts) Hosts(ctx context.Context, backend string) ([]breaker.Host, error) {
	var hosts []breaker.Host
	err := s.table.Query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(hostPrefix + backend)},
	}, func(page []map[string]types.AttributeValue) bool {
		for _, found := range page {
			i := table.Item(found)
			if i.Expired(s.now()) {
				continue
			}
			name := i.Text("name")
			if name == "" {
				name = i.Text("sk")
			}
			hosts = append(hosts, s.host(backend, name, i))
		}
		return true
	})
	return hosts, err
}
