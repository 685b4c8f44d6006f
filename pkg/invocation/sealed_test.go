package invocation_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/invocation"
	"longshore/pkg/secret"
)

func TestSealedInvocationComesBack(t *testing.T) {
	t.Parallel()
	key, err := secret.NewKey("one", bytes.Repeat([]byte{1}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	s := secret.NewSealer(secret.Ring{key})
	body := "<hunter2-hunter2>\u2028"
	want := &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
		Webhook: &invocation.Webhook{URL: "https://example.com", Method: "POST", Headers: []invocation.Header{{Name: "X", Value: "1"}}, Body: &body},
	}
	sealed, err := invocation.Seal(t.Context(), s, "r_1", want, []string{"hunter2-hunter2", "short"})
	if err != nil {
		t.Fatal(err)
	}
	got, mask, err := invocation.Open(t.Context(), s, "r_1", sealed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("invocation (-want +got):\n%s", diff)
	}
	if text := mask.Text("a short hunter2-hunter2"); text != "a short ******" {
		t.Errorf("masked to %q", text)
	}
	if _, _, err := invocation.Open(t.Context(), s, "r_2", sealed); err == nil {
		t.Error("another run opens it")
	}
	// What this code cannot read is left to newer code, and not quoted.
	for name, plain := range map[string]string{
		"newer": `{"v":2,"invocation":{"v":2,"type":"hunter2"}}`, "no version": `{"invocation":{"v":1}}`,
		"nothing": `{"v":1}`, "no JSON": `hunter2`, "wrong types": `{"v":1,"invocation":"hunter2"}`,
	} {
		sealed, err := s.Seal(t.Context(), "invocation r_1", []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := invocation.Open(t.Context(), s, "r_1", sealed); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
