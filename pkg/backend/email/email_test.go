package email_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/email"
	"longshore/pkg/boot"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// ses is a stand-in for Amazon SES at its HTTP address.
type ses struct {
	calls  atomic.Int32
	status int
	header http.Header
	body   string
	// got is the last request.
	got  map[string]any
	path string
}

func (s *ses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &s.got)
	s.path = r.Method + " " + r.URL.Path
	for name, values := range s.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

// other is the backend that shares the queue.
type other struct{ calls int }

func (o *other) Call(context.Context, backend.Call) backend.Outcome {
	o.calls++
	return backend.Outcome{Verdict: run.Deliver, StatusCode: 204}
}

func (o *other) Prepare(context.Context) error { return io.ErrUnexpectedEOF }

// open returns a backend whose SES is at an address.
func open(t *testing.T, url string, o *other) *email.Backend {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_SESV2": url, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	config, err := boot.LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return email.New(email.Config{Else: o, Mailer: email.NewMailer(config), Sender: "longshore@example.com"})
}

func mail(to ...string) backend.Call {
	return backend.Call{RunID: "d_1", Invocation: &invocation.Invocation{
		V: 1, Type: invocation.TypeEmail, Backend: invocation.BackendWebhook,
		Email: &invocation.Email{To: to, Subject: "Approval needed: Größe", Text: "Run r_1 waits.\n"},
	}}
}

func TestSend(t *testing.T) {
	s := &ses{status: 200, body: `{"MessageId":"1"}`}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	b := open(t, server.URL, &other{})
	for name, c := range map[string]struct {
		to   []string
		want map[string]any
	}{
		"one":                           {[]string{"a@example.com"}, map[string]any{"ToAddresses": []any{"a@example.com"}}},
		"several do not see each other": {[]string{"a@example.com", "b@example.com"}, map[string]any{"BccAddresses": []any{"a@example.com", "b@example.com"}}},
	} {
		o := b.Call(t.Context(), mail(c.to...))
		if o.Verdict != run.Deliver || o.Error != "" || s.path != "POST /v2/email/outbound-emails" {
			t.Errorf("%s: outcome %+v of %s", name, o, s.path)
		}
		want := map[string]any{
			"FromEmailAddress": "longshore@example.com", "Destination": c.want,
			"Content": map[string]any{"Simple": map[string]any{
				"Subject": map[string]any{"Data": "Approval needed: Größe", "Charset": "UTF-8"},
				"Body":    map[string]any{"Text": map[string]any{"Data": "Run r_1 waits.\n", "Charset": "UTF-8"}},
			}},
		}
		if diff := cmp.Diff(want, s.got); diff != "" {
			t.Errorf("%s: request (-want +got):\n%s", name, diff)
		}
	}
}

func TestOutcomeOfRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		code    string
		verdict run.Verdict
		want    string
	}{
		"throttled":    {429, "TooManyRequestsException", run.Retry, "SES answered 429 TooManyRequestsException"},
		"down":         {500, "InternalFailure", run.Retry, "SES answered 500 InternalFailure"},
		"no JSON":      {503, "", run.Retry, "SES answered 503"},
		"rejected":     {400, "MessageRejected", run.Fail, "SES answered 400 MessageRejected"},
		"not verified": {400, "MailFromDomainNotVerifiedException", run.Fail, "SES answered 400 MailFromDomainNotVerifiedException"},
		"not allowed":  {403, "AccessDeniedException", run.Fail, "SES answered 403 AccessDeniedException"},
		"hostile code": {400, "a@example.com <b>", run.Fail, "SES answered 400"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &ses{status: c.status, header: http.Header{"X-Amzn-Errortype": {c.code}}, body: `{"message":"Email address is not verified: a@example.com"}`}
			if c.code == "" {
				s.header, s.body = nil, "<html>"
			}
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			o := open(t, server.URL, &other{}).Call(t.Context(), mail("a@example.com"))
			if o.Verdict != c.verdict || o.StatusCode != c.status || !strings.HasPrefix(o.Error, c.want) || o.StatusLabel == "" {
				t.Errorf("outcome is %+v, want verdict %d, %q", o, c.verdict, c.want)
			}
			if strings.Contains(o.Error, "a@example.com") {
				t.Errorf("the error quotes an address: %q", o.Error)
			}
			// The delivery tries again, nobody else does.
			if s.calls.Load() != 1 {
				t.Errorf("%d requests, want 1", s.calls.Load())
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	o := open(t, "http://127.0.0.1:1", &other{}).Call(t.Context(), mail("a@example.com"))
	if o.Verdict != run.Retry || o.Error != "SES could not be reached" || o.StatusCode != 0 {
		t.Errorf("outcome is %+v", o)
	}
}

func TestOthersGoElsewhere(t *testing.T) {
	t.Parallel()
	o := &other{}
	b := email.New(email.Config{Else: o})
	got := b.Call(t.Context(), backend.Call{Invocation: &invocation.Invocation{Webhook: &invocation.Webhook{}}})
	if got.StatusCode != 204 || o.calls != 1 {
		t.Errorf("outcome is %+v", got)
	}
	if err := b.Prepare(t.Context()); err == nil {
		t.Error("the other backend was not asked whether it is ready")
	}
	// A deployment whose sender was taken away.
	if got := b.Call(t.Context(), mail("a@example.com")); got.Verdict != run.Fail || o.calls != 1 {
		t.Errorf("outcome is %+v", got)
	}
}
