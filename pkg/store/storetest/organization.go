package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/organization"
	"longshore/pkg/secret"
)

// OrganizationStore is an empty organization.Store and what only its implementation can do to it.
type OrganizationStore struct {
	organization.Store
	// Audit is the audit log of the same database.
	Audit audit.Store
	// Raw returns all bytes that the database holds.
	Raw func(t *testing.T) []byte
}

// Organization runs every test of organization.Store. Open returns an empty store of its own at each
// call and closes it with t.Cleanup.
func Organization(t *testing.T, open func(t *testing.T) OrganizationStore) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s OrganizationStore)
	}{
		{"SettingsReadAfterWrite", settingsReadAfterWrite},
		{"SettingsOneOfManyWriters", settingsOneOfManyWriters},
		{"SecretsReadAfterWrite", secretsReadAfterWrite},
		{"SecretNameTaken", secretNameTaken},
		{"SecretChangedMeanwhile", secretChangedMeanwhile},
		{"SecretDeleteFreesName", secretDeleteFreesName},
		{"SecretStampMoves", secretStampMoves},
		{"SecretNeverReadBack", secretNeverReadBack},
		{"OrganizationEntersAuditWithItsChange", organizationEntersAuditWithItsChange},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func settingsReadAfterWrite(t *testing.T, s OrganizationStore) {
	now := startOfTest()
	got, err := s.Settings(t.Context())
	if diff := cmp.Diff(&organization.Settings{}, got); err != nil || diff != "" {
		t.Fatalf("settings of an empty store: %v (-want +got):\n%s", err, diff)
	}
	want := &organization.Settings{Content: json.RawMessage(awkward), UpdatedAt: now, UpdatedBy: "client_1"}
	if err := s.ReplaceSettings(t.Context(), want, nil); err != nil {
		t.Fatalf("write settings: %v", err)
	}
	got, err = s.Settings(t.Context())
	want.Rev = got.Rev
	if diff := cmp.Diff(want, got); err != nil || diff != "" || got.Rev == 0 {
		t.Errorf("settings: %v (-want +got):\n%s", err, diff)
	}
	got.Content, got.UpdatedBy = json.RawMessage(`{"big":"`+strings.Repeat("x", 300<<10)+`"}`), "client_2"
	if err := s.ReplaceSettings(t.Context(), got, nil); err != nil {
		t.Fatalf("write settings again: %v", err)
	}
	again, err := s.Settings(t.Context())
	if err != nil || string(again.Content) != string(got.Content) || again.UpdatedBy != "client_2" || again.Rev <= want.Rev {
		t.Errorf("settings written again: %v, rev %d after %d", err, again.Rev, want.Rev)
	}
}

func settingsOneOfManyWriters(t *testing.T, s OrganizationStore) {
	for range 2 {
		before, err := s.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		oneWins(t, 10, "conflict", func(i int) error {
			next := *before
			next.Content, next.UpdatedAt = json.RawMessage(fmt.Sprintf(`{"name":"%d"}`, i)), startOfTest()
			return s.ReplaceSettings(t.Context(), &next, nil)
		})
	}
}

func newSecret(name string, now time.Time) *organization.Secret {
	return &organization.Secret{
		Name: name, ID: "secret_" + name, Description: "of " + name, Sealed: []byte("\x01sealed \x00\xff" + name),
		CreatedAt: now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_1",
	}
}

func createSecret(t *testing.T, s OrganizationStore, o *organization.Secret) *organization.Secret {
	t.Helper()
	if err := s.CreateSecret(t.Context(), o, nil); err != nil {
		t.Fatalf("create secret: %v", err)
	}
	return getSecret(t, s, o.Name)
}

func getSecret(t *testing.T, s OrganizationStore, name string) *organization.Secret {
	t.Helper()
	o, err := s.Secret(t.Context(), name)
	if err != nil {
		t.Fatalf("get secret: %v", err)
	}
	return o
}

func secretNames(t *testing.T, s OrganizationStore) (names []string) {
	t.Helper()
	all, err := s.Secrets(t.Context())
	if err != nil {
		t.Fatalf("list secrets: %v", err)
	}
	for _, o := range all {
		names = append(names, o.Name)
	}
	return names
}

var withoutSecretRev = cmpopts.IgnoreFields(organization.Secret{}, "Rev")

func secretsReadAfterWrite(t *testing.T, s OrganizationStore) {
	now := startOfTest()
	if got := secretNames(t, s); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	_, err := s.Secret(t.Context(), "TOKEN")
	wantKind(t, err, fault.NotFound)
	for _, name := range []string{"TOKEN", "a-b", "_x", strings.Repeat("n", 100)} {
		o := newSecret(name, now)
		if diff := cmp.Diff(o, createSecret(t, s, o), withoutSecretRev); diff != "" {
			t.Errorf("secret (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"TOKEN", "_x", "a-b", strings.Repeat("n", 100)}, secretNames(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	o := getSecret(t, s, "TOKEN")
	o.Description, o.Sealed, o.UpdatedAt, o.UpdatedBy = "", []byte(strings.Repeat("\xfe", 33<<10)), now.Add(time.Second), "client_2"
	if err := s.ReplaceSecret(t.Context(), o, nil); err != nil {
		t.Fatalf("replace secret: %v", err)
	}
	got := getSecret(t, s, "TOKEN")
	if diff := cmp.Diff(o, got, withoutSecretRev); diff != "" || got.Rev <= o.Rev {
		t.Errorf("replaced secret, rev %d after %d (-want +got):\n%s", got.Rev, o.Rev, diff)
	}
}

func secretNameTaken(t *testing.T, s OrganizationStore) {
	now := startOfTest()
	first := createSecret(t, s, newSecret("TOKEN", now))
	second := newSecret("TOKEN", now)
	second.ID, second.Sealed = "secret_2", []byte("other")
	wantWord(t, s.CreateSecret(t.Context(), second, nil), "identifier_taken")
	if diff := cmp.Diff(first, getSecret(t, s, "TOKEN")); diff != "" {
		t.Errorf("the refused create changed the secret (-want +got):\n%s", diff)
	}
}

func secretChangedMeanwhile(t *testing.T, s OrganizationStore) {
	now, by := startOfTest(), audit.Author{ID: "client_1", At: startOfTest()}
	wantKind(t, s.ReplaceSecret(t.Context(), newSecret("none", now), nil), fault.NotFound)
	wantKind(t, s.DeleteSecret(t.Context(), newSecret("none", now), by, nil), fault.NotFound)
	o := createSecret(t, s, newSecret("TOKEN", now))
	first, second := *o, *o
	first.UpdatedBy, second.UpdatedBy = "first", "second"
	if err := s.ReplaceSecret(t.Context(), &first, nil); err != nil {
		t.Fatalf("replace secret: %v", err)
	}
	wantKind(t, s.ReplaceSecret(t.Context(), &second, nil), fault.Conflict)
	wantKind(t, s.DeleteSecret(t.Context(), &second, by, nil), fault.Conflict)
	if got := getSecret(t, s, "TOKEN"); got.UpdatedBy != "first" {
		t.Errorf("updated by %s, want first", got.UpdatedBy)
	}
}

func secretDeleteFreesName(t *testing.T, s OrganizationStore) {
	now, by := startOfTest(), audit.Author{ID: "client_1", At: startOfTest()}
	old := createSecret(t, s, newSecret("TOKEN", now))
	if err := s.DeleteSecret(t.Context(), old, by, nil); err != nil {
		t.Fatalf("delete secret: %v", err)
	}
	_, err := s.Secret(t.Context(), "TOKEN")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.DeleteSecret(t.Context(), old, by, nil), fault.NotFound)
	if got := secretNames(t, s); len(got) != 0 {
		t.Errorf("deleted secrets are listed: %v", got)
	}
	again := newSecret("TOKEN", now)
	again.ID = "secret_again"
	createSecret(t, s, again)
	// What was read before the delete does not replace what came after it.
	wantKind(t, s.ReplaceSecret(t.Context(), old, nil), fault.Conflict)
}

func secretStampMoves(t *testing.T, s OrganizationStore) {
	now, by := startOfTest(), audit.Author{ID: "client_1", At: startOfTest()}
	last := int64(-1)
	moved := func(when string, want bool) {
		t.Helper()
		stamp, err := s.Stamp(t.Context())
		if err != nil {
			t.Fatalf("stamp: %v", err)
		}
		if (stamp != last) != want {
			t.Errorf("%s: the stamp is %d after %d", when, stamp, last)
		}
		last = stamp
	}
	moved("empty", true)
	o := createSecret(t, s, newSecret("TOKEN", now))
	moved("created", true)
	if err := s.CreateSecret(t.Context(), newSecret("TOKEN", now), nil); err == nil {
		t.Error("a name is taken twice")
	}
	moved("refused", false)
	if err := s.ReplaceSecret(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	moved("replaced", true)
	if err := s.DeleteSecret(t.Context(), getSecret(t, s, "TOKEN"), by, nil); err != nil {
		t.Fatal(err)
	}
	moved("deleted", true)
}

// Nothing that the database holds, now or before, shows a secret's value; only a vault with the key does.
func secretNeverReadBack(t *testing.T, s OrganizationStore) {
	const first, second = "hunter2-and-a-half", "correct horse battery staple"
	key, err := secret.NewKey("one", make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealer := secret.NewSealer(secret.Ring{key})
	use, vault := organization.NewService(s, sealer), organization.NewVault(s, sealer)
	by := audit.Author{ID: "client_1", At: startOfTest()}
	var shown strings.Builder
	see := func(o *organization.Secret, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&shown, "%+v %s", *o, o.Sealed)
		text, _ := json.Marshal(o)
		shown.Write(text)
	}
	opens := func(want string) {
		t.Helper()
		got, err := vault.Values(t.Context(), []string{"TOKEN"}, false)
		if err != nil || len(got) != 1 || got[0].Text.Reveal() != want {
			t.Errorf("the vault opens %d values, %v; want %q", len(got), err, want)
		}
	}
	see(use.CreateSecret(t.Context(), []byte(`{"secretName":"TOKEN","secretValue":"`+first+`","description":"d"}`), by))
	opens(first)
	see(use.UpdateSecret(t.Context(), "TOKEN", []byte(`{"secretValue":"`+second+`"}`), by))
	opens(second)
	see(use.UpdateSecret(t.Context(), "TOKEN", []byte(`{}`), by))
	opens(second)
	see(use.Secret(t.Context(), "TOKEN"))
	all, err := use.Secrets(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("list: %d, %v", len(all), err)
	}
	see(all[0], nil)
	raw := append(s.Raw(t), shown.String()...)
	if err := use.DeleteSecret(t.Context(), "TOKEN", by); err != nil {
		t.Fatal(err)
	}
	raw = append(raw, s.Raw(t)...)
	if mask := secret.NewMask([]string{first, second}); len(raw) < 500 || mask.Text(string(raw)) != string(raw) {
		t.Errorf("a value is found in the %d bytes that the store holds or returned", len(raw))
	}
	if got, err := vault.Values(t.Context(), []string{"TOKEN"}, false); err != nil || len(got) != 0 {
		t.Errorf("the vault opens %d deleted values, %v", len(got), err)
	}
}

// What is written has its entry at once, what is refused has none.
func organizationEntersAuditWithItsChange(t *testing.T, s OrganizationStore) {
	by := audit.Author{ID: "client_1", Origin: "API", At: startOfTest()}
	n := 0
	entry := func(resource, action string) *audit.Entry {
		n++
		return audit.New(audit.Entry{
			Action: action, Resource: resource, Identifier: "TOKEN", By: by, After: json.RawMessage(`{"secretValue":"******"}`),
		}, fmt.Sprint(n), 0)
	}
	created, replaced, deleted := entry(audit.Secret, audit.Create), entry(audit.Secret, audit.Update), entry(audit.Secret, audit.Delete)
	changed := entry(audit.Organization, audit.Update)
	if err := s.CreateSecret(t.Context(), newSecret("TOKEN", by.At), created); err != nil {
		t.Fatal(err)
	}
	wantWord(t, s.CreateSecret(t.Context(), newSecret("TOKEN", by.At), entry(audit.Secret, audit.Create)), "identifier_taken")
	old := getSecret(t, s, "TOKEN")
	if err := s.ReplaceSecret(t.Context(), old, replaced); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.ReplaceSecret(t.Context(), old, entry(audit.Secret, audit.Update)), fault.Conflict)
	wantKind(t, s.DeleteSecret(t.Context(), old, by, entry(audit.Secret, audit.Delete)), fault.Conflict)
	if err := s.DeleteSecret(t.Context(), getSecret(t, s, "TOKEN"), by, deleted); err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceSettings(t.Context(), &organization.Settings{Content: json.RawMessage(`{}`)}, changed); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.ReplaceSettings(t.Context(), &organization.Settings{Content: json.RawMessage(`{}`)}, entry(audit.Organization, audit.Update)), fault.Conflict)
	page, err := s.Audit.List(t.Context(), audit.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range page.Entries {
		got[e.ID] = e.Action + " " + e.Resource
	}
	want := map[string]string{}
	for _, e := range []*audit.Entry{created, replaced, deleted, changed} {
		want[e.ID] = e.Action + " " + e.Resource
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
