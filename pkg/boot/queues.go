package boot

import "longshore/pkg/invocation"

// QueueSettings are the URLs of the SQS queues, one for each backend, each under LONGSHORE_QUEUE_<BACKEND>.
type QueueSettings struct {
	QueueWebhook      string `name:"queue-webhook" env:"LONGSHORE_QUEUE_WEBHOOK" help:"URL of the SQS queue of webhooks."`
	QueueAzureDevOps  string `name:"queue-azuredevops" env:"LONGSHORE_QUEUE_AZUREDEVOPS" help:"URL of the SQS queue of Azure DevOps."`
	QueueUpsertEntity string `name:"queue-upsertentity" env:"LONGSHORE_QUEUE_UPSERTENTITY" help:"URL of the SQS queue of entities."`
	QueueKafka        string `name:"queue-kafka" env:"LONGSHORE_QUEUE_KAFKA" help:"URL of the SQS queue of Kafka."`
}

// Queues returns the URLs that are set, by backend.
func (q QueueSettings) Queues() map[string]string {
	urls := map[string]string{
		invocation.BackendWebhook:      q.QueueWebhook,
		invocation.BackendAzureDevOps:  q.QueueAzureDevOps,
		invocation.BackendKafka:        q.QueueKafka,
		invocation.BackendUpsertEntity: q.QueueUpsertEntity,
	}
	for backend, url := range urls {
		if url == "" {
			delete(urls, backend)
		}
	}
	return urls
}
