package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/api"
)

func scheduled(identifier, expression, timezone, rest string) string {
	return fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":%q,"timezone":%q}},`+
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}%s}`, identifier, expression, timezone, rest)
}

// What EventBridge Scheduler would refuse is refused when it is saved, beside all other faults.
func TestScheduleFaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		definition string
		want       []string
	}{
		{scheduled("nightly", "cron(0 9 * * * *)", "", ""), []string{"trigger.event.expression: cron takes ? in exactly one of"}},
		{scheduled("nightly", "rate(5 weeks)", "Europe/Atlantis", `,"publish":false`), []string{"trigger.event.expression: rate takes", "trigger.event.timezone: must be the name of an IANA time zone"}},
		{scheduled("", "rate(0 days)", "", `,"colour":1`), []string{"colour: ", "identifier: ", "trigger.event.expression: rate takes"}},
		{scheduled("nightly", "0 9 * * *", "", ""), []string{"trigger.event.expression: must be rate(…), cron(…) or at(…)"}},
		{scheduled("nightly", "at(2020-01-01T00:00:00)", "", ""), []string{"trigger.event.expression: has passed"}},
	} {
		message, _ := f.call("POST", "/v1/actions", c.definition).want(http.StatusUnprocessableEntity).at("message").(string)
		lines := strings.Split(message, "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: got %q, want %d faults", c.definition, message, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: fault %d is %q, want %q", c.definition, i, lines[i], want)
			}
		}
	}
}

// An at(…) that has passed may stay, and may not come.
func TestScheduleThatHasPassed(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	f := newFixture(t, func(c *api.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	})
	soon := "at(" + time.Now().Add(48*time.Hour).UTC().Format("2006-01-02T15:04:05") + ")"
	f.define(scheduled("once", soon, "UTC", ""))
	offset.Store(int64(72 * time.Hour))
	f.call("PUT", "/v1/actions/once", scheduled("once", soon, "UTC", `,"title":"Once"`)).want(http.StatusOK)
	f.call("PUT", "/v1/actions/once", scheduled("renamed", soon, "UTC", `,"publish":false`)).want(http.StatusOK)
	f.call("PUT", "/v1/actions/renamed", scheduled("renamed", "at(2026-01-01T00:00:00)", "UTC", "")).want(http.StatusUnprocessableEntity)
	f.call("PUT", "/v1/actions/renamed", scheduled("renamed", soon, "Europe/Amsterdam", "")).want(http.StatusUnprocessableEntity)
	f.call("POST", "/v1/actions", scheduled("another", soon, "UTC", "")).want(http.StatusUnprocessableEntity)
	f.call("PUT", "/v1/actions/renamed", scheduled("renamed", "rate(1 day)", "", "")).want(http.StatusOK)
	f.call("PUT", "/v1/actions/renamed", scheduled("renamed", soon, "UTC", "")).want(http.StatusUnprocessableEntity)
}
