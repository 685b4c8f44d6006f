// Package schedulertest is an EventBridge Scheduler for tests, spoken to over HTTP. It refuses what the real
// one documents that it refuses.
package schedulertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"longshore/pkg/schedule"
)

// Group is the one schedule group there is.
const Group = "longshore"

// Entry is a schedule as it is kept, in the names of the API.
type Entry struct {
	ActionAfterCompletion, Description, GroupName          string
	ScheduleExpression, ScheduleExpressionTimezone, State  string
	FlexibleTimeWindow                                     struct{ Mode string }
	Target                                                 Target
	StartDate, EndDate, KmsKeyArn, ClientToken, CreateDate any `json:",omitempty"`
}

// Target is what an entry invokes.
type Target struct {
	Arn, RoleArn, Input string
	RetryPolicy         struct{ MaximumEventAgeInSeconds, MaximumRetryAttempts int }
}

// Server is an EventBridge Scheduler.
type Server struct {
	now func() time.Time
	url string

	mu      sync.Mutex
	entries map[string]Entry
	calls   []string
	before  func(call string) (code int, kind string)
}

// New starts one, whose clock says which at(…) has passed.
func New(t *testing.T, now func() time.Time) *Server {
	t.Helper()
	s := &Server{now: now, entries: map[string]Entry{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// Client returns a client of it that tries each call once.
func (s *Server) Client() *scheduler.Client {
	return scheduler.New(scheduler.Options{
		Region: "eu-west-1", BaseEndpoint: &s.url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), HTTPClient: aws.NewConfig().HTTPClient,
	})
}

// Entries returns what is kept, by name.
func (s *Server) Entries() map[string]Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]Entry{}
	for name, e := range s.entries {
		e.ClientToken = nil
		all[name] = e
	}
	return all
}

// Calls returns the calls since the last time, such as "GET action_1".
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// Before is called before each call is dealt with; a code other than 0 is answered with the kind of error.
func (s *Server) Before(f func(call string) (code int, kind string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Remove takes an entry away, as when it has come for the last time.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, name)
}

var (
	path     = regexp.MustCompile(`^/schedules/([0-9a-zA-Z\-_.]{1,64})$`)
	roleARN  = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	anyARN   = regexp.MustCompile(`^arn:aws[a-z-]*:[a-z]+:[a-z0-9-]*:\d{12}:.+$`)
	attempts = [2]int{0, 185}
	ages     = [2]int{60, 86400}
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	match := path.FindStringSubmatch(r.URL.Path)
	if match == nil {
		refuse(w, http.StatusBadRequest, "ValidationException", "the name is none")
		return
	}
	name := match[1]
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+name)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if code, kind := before(r.Method + " " + name); code != 0 {
			refuse(w, code, kind, "as the test asks")
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, there := s.entries[name]
	var sent Entry
	group := r.URL.Query().Get("groupName")
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&sent); err != nil {
			refuse(w, http.StatusBadRequest, "ValidationException", err.Error())
			return
		}
		if wrong := s.wrong(sent); wrong != "" {
			refuse(w, http.StatusBadRequest, "ValidationException", wrong)
			return
		}
		group = sent.GroupName
	}
	switch {
	case group != Group:
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Schedule group "+group+" does not exist.")
	case r.Method == http.MethodPost && there:
		refuse(w, http.StatusConflict, "ConflictException", "Schedule "+name+" already exists.")
	case r.Method != http.MethodPost && !there:
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Schedule "+name+" does not exist.")
	case r.Method == http.MethodGet:
		e.ClientToken = nil
		answer(w, struct {
			Entry
			Name string
		}{e, name})
	case r.Method == http.MethodDelete:
		delete(s.entries, name)
		answer(w, struct{}{})
	default:
		s.entries[name] = sent
		answer(w, map[string]string{"ScheduleArn": "arn:aws:scheduler:eu-west-1:123456789012:schedule/" + Group + "/" + name})
	}
}

// wrong says what is wrong with an entry.
func (s *Server) wrong(e Entry) string {
	within := func(n int, of [2]int) bool { return n >= of[0] && n <= of[1] }
	compiled, err := schedule.Parse(e.ScheduleExpression, e.ScheduleExpressionTimezone)
	switch {
	case err != nil || compiled.Expression() != e.ScheduleExpression:
		return "Invalid Schedule Expression " + e.ScheduleExpression
	case e.FlexibleTimeWindow.Mode != "OFF":
		return "FlexibleTimeWindow.Mode is required; a window needs its minutes"
	case e.ActionAfterCompletion != "NONE" && e.ActionAfterCompletion != "DELETE":
		return "ActionAfterCompletion is none"
	case e.State != "ENABLED" && e.State != "DISABLED":
		return "State is none"
	case len(e.Description) > 512:
		return "Description is too long"
	case !anyARN.MatchString(e.Target.Arn) || !roleARN.MatchString(e.Target.RoleArn):
		return "Target.Arn or Target.RoleArn is no ARN"
	case !json.Valid([]byte(e.Target.Input)):
		return "Target.Input must be JSON for a function"
	case !within(e.Target.RetryPolicy.MaximumEventAgeInSeconds, ages) || !within(e.Target.RetryPolicy.MaximumRetryAttempts, attempts):
		return "RetryPolicy is out of range"
	}
	if at, once := compiled.Once(); once && !at.After(s.now()) {
		return "Invalid Schedule Expression: it is in the past"
	}
	return ""
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"Message": message})
}
