package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/backend/azuredevops"
	"longshore/pkg/backend/github"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/boot"
	"longshore/pkg/boot/githubsettings"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/egress"
	"longshore/pkg/identity/oidc"
	"longshore/pkg/invocation"
	"longshore/pkg/local"
	"longshore/pkg/trace/otlp"
)

type serveCommand struct {
	boot.Settings
	Addr                 string                  `env:"LONGSHORE_ADDR" default:"127.0.0.1:8080" help:"The address to listen on; port 0 picks one."`
	Data                 string                  `env:"LONGSHORE_DATA" default:"./.longshore" help:"The directory of database and generated credentials."`
	ClientSecret         string                  `env:"LONGSHORE_CLIENT_SECRET" help:"The client secret, at least 32 characters; generated and kept by default."`
	ClientSecretPrevious string                  `env:"LONGSHORE_CLIENT_SECRET_PREVIOUS" help:"The secret before, during a rotation."`
	TokenKey             string                  `env:"LONGSHORE_TOKEN_KEY" help:"The key of access tokens, 32 bytes in base64; generated and kept by default."`
	SealingKey           string                  `env:"LONGSHORE_SEALING_KEY" help:"The key that seals secrets, 32 bytes in base64; generated and kept by default."`
	SealingKeyPrevious   string                  `env:"LONGSHORE_SEALING_KEY_PREVIOUS" help:"Older sealing keys, separated by commas, while something is sealed with them."`
	EgressAllow          string                  `env:"LONGSHORE_EGRESS_ALLOW" default:"127.0.0.0/8,::1/128" help:"Hosts and CIDRs of private addresses that backends may be called at."`
	LogFormat            string                  `env:"LONGSHORE_LOG_FORMAT" enum:"auto,text,json" default:"auto" help:"text, json; by default text on a terminal."`
	GitHub               githubsettings.Settings `embed:""`
	GitHubWebhookSecret  string                  `name:"github-webhook-secret" env:"LONGSHORE_GITHUB_WEBHOOK_SECRET" help:"The secret that GitHub signs its events to /webhooks/github with."`
	GitLab               gitlab.Settings         `embed:""`
	GitLabWebhookToken   string                  `name:"gitlab-webhook-token" env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN" help:"The token that GitLab sends with its events to /webhooks/gitlab."`
	Kafka                kafkasettings.Settings  `embed:""`
	AgentKafka           boot.AgentKafka         `embed:""`
	AzureDevOpsURL       string                  `name:"azure-devops-url" env:"LONGSHORE_AZURE_DEVOPS_URL" help:"The address of Azure DevOps; by default Azure's own service."`
	AWS                  bool                    `name:"aws" env:"LONGSHORE_AWS" help:"Use DynamoDB and SQS instead of SQLite."`
	AWSCreate            bool                    `name:"aws-create" env:"LONGSHORE_AWS_CREATE" help:"Make missing tables and queues."`

	// Validate reads these from the flags.
	allow             egress.Allow
	githubCredentials github.Credentials
	gitlabCredentials gitlab.Credentials
}

// Run serves until the context ends, which SIGTERM and SIGINT do.
func (c *serveCommand) Run(ctx context.Context, s *streams) error {
	if os.Getenv("GOGC") == "" {
		// A few megabytes live at a time: collecting them less often costs tens of megabytes and saves
		// a tenth of the processor time.
		debug.SetGCPercent(400)
	}
	log := c.log(s)
	server, err := local.Open(ctx, local.Config{
		Addr: c.Addr, Data: c.Data,
		OrgID: c.OrgID, ClientID: c.ClientID, ClientSecret: c.ClientSecret, ClientSecretPrevious: c.ClientSecretPrevious, TokenKey: c.TokenKey,
		SealingKey: c.SealingKey, SealingKeyPrevious: c.SealingKeyPrevious,
		EgressAllow: c.allow, Timeout: c.Timeout, Retention: time.Duration(c.RunRetention), AuditRetention: time.Duration(c.AuditRetention),
		CallTimeout: time.Duration(c.CallTimeout), ConnectTimeout: time.Duration(c.ConnectTimeout),
		AWS: c.AWS, AWSCreate: c.AWSCreate, RunsTable: c.RunsTable, CatalogTable: c.CatalogTable, Queues: c.Queues(),
		ApprovalTimeout: c.Approval(), SESSender: c.SESSender, BaseURL: c.BaseURL, OIDC: c.oidc(),
		GitHub: local.GitHub{Credentials: c.githubCredentials, App: c.GitHubApp, APIURL: c.GitHub.APIURL, WebhookSecret: c.GitHubWebhookSecret},
		GitLab: local.GitLab{Credentials: c.gitlabCredentials, URL: c.GitLab.URL, WebhookToken: c.GitLabWebhookToken},
		Kafka:  c.Kafka, AgentKafka: c.AgentKafka, AzureDevOpsURL: c.AzureDevOpsURL,
		Breaker: c.Rules(), Version: boot.Version, Log: log,
		Collector: otlp.Config{Endpoint: c.OTLPEndpoint, Headers: c.OTLPHeaders, Service: c.ServiceName},
	})
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return usage{err}
	}
	if err != nil {
		return err
	}
	if c.allow.String() != "" {
		log.Info("backends may be called at these private addresses", slog.String("egress_allow", c.allow.String()))
	}
	if err := server.Start(ctx); err != nil {
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	if made := server.Credentials(); server.Made() && (c.ClientID == "" || c.ClientSecret == "") {
		fmt.Fprintf(s.err, "client id      %s\n", made.ClientID)
		// A secret that was given is known, and is shown nowhere.
		if c.ClientSecret == "" {
			fmt.Fprintf(s.err, "client secret  %s\n", made.ClientSecret)
		}
		fmt.Fprintf(s.err, "(kept in %s)\n", c.Data)
	}
	fmt.Fprintf(s.out, "ready http://%s\n", server.Addr())
	select {
	case <-ctx.Done():
	case err = <-server.Failed():
	}
	return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
}

// Validate reports everything that is wrong with the flags at once. It is asked before Run, and before those of
// the settings in it, which would be asked one by one.
func (c *serveCommand) Validate() error {
	var wrongAllow, wrongGitHub, wrongGitLab error
	c.allow, wrongAllow = egress.ParseAllow(c.EgressAllow)
	c.githubCredentials, wrongGitHub = githubsettings.Credentials(c.GitHubApp, c.GitHub.Plain())
	c.gitlabCredentials, wrongGitLab = gitlab.ParseCredentials(c.GitLab.Plain())
	// Their time-outs are checked, too.
	if c.githubCredentials.Given() {
		c.Backends = invocation.BackendGitHub
	}
	if c.gitlabCredentials.Given() {
		c.Backends += "," + invocation.BackendGitLab
	}
	_, badURL := gitlab.New(gitlab.Config{URL: c.GitLab.URL})
	faults := []error{c.Settings.Validate(), wrongAllow, wrongGitHub, wrongGitLab, badURL, c.Kafka.Validate()}
	if _, err := github.New(github.Config{APIURL: c.GitHub.APIURL}); err != nil {
		faults = append(faults, fmt.Errorf("--github-api-url: %w", err))
	}
	if _, err := azuredevops.New(azuredevops.Config{URL: c.AzureDevOpsURL}); err != nil {
		faults = append(faults, fmt.Errorf("--azure-devops-url: %w", err))
	}
	for _, given := range [][2]string{{"--client-secret", c.ClientSecret}, {"--client-secret-previous", c.ClientSecretPrevious}} {
		if name, secret := given[0], given[1]; secret != "" && len(secret) < 32 {
			faults = append(faults, fmt.Errorf("%s has %d characters, it needs at least 32", name, len(secret)))
		}
	}
	if c.TokenKey != "" {
		_, err := boot.Key("--token-key", c.TokenKey)
		faults = append(faults, err)
	}
	for _, given := range [][2]string{{"--sealing-key", c.SealingKey}, {"--sealing-key-previous", c.SealingKeyPrevious}} {
		for key := range strings.SplitSeq(given[1], ",") {
			if key != "" {
				_, err := boot.Key(given[0], key)
				faults = append(faults, err)
			}
		}
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil {
		faults = append(faults, fmt.Errorf("--addr is %q, expected host:port", c.Addr))
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		faults = append(faults, fmt.Errorf("--addr has the port %q, expected 0 to 65535", port))
	}
	if c.OIDCIssuer != "" {
		faults = append(faults, c.oidc().Validate())
	} else if c.OIDCAudience != "" || c.OIDCJWKSURL != "" {
		faults = append(faults, errors.New("--oidc-audience and --oidc-jwks-url need --oidc-issuer"))
	}
	if c.AWSCreate && !c.AWS {
		faults = append(faults, errors.New("--aws-create needs --aws"))
	}
	if err := errors.Join(faults...); err != nil {
		return usage{err}
	}
	return nil
}

// oidc is the provider of users' tokens.
func (c *serveCommand) oidc() oidc.Config {
	return oidc.Config{Issuer: c.OIDCIssuer, Audience: c.OIDCAudience, JWKSURL: c.OIDCJWKSURL}
}

func (c *serveCommand) log(s *streams) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	file, ok := s.err.(*os.File)
	terminal := false
	if ok {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if c.LogFormat == "text" || c.LogFormat == "auto" && terminal {
		return slog.New(slog.NewTextHandler(s.err, options))
	}
	return slog.New(slog.NewJSONHandler(s.err, options))
}
