package metric

// The metrics that Longshore records, under the names that CloudWatch has them by, beside the dimension
// Stack; GET /metrics has them as Prometheus names them: see Description.Prometheus. Their labels have a
// few known values each, never an action, a run or a host.
const (
	RunsAccepted  = "runs_accepted"
	RunsDelivered = "runs_delivered"
	RunsRetried   = "runs_retried"
	RunsFailed    = "runs_failed"
	RunsEnded     = "runs_ended"
	DeliveryAge   = "delivery_age"
	CallTime      = "call_time"
	Messages      = "messages"
	Changes       = "changes"
	// BreakerChanges and FailingHosts are the breaker's.
	BreakerChanges = "breaker_changes"
	FailingHosts   = "failing_hosts"
	SweepLag       = "sweep_lag"
	SweepTime      = "sweep_time"
	QueueAge       = "queue_age"
)

// Description says what a metric means.
type Description struct {
	Name string
	kind kind
	// Seconds says that the unit is seconds; else it is a number of things.
	Seconds bool
	// Labels are the names of its labels.
	Labels []string
	// Help is one sentence.
	Help string
	// Local says that only the local process records it.
	Local bool
}

// Descriptions lists the metrics.
func Descriptions() []Description {
	return []Description{
		{RunsAccepted, counter, false, []string{"backend"}, "Runs that were recorded.", false},
		{RunsDelivered, counter, false, []string{"backend"}, "Runs that their backend took, by a dispatcher or an agent.", false},
		{RunsRetried, counter, false, []string{"backend"}, "Attempts that failed and are followed by another.", false},
		{RunsFailed, counter, false, []string{"backend"}, "Runs that ended because their delivery failed for good.", false},
		{RunsEnded, counter, false, []string{"backend", "status"}, "Runs that ended, by their status.", false},
		{DeliveryAge, timing, true, []string{"backend"}, "Time from a run's acceptance or approval to its first delivery.", false},
		{CallTime, timing, true, []string{"backend"}, "How long calls to a backend took, failed ones included.", false},
		{Messages, counter, false, []string{"backend", "event"}, "Messages that were taken off a queue, by what became of them.", false},
		{Changes, counter, false, []string{"event"}, "Changes that the streams told of, by what became of them: handled, parked, or again for a batch that comes again.", false},
		{BreakerChanges, counter, false, []string{"backend", "to"}, "Breakers of hosts that were opened or closed.", false},
		{FailingHosts, level, false, []string{"backend"}, "Hosts of a backend whose breaker is not closed, as far as the process knows.", false},
		{SweepLag, level, true, nil, "Age of the oldest run that was due at the last sweep and was not dealt with by it.", false},
		{SweepTime, timing, true, nil, "How long a sweep took.", true},
		{QueueAge, level, true, []string{"backend"}, "How long the oldest message of a queue has been due.", true},
	}
}

// Prometheus is the name that GET /metrics has the metric by.
func (d Description) Prometheus() string {
	name := "longshore_" + d.Name
	if d.Seconds {
		name += "_seconds"
	}
	if d.kind == counter {
		name += "_total"
	}
	return name
}

// described returns what is known about a name; of any other the name as it is.
func described(name string) (prometheus, help string, seconds bool) {
	for _, d := range Descriptions() {
		if d.Name == name {
			return d.Prometheus(), d.Help, d.Seconds
		}
	}
	return name, "", false
}
