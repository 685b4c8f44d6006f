package dynamocatalog_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/storetest"
)

func TestOrganization(t *testing.T) {
	t.Parallel()
	storetest.Organization(t, func(t *testing.T) storetest.OrganizationStore {
		client, table := newTable(t)
		return storetest.OrganizationStore{
			Store: dynamocatalog.NewOrganization(client, table),
			Audit: dynamocatalog.NewAudit(client, table, 0, time.Now),
			Raw:   func(t *testing.T) []byte { return bytesOf(t, client, table) },
		}
	})
}

// bytesOf returns all strings and bytes that the items of a table hold.
func bytesOf(t *testing.T, client *dynamodb.Client, table string) (all []byte) {
	t.Helper()
	var add func(types.AttributeValue)
	add = func(v types.AttributeValue) {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			all = append(append(all, v.Value...), '\n')
		case *types.AttributeValueMemberB:
			all = append(append(all, v.Value...), '\n')
		case *types.AttributeValueMemberM:
			for _, inner := range v.Value {
				add(inner)
			}
		}
	}
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			for name, v := range i {
				all = append(append(all, name...), ' ')
				add(v)
			}
		}
	}
	return all
}
