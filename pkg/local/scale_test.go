package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// scaledProperty is long enough for entities of about 1 KiB.
const scaledProperty = 900

// scaled is how many entities there are: 100,000, or what LONGSHORE_SCALE says if it is more than 1.
func scaled() int {
	if n, err := strconv.Atoi(os.Getenv("LONGSHORE_SCALE")); err == nil && n > 1 {
		return n
	}
	return 100_000
}

// BenchmarkCatalogAtScale is a blueprint of 100,000 entities of 1 KiB, through the API of one process: it
// is filled, searched by a property, paged through, and deleted with all its entities in slices. Each step
// has its seconds and the peak of the heap, clients included. On DynamoDB Local and ElasticMQ too with
// LONGSHORE_SCALE=1, for it takes the better part of an hour there; LONGSHORE_SCALE=10000 is for as many.
func BenchmarkCatalogAtScale(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkScale(b, local.Config{Data: b.TempDir()}) })
	b.Run("DynamoDB", func(b *testing.B) {
		if os.Getenv("LONGSHORE_SCALE") == "" {
			b.Skip("LONGSHORE_SCALE is not set")
		}
		for name, value := range map[string]string{
			"AWS_ENDPOINT_URL_DYNAMODB": emulator.DynamoDB(b), "AWS_ENDPOINT_URL_SQS": emulator.SQS(b),
			"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
			"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
		} {
			b.Setenv(name, value)
		}
		name := strconv.FormatInt(time.Now().UnixNano(), 36)
		benchmarkScale(b, local.Config{
			Data: b.TempDir(), AWS: true, AWSCreate: true, RunsTable: "runs-" + name, CatalogTable: "catalog-" + name,
		})
	})
}

func benchmarkScale(b *testing.B, c local.Config) {
	c.Addr, c.Log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	s, err := local.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	f := &fleet{b: b, url: "http://" + s.Addr(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	f.login(s.Credentials())
	for b.Loop() {
		f.call("POST", "/v1/blueprints", `{"identifier":"ship","title":"Ship","schema":{"properties":{"n":{"type":"number"},"text":{"type":"string"}}}}`, nil)
		f.measure("fill", f.fill)
		f.measure("search", f.search)
		f.measure("page", f.page)
		f.measure("delete", f.remove)
	}
}

// fleet is a client of the API.
type fleet struct {
	b          *testing.B
	client     *http.Client
	url, token string
}

func (f *fleet) login(c local.Credentials) {
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	f.call("POST", "/v1/auth/access_token", fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, c.ClientID, c.ClientSecret), &answer)
	f.token = answer.AccessToken
}

// call makes a request and decodes its answer.
func (f *fleet) call(method, path, body string, into any) {
	request, err := http.NewRequestWithContext(f.b.Context(), method, f.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		f.b.Error(err)
		return
	}
	if f.token != "" {
		request.Header.Set("Authorization", "Bearer "+f.token)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		f.b.Error(err)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusServiceUnavailable && !f.b.Failed() {
		// As clients are told to: DynamoDB Local is slow when others use it too.
		time.Sleep(time.Second)
		f.call(method, path, body, into)
		return
	}
	if answer.StatusCode >= http.StatusMultiStatus {
		text, _ := io.ReadAll(answer.Body)
		f.b.Errorf("%s %s: %d %.300s", method, path, answer.StatusCode, text)
		return
	}
	if into == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		return
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		f.b.Errorf("%s %s: %v", method, path, err)
	}
}

// measure reports how long a step took and the peak of the heap meanwhile.
func (f *fleet) measure(name string, step func()) {
	f.b.Helper()
	runtime.GC()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		most := uint64(0)
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-done:
				peak <- most
				return
			case <-ticker.C:
			}
		}
	}()
	began := time.Now()
	step()
	took := time.Since(began)
	close(done)
	f.b.ReportMetric(took.Seconds(), name+"-s")
	f.b.ReportMetric(float64(<-peak)/(1<<20), name+"-MiB")
	if f.b.Failed() {
		f.b.FailNow()
	}
}

func (f *fleet) fill() {
	const bulk, clients = 20, 8
	text := strings.Repeat("x", scaledProperty)
	var all sync.WaitGroup
	for worker := range clients {
		all.Go(func() {
			for from := worker * bulk; from < scaled() && !f.b.Failed(); from += clients * bulk {
				var list []string
				for i := from; i < from+bulk; i++ {
					list = append(list, fmt.Sprintf(`{"identifier":"ship-%06d","properties":{"n":%d,"text":%q}}`, i, i%1000, text))
				}
				f.call("POST", "/v1/blueprints/ship/entities/bulk?upsert=true", `{"entities":[`+strings.Join(list, ",")+`]}`, nil)
			}
		})
	}
	all.Wait()
}

// found is a page of entities.
type found struct {
	Entities []json.RawMessage `json:"entities"`
	Next     string            `json:"next"`
}

// search finds the 100 entities of a number, on as many pages as their place makes of it.
func (f *fleet) search() {
	n := 0
	f.pages(func(from string) (p found) {
		f.call("POST", "/v1/blueprints/ship/entities/search",
			fmt.Sprintf(`{"query":{"combinator":"and","rules":[{"property":"n","operator":"=","value":7}]},"limit":1000%s}`, from), &p)
		n += len(p.Entities)
		return p
	}, `,"from":%q`)
	if want := (scaled() + 992) / 1000; n != want {
		f.b.Errorf("%d entities found, want %d", n, want)
	}
}

func (f *fleet) page() {
	n := 0
	f.pages(func(from string) (p found) {
		f.call("GET", "/v1/blueprints/ship/entities?limit=1000"+from, "", &p)
		n += len(p.Entities)
		return p
	}, "&from=%s")
	if n != scaled() {
		f.b.Errorf("%d entities on all pages, want %d", n, scaled())
	}
}

func (f *fleet) pages(get func(from string) found, next string) {
	from := ""
	for !f.b.Failed() {
		p := get(from)
		if p.Next == "" {
			return
		}
		from = fmt.Sprintf(next, p.Next)
	}
}

func (f *fleet) remove() {
	var begun struct {
		MigrationID string `json:"migrationId"`
	}
	f.call("DELETE", "/v1/blueprints/ship/all-entities?delete_blueprint=true", "", &begun)
	for !f.b.Failed() {
		var answer struct {
			Migration struct {
				Status  string `json:"status"`
				Deleted int    `json:"deletedEntities"`
			} `json:"migration"`
		}
		f.call("GET", "/v1/migrations/"+begun.MigrationID, "", &answer)
		switch m := answer.Migration; m.Status {
		case "RUNNING":
			time.Sleep(100 * time.Millisecond)
		case "COMPLETED":
			if m.Deleted != scaled() {
				f.b.Errorf("%d entities deleted, want %d", m.Deleted, scaled())
			}
			return
		default:
			f.b.Errorf("the migration is %s", m.Status)
		}
	}
}
