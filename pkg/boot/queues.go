package boot

import "longshore/pkg/invocation"

// QueueSettings are the URLs of the SQS queues, one for each backend, each under LONGSHORE_QUEUE_<BACKEND>.
type QueueSettings struct {
	QueueWebhook      string `name:"queue-webhook" env:"LONGSHORE_QUEUE_WEBHOOK" help:"URL of the SQS queue of webhooks."`
	QueueUpsertEntity string `name:"queue-upsertentity" env:"LONGSHORE_QUEUE_UPSERTENTITY" help:"URL of the SQS queue of entities."`
	QueueAzureDevOps  string `name:"queue-azuredevops" env:"LONGSHORE_QUEUE_AZUREDEVOPS" help:"URL of the SQS queue of Azure DevOps."`
	QueueKafka        string `name:"queue-kafka" env:"LONGSHORE_QUEUE_KAFKA" help:"URL of the SQS queue of Kafka."`
	QueueGitHub       string `name:"queue-github" env:"LONGSHORE_QUEUE_GITHUB" help:"URL of the SQS queue of GitHub."`
	QueueGitLab       string `name:"queue-gitlab" env:"LONGSHORE_QUEUE_GITLAB" help:"URL of the SQS queue of GitLab."`
}

// Queues returns the URLs that are set, by backend.
func (q QueueSettings) Queues() map[string]string {
	urls := map[string]string{
		invocation.BackendWebhook:      q.QueueWebhook,
		invocation.BackendUpsertEntity: q.QueueUpsertEntity,
		invocation.BackendAzureDevOps:  q.QueueAzureDevOps,
		invocation.BackendKafka:        q.QueueKafka,
		invocation.BackendGitHub:       q.QueueGitHub,
		invocation.BackendGitLab:       q.QueueGitLab,
	}
	for backend, url := range urls {
		if url == "" {
			delete(urls, backend)
		}
	}
	return urls
}
