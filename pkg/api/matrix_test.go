package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// dayTwo is an action on a service, with an encrypted input.
const dayTwo = `{"identifier":"deploy","title":"Deploy","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service",` +
	`"userInputs":{"properties":{"service":{"type":"string"},"token":{"type":"string","encryption":"aes256-gcm"}}}},` +
	`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","body":{"of":"{{ .entity.identifier }}"}}}`

// person is a row of the matrix.
type person struct {
	name, role, team string
	api              *fixture
}

// holds are the roles that a person has: no role is a Member, and Moderators are Members too.
func (p person) holds() []string {
	switch p.role {
	case "":
		return []string{"Member"}
	case "Moderator":
		return []string{"Moderator", "Member"}
	}
	return []string{p.role}
}

// Each user of a role and a team asks for runs on two entities, with a token of their own, under each
// combination of what permissions may say: by e-mail, role, team, the entity's team, policy. Who is refused
// leaves nothing behind; whoever may have a run, and nobody else, may have a dry run.
func TestMatrixOfPermissions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.call("POST", "/v1/blueprints/_team/entities", `{"identifier":"ops","title":"Operations"}`).want(201)
	f.call("POST", "/v1/blueprints/_team/entities", `{"identifier":"dev","title":"Development"}`).want(201)
	f.entity("service", `{"identifier":"cart","team":["Operations"],"properties":{"language":"Go"}}`)
	f.entity("service", `{"identifier":"till"}`)
	f.define(dayTwo)
	people := []person{{name: "machine", api: f}}
	for _, role := range []string{"", "Member", "Moderator", "Admin"} {
		for _, team := range []string{"", "ops", "dev"} {
			p := person{name: strings.ToLower("u" + role + "-" + team), role: role, team: team}
			properties, teams := `{"port_role":"`+role+`"}`, []string{team}
			if role == "" {
				properties = `{}`
			}
			if team == "" {
				teams = nil
			}
			p.api = f.as(p.name+"@example.com", properties, teams...)
			people = append(people, p)
		}
	}
	disabled := f.as("disabled@example.com", `{"port_role":"Admin","status":"Disabled"}`, "ops")
	const listed = "umember-dev"
	policies := map[string]func(p person, entity string) bool{
		`null`:                        nil,
		`{"conditions":["true"]}`:     func(person, string) bool { return true },
		`{"conditions":["\"true\""]}`: func(person, string) bool { return false },
		`{"conditions":[".user.role == \"Admin\"",".user.teams | index(\"ops\") != null"]}`: func(p person, _ string) bool { return p.role == "Admin" || p.team == "ops" },
		`{"queries":{"own":{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"service"},` +
			`{"property":"$identifier","operator":"=","value":"{{ .entity.identifier }}"},` +
			`{"property":"$team","operator":"containsAny","value":{"context":"user","property":"$team"}}]}},` +
			`"conditions":["(.results.own.entities | length) == 1 and .inputs.service == \"x\""]}`: func(p person, entity string) bool { return p.team == "ops" && entity == "cart" },
	}
	const start = `{"entity":"ENTITY","properties":{"service":"x","token":"t0ken"}}`
	var refused, permitted, n int
	for _, users := range []string{`[]`, `["` + strings.ToUpper(listed) + `@Example.com"]`} {
		for _, roles := range [][]string{{}, {"Admin"}, {"Member"}, {"Moderator"}} {
			for _, teams := range []string{`[]`, `["Operations"]`} {
				for _, owned := range []bool{false, true} {
					for policy, holds := range policies {
						// A policy decides alone: beside it stand nothing and everything.
						nothing := users == `[]` && len(roles) == 0 && teams == `[]` && !owned
						everything := users != `[]` && slices.Contains(roles, "Member") && teams != `[]` && owned
						if holds != nil && !nothing && !everything {
							continue
						}
						n++
						permissions := fmt.Sprintf(`{"execute":{"users":%s,"roles":["%s"],"teams":%s,"ownedByTeam":%t,"policy":%s}}`,
							users, strings.Join(roles, `","`), teams, owned, policy)
						permissions = strings.Replace(permissions, `[""]`, `[]`, 1)
						f.call("PATCH", permissionsOfDeploy, permissions).want(200)
						before := f.snapshot()
						var may []func()
						for i, p := range people {
							for _, entity := range []string{"cart", "till"} {
								allowed := p.name == "machine"
								switch {
								case allowed:
								case holds != nil:
									allowed = holds(p, entity)
								default:
									allowed = p.name == listed && users != `[]` || p.team == "ops" && teams != `[]` ||
										owned && p.team == "ops" && entity == "cart" ||
										slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(p.holds(), r) })
								}
								body := strings.Replace(start, "ENTITY", entity, 1)
								dry := p.api.call("POST", "/v1/actions/deploy/runs?dry_run=true", body)
								want := map[bool]int{true: 200, false: 403}[allowed]
								if dry.status != want {
									t.Errorf("%s on %s under %s: the dry run got %d %s, want %d", p.name, entity, permissions, dry.status, dry.text, want)
								}
								if allowed {
									permitted++
									// A few are enough to see that the run is as the dry run was.
									if (i+n)%13 == 0 {
										may = append(may, func() { p.api.call("POST", "/v1/actions/deploy/runs", body).want(202) })
									}
									continue
								}
								refused++
								message := p.api.call("POST", "/v1/actions/deploy/runs", body, "Idempotency-Key", "k").fault(403, "forbidden")
								if want := p.name + "@example.com may not execute action deploy"; message != want {
									t.Errorf("the refusal is %q, want %q", message, want)
								}
								if entity == "cart" {
									f.call("POST", "/v1/actions/deploy/runs?run_as="+p.name+"@example.com", body).fault(403, "forbidden")
								}
							}
						}
						disabled.call("POST", "/v1/actions/deploy/runs", start).fault(401, "unauthorized")
						f.unchanged(before)
						for _, start := range may {
							start()
						}
					}
				}
			}
		}
	}
	if refused < 400 || permitted < 400 {
		t.Errorf("%d were refused, %d permitted", refused, permitted)
	}
}

// On both stores: what is refused, by permissions or because it needs an approval that nobody can give,
// changes no byte, whatever else was asked for with it.
func TestDeniedRunLeavesNothing(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.entity("service", `{"identifier":"cart"}`)
		f.define(strings.Replace(dayTwo, `"title"`, `"requiredApproval":true,"approvalNotification":{"type":"webhook","url":"https://example.com/n"},"title"`, 1))
		ada := f.as("ada@example.com", `{}`)
		f.call("PATCH", permissionsOfDeploy, `{"execute":{"roles":["Admin"]}}`).want(200)
		const body = `{"entity":"cart","properties":{"token":"t0ken"}}`
		before := f.snapshot()
		for _, query := range []string{"", "?dry_run=true"} {
			ada.call("POST", "/v1/actions/deploy/runs"+query, body, "Idempotency-Key", "k").fault(403, "forbidden")
		}
		for _, as := range []string{"ada@example.com", "ADA@example.com"} {
			f.call("POST", "/v1/actions/deploy/runs?run_as="+as, body, "Idempotency-Key", "k").fault(403, "forbidden")
		}
		f.unchanged(before)
		if log := f.log.String(); strings.Contains(log, "t0ken") || strings.Contains(log, "run accepted") {
			f.t.Errorf("the log says %s", log)
		}
		// The keys are free for what is permitted later.
		f.call("PATCH", permissionsOfDeploy, `{"execute":{"roles":["Member"]}}`).want(200)
		first := ada.call("POST", "/v1/actions/deploy/runs", body, "Idempotency-Key", "k").want(202).at("run", "id")
		other := f.call("POST", "/v1/actions/deploy/runs?run_as=ada@example.com", body, "Idempotency-Key", "k").want(202).at("run", "id")
		// A key is its caller's: another who uses it starts a run of their own, and never sees the first.
		bobs := f.as("bob@example.com", `{}`).call("POST", "/v1/actions/deploy/runs", body, "Idempotency-Key", "k").want(202).at("run", "id")
		if first == other || first == bobs || other == bobs {
			f.t.Errorf("the runs are %v, %v and %v: three callers share a key", first, other, bobs)
		}
		// The first may still ask for it again, though no new run would be permitted.
		f.call("PATCH", permissionsOfDeploy, `{"execute":{"roles":["Admin"]}}`).want(200)
		if again := ada.call("POST", "/v1/actions/deploy/runs", body, "Idempotency-Key", "k").want(200).at("run", "id"); again != first {
			f.t.Errorf("got %v again, want %v", again, first)
		}
	})
}
