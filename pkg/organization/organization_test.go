package organization_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/organization"
	"longshore/pkg/secret"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// watched is a store whose reads and audit entries can be seen.
type watched struct {
	organization.Store
	mu      sync.Mutex
	read    []string
	entries []*audit.Entry
	fail    error
}

func (w *watched) note(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = append(w.read, what)
	return w.fail
}

func (w *watched) entry(e *audit.Entry, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.entries = append(w.entries, e)
	}
	return err
}

func (w *watched) Secret(ctx context.Context, name string) (*organization.Secret, error) {
	if err := w.note(name); err != nil {
		return nil, err
	}
	return w.Store.Secret(ctx, name)
}

func (w *watched) Secrets(ctx context.Context) ([]*organization.Secret, error) {
	if err := w.note("*"); err != nil {
		return nil, err
	}
	return w.Store.Secrets(ctx)
}

func (w *watched) CreateSecret(ctx context.Context, s *organization.Secret, e *audit.Entry) error {
	return w.entry(e, w.Store.CreateSecret(ctx, s, e))
}

func (w *watched) ReplaceSecret(ctx context.Context, s *organization.Secret, e *audit.Entry) error {
	return w.entry(e, w.Store.ReplaceSecret(ctx, s, e))
}

func (w *watched) DeleteSecret(ctx context.Context, s *organization.Secret, by audit.Author, e *audit.Entry) error {
	return w.entry(e, w.Store.DeleteSecret(ctx, s, by, e))
}

func (w *watched) ReplaceSettings(ctx context.Context, s *organization.Settings, e *audit.Entry) error {
	return w.entry(e, w.Store.ReplaceSettings(ctx, s, e))
}

func open(t *testing.T) *watched {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := sqlitestore.NewOrganization(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return &watched{Store: s}
}

func sealer(t *testing.T, fills ...byte) *secret.Sealer {
	t.Helper()
	var ring secret.Ring
	for _, fill := range fills {
		key, err := secret.NewKey("", bytes.Repeat([]byte{fill}, secret.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		ring = append(ring, key)
	}
	return secret.NewSealer(ring)
}

var by = audit.Author{ID: "client_1", Origin: "API", At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}

func create(t *testing.T, s *organization.Service, name, value string) {
	t.Helper()
	if _, err := s.CreateSecret(t.Context(), []byte(fmt.Sprintf(`{"secretName":%q,"secretValue":%q}`, name, value)), by); err != nil {
		t.Fatal(err)
	}
}

// shown are values as name=value.
func shown(values []organization.Value) (all []string) {
	for _, v := range values {
		all = append(all, v.Name+"="+v.Text.Reveal())
	}
	return all
}

// A vault reads what it is asked for, once until a secret changes.
func TestVaultOpensOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	w := open(t)
	s, v := organization.NewService(w, sealer(t, 1)), organization.NewVault(w, sealer(t, 1))
	for _, name := range []string{"a", "b", "c"} {
		create(t, s, name, "value of "+name)
	}
	w.read = nil
	is := func(names []string, all bool, want, read []string) {
		t.Helper()
		got, err := v.Values(t.Context(), names, all)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, shown(got)); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(read, w.read); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		w.read = nil
	}
	is([]string{"b", "none", "no name"}, false, []string{"b=value of b"}, []string{"b", "none"})
	is([]string{"b", "none", "a"}, false, []string{"b=value of b", "a=value of a"}, []string{"a"})
	is(nil, true, []string{"a=value of a", "b=value of b", "c=value of c"}, []string{"*"})
	is(nil, true, []string{"a=value of a", "b=value of b", "c=value of c"}, nil)
	is([]string{"c"}, false, []string{"c=value of c"}, nil)
	create(t, s, "none", "is there now")
	w.read = nil
	is([]string{"none"}, false, []string{"none=is there now"}, []string{"none"})
	if err := s.DeleteSecret(t.Context(), "a", by); err != nil {
		t.Fatal(err)
	}
	w.read = nil
	is(nil, true, []string{"b=value of b", "c=value of c", "none=is there now"}, []string{"*"})
}

func TestVaultThatCannotOpen(t *testing.T) {
	t.Parallel()
	w := open(t)
	create(t, organization.NewService(w, sealer(t, 1)), "a", "hunter2-hunter2")
	for name, test := range map[string]struct {
		sealer *secret.Sealer
		fail   error
	}{
		"no key": {nil, nil}, "another key": {sealer(t, 2), nil},
		"store is down": {sealer(t, 1), fault.Busy(errors.New("throttled"), 0, "busy")},
	} {
		w.fail = test.fail
		for _, all := range []bool{false, true} {
			got, err := organization.NewVault(w, test.sealer).Values(t.Context(), []string{"a"}, all)
			if fault.KindOf(err) != fault.Unavailable || len(got) != 0 || strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: got %v, %v, want an unavailable fault", name, got, err)
			}
		}
	}
}

// What was copied to another name in the database does not open there.
func TestValuesBelongToTheirName(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := organization.NewService(w, sealer(t, 1))
	create(t, s, "a", "value of a")
	create(t, s, "b", "value of b")
	a, err := w.Store.Secret(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.Store.Secret(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Sealed = a.Sealed
	if err := w.Store.ReplaceSecret(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := organization.NewVault(w, sealer(t, 1)).Values(t.Context(), []string{"b"}, false); err == nil {
		t.Errorf("b opens to %v", shown(got))
	}
}

// After a rotation a PATCH without members seals a value under the new key.
func TestAnEmptyChangeSealsAnew(t *testing.T) {
	t.Parallel()
	w := open(t)
	create(t, organization.NewService(w, sealer(t, 1)), "a", "value of a")
	rotated := organization.NewService(w, sealer(t, 2, 1))
	if _, err := rotated.UpdateSecret(t.Context(), "a", []byte(`{"description":"of a"}`), by); err != nil {
		t.Fatal(err)
	}
	if _, err := organization.NewVault(w, sealer(t, 2)).Values(t.Context(), []string{"a"}, false); err == nil {
		t.Error("a description seals the value anew")
	}
	if _, err := rotated.UpdateSecret(t.Context(), "a", []byte(`{}`), by); err != nil {
		t.Fatal(err)
	}
	got, err := organization.NewVault(w, sealer(t, 2)).Values(t.Context(), []string{"a"}, false)
	if err != nil || !slices.Equal(shown(got), []string{"a=value of a"}) {
		t.Errorf("with the new key alone: %v, %v", shown(got), err)
	}
	if _, err := organization.NewService(w, sealer(t, 3)).UpdateSecret(t.Context(), "a", []byte(`{}`), by); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("sealed anew without the key: %v", err)
	}
}

// Each change has one entry, with the author, before and after, and never a value.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := organization.NewService(w, sealer(t, 1))
	create(t, s, "a", "hunter2-hunter2")
	if _, err := s.UpdateSecret(t.Context(), "a", []byte(`{"secretValue":"other-hunter3","description":"d"}`), by); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSecret(t.Context(), "a", by); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"name":"Acme"}`, `{"settings":{"portalTitle":"T"}}`} {
		if _, err := s.Change(t.Context(), "org_1", []byte(body), by); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	var got []string
	for _, e := range w.entries {
		ids[e.ID] = true
		got = append(got, fmt.Sprintf("%s %s %s %s -> %s", e.Action, e.Resource, e.Identifier, e.Before, e.After))
		if e.By != by {
			t.Errorf("entry is by %+v", e.By)
		}
	}
	want := []string{
		`CREATE secret a  -> {"secretName":"a","secretValue":"******"}`,
		`UPDATE secret a {"secretName":"a","secretValue":"******"} -> {"secretName":"a","secretValue":"******","description":"d"}`,
		`DELETE secret a {"secretName":"a","secretValue":"******","description":"d"} -> `,
		`UPDATE organization org_1  -> {"name":"Acme"}`,
		`UPDATE organization org_1 {"name":"Acme"} -> {"name":"Acme","settings":{"portalTitle":"T"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(ids) != len(want) {
		t.Errorf("%d ids; entries (-want +got):\n%s", len(ids), diff)
	}
}

// Changes at once are all in it afterwards, and what was sent comes back as it was.
func TestSettingsAreMerged(t *testing.T) {
	t.Parallel()
	w := open(t)
	s := organization.NewService(w, nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := s.Change(t.Context(), "org_1", []byte(fmt.Sprintf(`{"settings":{"n%d":{"z":1.0,"a":[ ]}}}`, i)), by); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	o, err := s.Organization(t.Context(), "org_1")
	if err != nil {
		t.Fatal(err)
	}
	settings, _ := o.Get("settings")
	if n := settings.(*jqtemplate.Object).Len(); n != 8 {
		t.Errorf("%d of 8 changes are there: %s", n, jqtemplate.Encode(o))
	}
	stored, err := w.Settings(t.Context())
	if err != nil || !strings.Contains(string(stored.Content), `{"z":1.0,"a":[]}`) {
		t.Errorf("stored %s, %v; want what was sent", stored.Content, err)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	t.Parallel()
	w := open(t)
	for i := range organization.MaxSecrets {
		if err := w.Store.CreateSecret(t.Context(), &organization.Secret{Name: fmt.Sprintf("s%d", i), ID: "x", Sealed: []byte("x")}, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := organization.NewService(w, sealer(t, 1)).CreateSecret(t.Context(), []byte(`{"secretName":"more","secretValue":"x"}`), by)
	if !fault.Is(err, "too_many_secrets") {
		t.Errorf("got %v, want too_many_secrets", err)
	}
}
