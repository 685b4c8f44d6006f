package backend_test

import (
	"context"
	"strings"
	"testing"

	"longshore/pkg/backend"
	"longshore/pkg/backend/azuredevops"
	"longshore/pkg/backend/github"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/egress"
	"longshore/pkg/signature"
)

// The one host of each backend that has one, as GET /v1/backends shows it.
func TestHostOfEachBackend(t *testing.T) {
	t.Parallel()
	secrets := func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, nil }
	client := egress.New(egress.Config{})
	brokers := func(n int) []string { return strings.Split(strings.Repeat("broker.example:9092,", n)+"last:1", ",") }
	for name, c := range map[string]struct {
		open func() (backend.Hoster, error)
		want string
	}{
		"github.com": {func() (backend.Hoster, error) { return github.New(github.Config{Client: client}) }, "https://api.github.com:443"},
		"GitHub Enterprise": {func() (backend.Hoster, error) {
			return github.New(github.Config{APIURL: "http://GHE.example:8080/api/v3", Client: client})
		}, "http://ghe.example:8080"},
		"gitlab.com":   {func() (backend.Hoster, error) { return gitlab.New(gitlab.Config{}) }, "https://gitlab.com:443"},
		"GitLab":       {func() (backend.Hoster, error) { return gitlab.New(gitlab.Config{URL: "https://git.example/gitlab"}) }, "https://git.example:443"},
		"Azure DevOps": {func() (backend.Hoster, error) { return azuredevops.New(azuredevops.Config{Secrets: secrets}) }, "https://dev.azure.com:443"},
		"Kafka": {func() (backend.Hoster, error) {
			return kafka.New(kafka.Config{Brokers: brokers(1), OrgID: "org"})
		}, "kafka://broker.example:9092,last:1"},
		"Kafka with many brokers": {func() (backend.Hoster, error) {
			return kafka.New(kafka.Config{Brokers: brokers(50), OrgID: "org"})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := c.open()
			if err != nil {
				t.Fatal(err)
			}
			got := b.Host()
			if got != c.want && c.want != "" || len(got) > 300 {
				t.Errorf("got %q of %d bytes, want %q", got, len(got), c.want)
			}
		})
	}
}
