package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Route is one row of the table of routes.
type Route struct {
	// Method is an HTTP method; HEAD goes with GET.
	Method string
	// Pattern is a path with {parameters}, as OpenAPI writes it.
	Pattern string
	Access  Access
	// Starts says that the route starts or restarts runs, or evaluates templates: on AWS it belongs
	// to the function trigger.
	Starts bool
}

// Routes returns the table of routes.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = Route{Method: r.method, Pattern: r.pattern, Access: r.access, Starts: r.starts}
	}
	return list
}

type route struct {
	method, pattern string
	access          Access
	// body says that the route takes a JSON body.
	body   bool
	starts bool
	// shared says that the end of the pattern may also be of an identifier that stands there: methods that
	// are not there belong to the route of the identifier.
	shared bool
	// Exactly one of handle and raw is set; raw writes the answer itself.
	handle func(*server, *request) (*answer, error)
	raw    func(*server, http.ResponseWriter, *http.Request) (status int, err error)
}

// routes is the table of all routes. It is never changed.
var routes = []*route{
	{method: "POST", pattern: "/v1/auth/access_token", access: Open, body: true, handle: (*server).issueToken},

	{method: "GET", pattern: "/v1/actions", access: Member, handle: (*server).listActions},
	{method: "POST", pattern: "/v1/actions", access: Moderates, body: true, handle: (*server).createAction},
	{method: "GET", pattern: "/v1/actions/{action_identifier}", access: Member, handle: (*server).getAction},
	{method: "PUT", pattern: "/v1/actions/{action_identifier}", access: Moderates, body: true, handle: (*server).replaceAction},
	{method: "DELETE", pattern: "/v1/actions/{action_identifier}", access: Moderates, handle: (*server).deleteAction},
	{method: "GET", pattern: "/v1/actions/{action_identifier}/permissions", access: Member, handle: (*server).getActionPermissions},
	{method: "PATCH", pattern: "/v1/actions/{action_identifier}/permissions", access: Moderates, body: true, handle: (*server).patchActionPermissions},

	{method: "POST", pattern: "/v1/actions/{action_identifier}/runs", access: Member, body: true, starts: true, handle: (*server).startRun},
	{method: "GET", pattern: "/v1/actions/runs", access: Member, handle: (*server).listRuns},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}", access: Member, handle: (*server).getRun},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}", access: Member, body: true, handle: (*server).patchRun},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/attempts", access: Member, handle: (*server).listAttempts},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}/approval", access: Member, body: true, starts: true, handle: (*server).decideRun},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/approvers", access: Member, handle: (*server).listApprovers},
	{method: "POST", pattern: "/v1/actions/runs/{run_id}/redeliver", access: Member, starts: true, handle: (*server).redeliver},
	{method: "POST", pattern: "/v1/actions/runs/claim-pending", access: AdminOnly, body: true, handle: (*server).claimPending},
	{method: "PATCH", pattern: "/v1/actions/runs/ack", access: AdminOnly, body: true, handle: (*server).acknowledge},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}/response", access: AdminOnly, body: true, handle: (*server).putResponse},
	{method: "POST", pattern: "/v1/workflows/runs/claim-pending", access: AdminOnly, handle: (*server).noWorkflows},
	{method: "GET", pattern: "/v1/workflows/nodes/runs", access: AdminOnly, handle: (*server).noWorkflows},
	{method: "GET", pattern: "/v1/kafka-credentials", access: AdminOnly, handle: (*server).kafkaCredentials},
	{method: "GET", pattern: "/v1/backends", access: AdminOnly, handle: (*server).listBackends},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/logs", access: Member, handle: (*server).listLogs},
	{method: "POST", pattern: "/v1/actions/runs/{run_id}/logs", access: Member, body: true, handle: (*server).appendLog},

	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/actions", access: Member, handle: (*server).listActions},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/actions", access: Moderates, body: true, handle: (*server).createAction},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", access: Member, handle: (*server).getAction},
	{method: "PUT", pattern: "/v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", access: Moderates, body: true, handle: (*server).replaceAction},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", access: Moderates, handle: (*server).deleteAction},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/actions/{action_identifier}/runs", access: Member, body: true, starts: true, handle: (*server).startRun},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}/actions/{action_identifier}/runs", access: Member, body: true, starts: true, shared: true, handle: (*server).startRun},

	{method: "GET", pattern: "/v1/blueprints", access: Member, handle: withCatalog((*server).listBlueprints)},
	{method: "POST", pattern: "/v1/blueprints", access: AdminOnly, body: true, handle: withCatalog((*server).createBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}", access: Member, handle: withCatalog((*server).getBlueprint)},
	{method: "PUT", pattern: "/v1/blueprints/{blueprint_identifier}", access: AdminOnly, body: true, handle: withCatalog((*server).replaceBlueprint)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}", access: AdminOnly, body: true, handle: withCatalog((*server).patchBlueprint)},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}", access: AdminOnly, handle: withCatalog((*server).deleteBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/permissions", access: Member, handle: withCatalog((*server).getBlueprintPermissions)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}/permissions", access: AdminOnly, body: true, handle: withCatalog((*server).patchBlueprintPermissions)},
	{method: "GET", pattern: "/v1/blueprints/system/{blueprint_identifier}/structure", access: Member, handle: withCatalog((*server).getSystemStructure)},
	{method: "GET", pattern: "/v1/pages/{page_identifier}", access: Member, handle: withCatalog((*server).getPage)},

	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities", access: Member, handle: withCatalog((*server).listEntities)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities", access: Entities, body: true, handle: withCatalog((*server).createEntity)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities/bulk", access: Entities, body: true, shared: true, handle: withCatalog((*server).bulkEntities)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities/search", access: Member, body: true, shared: true, handle: withCatalog((*server).searchBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Member, handle: withCatalog((*server).getEntity)},
	{method: "PUT", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Entities, body: true, handle: withCatalog((*server).replaceEntity)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Entities, body: true, handle: withCatalog((*server).patchEntity)},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Entities, handle: withCatalog((*server).deleteEntity)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/bulk/entities/delete", access: Entities, body: true, handle: withCatalog((*server).bulkDelete)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities-count", access: Member, handle: withCatalog((*server).countEntities)},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}/all-entities", access: Moderates, handle: withCatalog((*server).deleteAllEntities)},
	{method: "GET", pattern: "/v1/migrations/{migration_id}", access: Member, handle: withCatalog((*server).getMigration)},
	{method: "POST", pattern: "/v1/entities/search", access: Member, body: true, handle: withCatalog((*server).searchEntities)},

	{method: "GET", pattern: "/v1/users", access: AdminOnly, handle: withCatalog((*server).listUsers)},
	{method: "GET", pattern: "/v1/users/{user_email}", access: AdminOnly, handle: withCatalog((*server).getUser)},
	{method: "GET", pattern: "/v1/teams", access: AdminOnly, handle: withCatalog((*server).listTeams)},
	{method: "POST", pattern: "/v1/teams", access: AdminOnly, body: true, handle: withCatalog((*server).createTeam)},
	{method: "GET", pattern: "/v1/teams/{name}", access: AdminOnly, handle: withCatalog((*server).getTeam)},
	{method: "PUT", pattern: "/v1/teams/{name}", access: AdminOnly, body: true, handle: withCatalog((*server).replaceTeam)},
	{method: "PATCH", pattern: "/v1/teams/{name}", access: AdminOnly, body: true, handle: withCatalog((*server).patchTeam)},
	{method: "DELETE", pattern: "/v1/teams/{name}", access: AdminOnly, handle: withCatalog((*server).deleteTeam)},

	{method: "GET", pattern: "/v1/organization", access: AdminOnly, handle: withOrganization((*server).getOrganization)},
	{method: "PATCH", pattern: "/v1/organization", access: AdminOnly, body: true, handle: withOrganization((*server).patchOrganization)},
	{method: "GET", pattern: "/v1/organization/secrets", access: AdminOnly, handle: withOrganization((*server).listSecrets)},
	{method: "POST", pattern: "/v1/organization/secrets", access: AdminOnly, body: true, handle: withOrganization((*server).createSecret)},
	{method: "GET", pattern: "/v1/organization/secrets/{secret_name}", access: AdminOnly, handle: withOrganization((*server).getSecret)},
	{method: "PATCH", pattern: "/v1/organization/secrets/{secret_name}", access: AdminOnly, body: true, handle: withOrganization((*server).patchSecret)},
	{method: "DELETE", pattern: "/v1/organization/secrets/{secret_name}", access: AdminOnly, handle: withOrganization((*server).deleteSecret)},
	{method: "GET", pattern: "/v1/audit-log", access: AdminOnly, handle: (*server).listAudit},

	{method: "POST", pattern: "/v1/jq", access: Member, body: true, starts: true, handle: (*server).evaluate},

	{method: "POST", pattern: "/webhooks/github", access: Open, body: true, handle: (*server).githubEvent},
	{method: "POST", pattern: "/webhooks/gitlab", access: Open, body: true, handle: (*server).gitlabEvent},

	{method: "GET", pattern: "/healthz", access: Open, handle: (*server).healthy},
	{method: "GET", pattern: "/readyz", access: Open, handle: (*server).ready},
	{method: "GET", pattern: "/openapi.json", access: Open, raw: (*server).document},
	{method: "GET", pattern: "/metrics", access: Loopback, raw: (*server).metrics},
}

// router finds routes on the escaped path, so that %2F inside an identifier does not split it. A
// path that a gateway handed over decoded works too: an identifier reaches as far as the pattern's
// next literal segment, and one at the end takes all that is left. Of patterns that match, the one whose
// first identifier is shortest counts: what looks like a route behind it is of a later identifier, as in
// …/entities/actions/checkout. It never redirects; a path that is not clean has no route.
type router struct {
	// paths are sorted: those with more literal segments first, then those whose literals come first. Of
	// patterns whose first identifier is equally long the first one counts.
	paths []*path
}

// path is a pattern and what is there under each method.
type path struct {
	pattern  string
	segments []string
	methods  map[string]*route
	allow    string
	// shared is that of the path's routes.
	shared bool
}

// match is what a request's path and method stand for. Without a path the pattern is empty; without
// the method the route is nil.
type match struct {
	*route
	pattern string
	// access is the route's, or that of the path's routes for a method that is not there.
	access Access
	allow  string
	params map[string]string
}

func newRouter(table []*route) *router {
	byPattern := map[string]*path{}
	rt := &router{}
	for _, r := range table {
		p := byPattern[r.pattern]
		if p == nil {
			p = &path{pattern: r.pattern, segments: strings.Split(r.pattern[1:], "/"), methods: map[string]*route{}}
			byPattern[r.pattern] = p
			rt.paths = append(rt.paths, p)
		}
		p.methods[r.method] = r
		p.shared = p.shared || r.shared
		if r.method == http.MethodGet {
			p.methods[http.MethodHead] = r
		}
	}
	for _, p := range rt.paths {
		var methods []string
		for m := range p.methods {
			methods = append(methods, m)
		}
		slices.Sort(methods)
		p.allow = strings.Join(methods, ", ")
	}
	slices.SortStableFunc(rt.paths, func(a, b *path) int {
		if n := b.literals() - a.literals(); n != 0 {
			return n
		}
		// '{' sorts behind every character of a literal segment.
		return slices.Compare(a.segments, b.segments)
	})
	return rt
}

func (p *path) literals() int {
	n := 0
	for _, s := range p.segments {
		if s[0] != '{' {
			n++
		}
	}
	return n
}

// find returns what a method and an escaped path stand for.
func (rt *router) find(method, escaped string) match {
	segments, ok := split(escaped)
	if !ok {
		return match{}
	}
	var passed match
	for _, c := range rt.candidates(segments) {
		p := c.path
		m := match{pattern: p.pattern, allow: p.allow, params: c.params, route: p.methods[method]}
		for _, r := range p.methods {
			m.access = r.access
		}
		if m.route != nil {
			m.access = m.route.access
			return m
		}
		if !p.shared {
			if passed.pattern != "" {
				m.allow = passed.allow + ", " + m.allow
			}
			return m
		}
		passed = m
	}
	return passed
}

// candidate is a path that matches.
type candidate struct {
	*path
	params map[string]string
	// first is how many segments the first identifier takes, 0 without one.
	first int
}

// candidates returns the paths that match, the one that counts first.
func (rt *router) candidates(segments []string) []candidate {
	var list []candidate
	params := map[string]string{}
	for _, p := range rt.paths {
		// Without this a long path would be looked through again for each place that a pattern may begin at.
		if last := p.segments[len(p.segments)-1]; last[0] != '{' && last != segments[len(segments)-1] {
			continue
		}
		if first, ok := p.take(p.segments, segments, params); ok {
			list = append(list, candidate{p, params, first})
			params = map[string]string{}
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.first - b.first })
	return list
}

// maxSegments is the most segments of a path: no identifiers together have as many.
const maxSegments = 1_000

// split decodes the segments of a clean path, one by one.
func split(escaped string) ([]string, bool) {
	if !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	segments := strings.Split(escaped[1:], "/")
	if len(segments) > maxSegments {
		return nil, false
	}
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || !utf8.ValidString(decoded) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// take matches segments against the rest of a pattern; a parameter takes one segment, or more if the
// pattern cannot match otherwise. First is how many the first one takes, 0 without one; params are those
// of a match, and else stay as they were.
func (p *path) take(pattern, segments []string, params map[string]string) (first int, ok bool) {
	switch {
	case len(pattern) == 0:
		return 0, len(segments) == 0
	case len(segments) < len(pattern):
		return 0, false
	case pattern[0][0] != '{':
		if pattern[0] != segments[0] {
			return 0, false
		}
		return p.take(pattern[1:], segments[1:], params)
	}
	for n := 1; n <= len(segments); n++ {
		if _, ok := p.take(pattern[1:], segments[n:], params); ok {
			params[pattern[0][1:len(pattern[0])-1]] = strings.Join(segments[:n], "/")
			return n, true
		}
	}
	return 0, false
}
