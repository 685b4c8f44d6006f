package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Access says who may use a route.
type Access uint8

const (
	// Undecided is a route that nobody thought about; it needs a token, and fails a test.
	Undecided Access = iota
	// Open needs no token.
	Open
	// Loopback needs no token on a connection to a loopback address, one elsewhere.
	Loopback
	// Token needs an access token.
	Token
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
	// shared says that the pattern's last segment is also an identifier that may stand in its place:
	// methods that are not there belong to the route of the identifier.
	shared bool
	// Exactly one of handle and raw is set; raw writes the answer itself.
	handle func(*server, *request) (*answer, error)
	raw    func(*server, http.ResponseWriter, *http.Request) (status int, err error)
}

// routes is the table of all routes. It is never changed.
var routes = []*route{
	{method: "POST", pattern: "/v1/auth/access_token", access: Open, body: true, handle: (*server).issueToken},

	{method: "GET", pattern: "/v1/actions", access: Token, handle: (*server).listActions},
	{method: "POST", pattern: "/v1/actions", access: Token, body: true, handle: (*server).createAction},
	{method: "GET", pattern: "/v1/actions/{action_identifier}", access: Token, handle: (*server).getAction},
	{method: "PUT", pattern: "/v1/actions/{action_identifier}", access: Token, body: true, handle: (*server).replaceAction},
	{method: "DELETE", pattern: "/v1/actions/{action_identifier}", access: Token, handle: (*server).deleteAction},

	{method: "POST", pattern: "/v1/actions/{action_identifier}/runs", access: Token, body: true, starts: true, handle: (*server).startRun},
	{method: "GET", pattern: "/v1/actions/runs", access: Token, handle: (*server).listRuns},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}", access: Token, handle: (*server).getRun},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}", access: Token, body: true, handle: (*server).patchRun},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/attempts", access: Token, handle: (*server).listAttempts},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}/approval", access: Token, body: true, starts: true, handle: (*server).decideRun},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/approvers", access: Token, handle: (*server).listApprovers},
	{method: "POST", pattern: "/v1/actions/runs/{run_id}/redeliver", access: Token, starts: true, handle: (*server).redeliver},
	{method: "POST", pattern: "/v1/actions/runs/claim-pending", access: Token, body: true, handle: (*server).claimPending},
	{method: "PATCH", pattern: "/v1/actions/runs/ack", access: Token, body: true, handle: (*server).acknowledge},
	{method: "PATCH", pattern: "/v1/actions/runs/{run_id}/response", access: Token, body: true, handle: (*server).putResponse},
	{method: "POST", pattern: "/v1/workflows/runs/claim-pending", access: Token, handle: (*server).noWorkflows},
	{method: "GET", pattern: "/v1/workflows/nodes/runs", access: Token, handle: (*server).noWorkflows},
	{method: "GET", pattern: "/v1/kafka-credentials", access: Token, handle: (*server).kafkaCredentials},
	{method: "GET", pattern: "/v1/actions/runs/{run_id}/logs", access: Token, handle: (*server).listLogs},
	{method: "POST", pattern: "/v1/actions/runs/{run_id}/logs", access: Token, body: true, handle: (*server).appendLog},

	{method: "GET", pattern: "/v1/blueprints", access: Token, handle: withCatalog((*server).listBlueprints)},
	{method: "POST", pattern: "/v1/blueprints", access: Token, body: true, handle: withCatalog((*server).createBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}", access: Token, handle: withCatalog((*server).getBlueprint)},
	{method: "PUT", pattern: "/v1/blueprints/{blueprint_identifier}", access: Token, body: true, handle: withCatalog((*server).replaceBlueprint)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}", access: Token, body: true, handle: withCatalog((*server).patchBlueprint)},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}", access: Token, handle: withCatalog((*server).deleteBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/permissions", access: Token, handle: withCatalog((*server).getBlueprintPermissions)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}/permissions", access: Token, body: true, handle: withCatalog((*server).patchBlueprintPermissions)},
	{method: "GET", pattern: "/v1/blueprints/system/{blueprint_identifier}/structure", access: Token, handle: withCatalog((*server).getSystemStructure)},
	{method: "GET", pattern: "/v1/pages/{page_identifier}", access: Token, handle: withCatalog((*server).getPage)},

	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities", access: Token, handle: withCatalog((*server).listEntities)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities", access: Token, body: true, handle: withCatalog((*server).createEntity)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities/bulk", access: Token, body: true, shared: true, handle: withCatalog((*server).bulkEntities)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/entities/search", access: Token, body: true, shared: true, handle: withCatalog((*server).searchBlueprint)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Token, handle: withCatalog((*server).getEntity)},
	{method: "PUT", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Token, body: true, handle: withCatalog((*server).replaceEntity)},
	{method: "PATCH", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Token, body: true, handle: withCatalog((*server).patchEntity)},
	{method: "DELETE", pattern: "/v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", access: Token, handle: withCatalog((*server).deleteEntity)},
	{method: "POST", pattern: "/v1/blueprints/{blueprint_identifier}/bulk/entities/delete", access: Token, body: true, handle: withCatalog((*server).bulkDelete)},
	{method: "GET", pattern: "/v1/blueprints/{blueprint_identifier}/entities-count", access: Token, handle: withCatalog((*server).countEntities)},
	{method: "POST", pattern: "/v1/entities/search", access: Token, body: true, handle: withCatalog((*server).searchEntities)},

	{method: "GET", pattern: "/v1/users", access: Token, handle: withCatalog((*server).listUsers)},
	{method: "GET", pattern: "/v1/users/{user_email}", access: Token, handle: withCatalog((*server).getUser)},
	{method: "GET", pattern: "/v1/teams", access: Token, handle: withCatalog((*server).listTeams)},
	{method: "POST", pattern: "/v1/teams", access: Token, body: true, handle: withCatalog((*server).createTeam)},
	{method: "GET", pattern: "/v1/teams/{name}", access: Token, handle: withCatalog((*server).getTeam)},
	{method: "PUT", pattern: "/v1/teams/{name}", access: Token, body: true, handle: withCatalog((*server).replaceTeam)},
	{method: "PATCH", pattern: "/v1/teams/{name}", access: Token, body: true, handle: withCatalog((*server).patchTeam)},
	{method: "DELETE", pattern: "/v1/teams/{name}", access: Token, handle: withCatalog((*server).deleteTeam)},

	{method: "POST", pattern: "/v1/jq", access: Token, body: true, starts: true, handle: (*server).evaluate},

	{method: "GET", pattern: "/healthz", access: Open, handle: (*server).healthy},
	{method: "GET", pattern: "/readyz", access: Open, handle: (*server).ready},
	{method: "GET", pattern: "/openapi.json", access: Open, raw: (*server).document},
	{method: "GET", pattern: "/metrics", access: Loopback, raw: (*server).metrics},
}

// router finds routes on the escaped path, so that %2F inside an identifier does not split it. A
// path that a gateway handed over decoded works too: an identifier reaches as far as the pattern's
// next literal segment, and one at the end takes all that is left. It never redirects; a path that
// is not clean has no route.
type router struct {
	// paths are sorted: those with more literal segments first, then those whose literals come first.
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
	for _, p := range rt.paths {
		params := map[string]string{}
		if !p.take(p.segments, segments, params) {
			continue
		}
		m := match{pattern: p.pattern, allow: p.allow, params: params, route: p.methods[method]}
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

// split decodes the segments of a clean path, one by one.
func split(escaped string) ([]string, bool) {
	if !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	segments := strings.Split(escaped[1:], "/")
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
// pattern cannot match otherwise.
func (p *path) take(pattern, segments []string, params map[string]string) bool {
	switch {
	case len(pattern) == 0:
		return len(segments) == 0
	case len(segments) < len(pattern):
		return false
	case pattern[0][0] != '{':
		return pattern[0] == segments[0] && p.take(pattern[1:], segments[1:], params)
	}
	for n := 1; n <= len(segments); n++ {
		if p.take(pattern[1:], segments[n:], params) {
			params[pattern[0][1:len(pattern[0])-1]] = strings.Join(segments[:n], "/")
			return true
		}
	}
	return false
}
