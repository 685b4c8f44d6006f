package permission_test

import (
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/identity"
	"longshore/pkg/permission"
	"longshore/pkg/run"
)

func TestMaySee(t *testing.T) {
	t.Parallel()
	as := func(id string, role identity.Role) identity.Caller {
		return identity.Caller{ID: id, User: &identity.User{Role: role}}
	}
	r := &run.Run{UserID: "usr_ada"}
	approvers := []permission.Approver{{UserID: "usr_bob"}}
	tests := map[string]struct {
		caller                identity.Caller
		public, private, mine bool
	}{
		"machine":    {machine, true, true, true},
		"admin":      {as("usr_x", identity.Admin), true, true, true},
		"own user":   {as("usr_ada", identity.Member), true, true, true},
		"approver":   {as("usr_bob", identity.Member), true, true, false},
		"member":     {as("usr_x", identity.Member), true, false, false},
		"moderator":  {as("usr_x", identity.Moderator), true, false, false},
		"nobody":     {identity.Caller{}, true, false, false},
		"without id": {as("", identity.Member), true, false, false},
	}
	for name, test := range tests {
		got := [...]bool{
			permission.MaySee(test.caller, r, false, approvers), permission.MaySee(test.caller, r, true, approvers),
			permission.MayReport(test.caller, r),
		}
		if want := [...]bool{test.public, test.private, test.mine}; got != want {
			t.Errorf("%s: sees a public run, a private one, reports: %v, want %v", name, got, want)
		}
	}
	nobodys := &run.Run{}
	if permission.MayReport(as("", identity.Member), nobodys) {
		t.Error("a run of nobody is everybody's")
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	says := func(private bool) *action.Entry {
		return &action.Entry{Definition: &action.Definition{PrivateRuns: private}}
	}
	tests := map[string]struct {
		action *action.Entry
		run    run.Run
		want   bool
	}{
		"public":                        {says(false), run.Run{}, false},
		"private":                       {says(true), run.Run{Private: true}, true},
		"made private later":            {says(true), run.Run{}, true},
		"made public later":             {says(false), run.Run{Private: true}, false},
		"of a deleted private action":   {nil, run.Run{Private: true}, true},
		"of a deleted public action":    {nil, run.Run{}, false},
		"of an unreadable definition":   {&action.Entry{}, run.Run{Private: true}, true},
		"of an unreadable, public then": {&action.Entry{}, run.Run{}, false},
	}
	for name, test := range tests {
		if got := permission.Private(test.action, &test.run); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}
