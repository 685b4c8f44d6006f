package local_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/klauspost/compress/zstd"

	"longshore/pkg/emulator"
)

func TestNoSecretLeaksOnSQLite(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	huntSecrets(t, c, func(t *testing.T) map[string]string {
		files := map[string]string{}
		names, err := filepath.Glob(filepath.Join(c.Data, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(name)] = string(text)
		}
		if len(files["longshore.db"])+len(files["longshore.db-wal"]) < 10_000 {
			t.Errorf("the database is not among the files")
		}
		return files
	})
}

func TestNoSecretLeaksOnAWS(t *testing.T) {
	tables, messages := emulator.DynamoDB(t), &shared{}
	target, err := url.Parse(emulator.SQS(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		text, err := io.ReadAll(r.In.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(messages, string(text))
		r.SetURL(target)
		r.Out.Body = io.NopCloser(bytes.NewReader(text))
	}}
	queues := httptest.NewServer(proxy)
	t.Cleanup(queues.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": tables, "AWS_ENDPOINT_URL_SQS": queues.URL,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "leak-runs-"+name, "leak-catalog-"+name
	huntSecrets(t, c, func(t *testing.T) map[string]string {
		if !strings.Contains(messages.String(), "generation") {
			t.Errorf("the messages are not among the requests to SQS: %s", messages)
		}
		return map[string]string{
			c.RunsTable:    itemsOf(t, emulator.Config(tables), c.RunsTable),
			c.CatalogTable: itemsOf(t, emulator.Config(tables), c.CatalogTable),
			"the queue":    messages.String(),
		}
	})
}

// itemsOf returns all texts that a table's items hold, unpacked.
func itemsOf(t *testing.T, config aws.Config, table string) string {
	t.Helper()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	var all strings.Builder
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(config), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			dump(&all, unpack, &types.AttributeValueMemberM{Value: item})
		}
	}
	return all.String()
}

// dump writes an attribute with all that is in it, unpacked.
func dump(to *strings.Builder, unpack *zstd.Decoder, v types.AttributeValue) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		fmt.Fprintln(to, v.Value)
	case *types.AttributeValueMemberB:
		fmt.Fprintln(to, string(v.Value))
		// A byte that says how it is packed may stand in front.
		if at := bytes.Index(v.Value, []byte{0x28, 0xb5, 0x2f, 0xfd}); at >= 0 {
			if plain, err := unpack.DecodeAll(v.Value[at:], nil); err == nil {
				fmt.Fprintln(to, string(plain))
			}
		}
	case *types.AttributeValueMemberM:
		for name, v := range v.Value {
			fmt.Fprintln(to, name)
			dump(to, unpack, v)
		}
	case *types.AttributeValueMemberL:
		for _, v := range v.Value {
			dump(to, unpack, v)
		}
	case *types.AttributeValueMemberSS:
		fmt.Fprintln(to, strings.Join(v.Value, "\n"))
	}
}
