package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
)

// ownSubjects are the beginnings of the routes that a call which a run makes of this API may use; what is
// not below one of them it may not: secrets, users, teams, credentials, tokens and the audit log, which
// tells of all of them. ownClosed are exceptions: what agents are given has secrets in clear, and a search
// without a blueprint finds users.
var (
	ownSubjects = []string{"/v1/actions", "/v1/blueprints", "/v1/entities", "/v1/migrations", "/v1/pages", "/v1/jq"}
	ownClosed   = []string{
		"/v1/actions/runs/claim-pending", "/v1/actions/runs/ack", "/v1/actions/runs/{run_id}/response", "/v1/entities/search",
	}
)

// ownMayUse reports whether a call that a run makes may use the routes of a pattern.
func ownMayUse(pattern string) bool {
	return !slices.Contains(ownClosed, pattern) &&
		slices.ContainsFunc(ownSubjects, func(s string) bool { return pattern == s || strings.HasPrefix(pattern, s+"/") })
}

// permitCall lets a caller whose token is for one call pass with that call alone; any other caller passes.
// The path is compared as it reads: gateways hand it over decoded, or not.
func permitCall(c identity.Caller, r *http.Request, found match) error {
	switch {
	case c.Call == nil:
		return nil
	case r.Method != c.Call.Method || r.URL.Path != c.Call.Path:
		return fault.New(fault.Unauthorized, "", "the access token is for another call than this one")
	case found.pattern == "":
		return nil // There is nothing to be reached.
	case !ownMayUse(found.pattern) || catalog.IsSystem(found.params["blueprint_identifier"]):
		return forbidden("a call that a run makes of this API cannot reach secrets, users, teams, credentials and tokens")
	}
	return nil
}

// permitOwnChange is the catalog.Permit of calls that runs make.
func permitOwnChange(_ context.Context, c *catalog.Change) error {
	if catalog.IsSystem(c.Blueprint.Record.Identifier) {
		return forbidden("a call that a run makes of this API may not change users and teams")
	}
	return nil
}

// mayCallOwn reports whether calls by a definition may be ones of this API, as far as who dispatches them will
// find. An API that is not told its address goes by the host of the request, however the client wrote it. A
// request that came by a name of the operator's own does not show the one that dispatchers know then, which
// is API Gateway's: any such host may be it.
func (s *server) mayCallOwn(r *request, d *action.Definition) bool {
	literal := literalURL(d)
	if s.Addresses != nil {
		return invocation.IsOwn(literal, s.Addresses())
	}
	_, rest, _ := strings.Cut(literal, "://")
	host, path, _ := strings.Cut(rest, "/")
	if !strings.HasPrefix(path, "v1/") {
		return false
	}
	called, asked := bare(host), bare(r.Host)
	return called == asked || isGateway(called) && !isGateway(asked)
}

// bare is a host in one spelling, without its port.
func bare(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	return strings.TrimSuffix(host, ".")
}

// isGateway reports whether a host is the name that API Gateway gives an API.
func isGateway(host string) bool { return strings.Contains(host, ".execute-api.") }

// literalURL is the text of a webhook's URL up to its first expression; the first generation has none.
func literalURL(d *action.Definition) string {
	written := text(within(d.Method.Raw, "url"))
	if d.Generation == action.V1 {
		return written
	}
	return jqtemplate.Literal(written)
}
