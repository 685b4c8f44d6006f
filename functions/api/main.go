// Api is the function behind every route that starts no run. API Gateway starts it.
package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/inbound"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	runs := dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)
	actions := dynamocatalog.NewActions(table, e.CatalogTable)
	cache := action.NewCache(actions)
	var own struct {
		Secret      string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET"`
		ARN         string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET_ARN"`
		GitLabToken string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN"`
		GitLabARN   string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	secrets := func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}
	client := awssecret.NewClient(e.AWS)
	github := awssecret.New(client, time.Now, secrets, awssecret.Secret{Plain: own.Secret, ARN: own.ARN, Rotates: true})
	gitlab := awssecret.New(client, time.Now, secrets, awssecret.Secret{Plain: own.GitLabToken, ARN: own.GitLabARN, Rotates: true})
	entities := catalog.NewService(dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now), time.Now)
	return apifunction.New(e, func(c api.Config) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Catalog = actions, cache, runs, entities
		c.GitHubEvents = &inbound.GitHub{Ender: inbound.Ender{Runs: runs, Log: e.Log}, Secrets: github.Get}
		c.GitLabEvents = &inbound.GitLab{Ender: inbound.Ender{Runs: runs, Log: e.Log}, Tokens: gitlab.Get}
		return api.New(c)
	})
}
