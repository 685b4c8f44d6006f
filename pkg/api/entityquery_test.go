package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every route that writes entities takes the run that the change is tied to, refuses one that is over, and
// counts an empty one as absent; those that name related entities make the missing ones where they are asked.
func TestParametersOfEntityWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	ended := f.start()
	f.call("PATCH", "/v1/actions/runs/"+ended, `{"status":"SUCCESS"}`).want(200)
	const missing = "&create_missing_related_entities="
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		// makes says that the body names a related entity that is not there: %s in it is its name.
		makes bool
		want  []string
	}{
		{"POST", "POST", serviceEntities + "?x=1", `{"identifier":"new","relations":{"system":%q}}`, 201, true, []string{"CREATE new"}},
		{"upsert", "POST", serviceEntities + "?upsert=true", `{"identifier":"cart","relations":{"system":%q}}`, 200, true, []string{"UPDATE cart"}},
		{"bulk", "POST", serviceEntities + "/bulk?upsert=true", `{"entities":[{"identifier":"cart","relations":{"system":%q}}]}`, 200, true, []string{"UPDATE cart"}},
		{"PUT", "PUT", serviceEntities + "/cart?x=1", `{"relations":{"system":%q}}`, 200, true, []string{"UPDATE cart"}},
		{"PATCH", "PATCH", serviceEntities + "/cart?x=1", `{"relations":{"system":%q}}`, 200, true, []string{"UPDATE cart"}},
		{"renaming PUT", "PUT", serviceEntities + "/cart?x=1", `{"identifier":"basket"}`, 200, false, []string{"CREATE basket", "DELETE cart", "UPDATE till"}},
		{"DELETE", "DELETE", serviceEntities + "/cart?x=1", ``, 200, false, []string{"DELETE cart", "UPDATE till"}},
		{"DELETE with dependents", "DELETE", serviceEntities + "/cart?delete_dependents=true", ``, 200, false, []string{"DELETE cart", "DELETE till"}},
		{"bulk deletion", "POST", "/v1/blueprints/service/bulk/entities/delete?x=1", `{"entities":["cart"]}`, 200, false, []string{"DELETE cart", "UPDATE till"}},
		{"bulk deletion with dependents", "POST", "/v1/blueprints/service/bulk/entities/delete?delete_dependents=true", `{"entities":["cart"]}`, 200, false, []string{"DELETE cart", "DELETE till"}},
		{"all entities", "DELETE", serviceAll + "?x=1", ``, 200, false, []string{"DELETE cart", "DELETE till"}},
	} {
		f.call("DELETE", serviceAll, "").want(200)
		f.call("POST", serviceEntities+"/bulk", `{"entities":[{"identifier":"cart"},{"identifier":"till","relations":{"uses":["cart"]}}]}`).want(200)
		id := f.start()
		related := "system-of-" + strings.ReplaceAll(c.name, " ", "-")
		body := c.body
		if c.makes {
			body = fmt.Sprintf(c.body, related)
		}
		before := f.snapshot()
		f.call(c.method, c.target+"&run_id="+ended+missing+"true", body).fault(422, "run_not_in_progress")
		f.call(c.method, c.target+"&run_id=none"+missing+"true", body).fault(404, "not_found")
		if c.makes {
			for _, no := range []string{"", "false", "yes"} {
				g := f.call(c.method, c.target+"&run_id="+missing+no, body)
				if g.status != 404 && g.status != 207 {
					t.Errorf("%s: a related entity that is not there: got status %d", c.name, g.status)
				}
			}
			// An upsert and PATCH are valid without one; POST and bulk can be tried without writing.
			if c.method == "POST" {
				f.call(c.method, c.target+"&validation_only=true&run_id="+missing+"true", body).want(200)
			}
			c.want = append(c.want, "CREATE "+related)
		}
		f.unchanged(before)
		f.call(c.method, c.target+"&run_id="+id+missing+"true", body).want(c.status)
		var got []string
		for _, e := range f.audits("?resources=entity&run_id=" + id) {
			change := e["action"].(string) + " " + e["context"].(map[string]any)["entity"].(string)
			// Of two that go, the one that goes later may have lost its relation before.
			if change != "UPDATE till" || slices.Contains(c.want, change) {
				got = append(got, change)
			}
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: changes tied to the run (-want +got):\n%s", c.name, diff)
		}
	}
}
