package trigger

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
)

// faults collects what is wrong with a rendered method. Sentences name what was expected and what
// kind of value came out, never the value: it may hold a secret.
type faults []fault.Detail

// add notes a fault at a member of the method.
func (f *faults) add(path, message string) {
	if path != "" {
		path = "." + path
	}
	*f = append(*f, fault.Detail{Path: "invocationMethod" + path, Message: message})
}

// kind notes a value of the wrong kind.
func (f *faults) kind(path, expected string, got any) {
	is := "other text"
	switch v := got.(type) {
	case nil:
		is = "null"
	case bool:
		is = strconv.FormatBool(v)
	case float64:
		is = "a number"
	case []any:
		is = "an array"
	case *jqtemplate.Object:
		is = "an object"
	}
	f.add(path, expected+", but it rendered to "+is)
}

// boolean reads a value that is true, false or, since a template may be part of a string, the text
// of either. Absent and null are the default.
func (f *faults) boolean(path string, value any, absent bool) bool {
	switch value {
	case nil:
		return absent
	case true, "true":
		return true
	case false, "false":
		return false
	}
	f.kind(path, "must be true or false", value)
	return absent
}

// webhook makes an HTTP call of a rendered method, or of one of the first generation. Literal is its
// URL's text up to the first expression; body is the text to send, nil for none.
func (f *faults) webhook(method *jqtemplate.Object, literal string, body *string, array bool) *invocation.Invocation {
	w := &invocation.Webhook{
		URL:          f.url(get(method, "url")),
		Literal:      literal,
		Method:       f.method(get(method, "method")),
		Headers:      f.headers(get(method, "headers")),
		Synchronized: f.boolean("synchronized", get(method, "synchronized"), false),
		Agent:        f.boolean("agent", get(method, "agent"), false),
	}
	switch {
	case array && w.Method == "GET":
		f.add("body", "must be an object for method GET, whose body goes into the query, but it rendered to an array")
	case array && w.Agent:
		f.add("body", "must be an object for a run of an agent, which takes no other, but it rendered to an array")
	}
	i := &invocation.Invocation{V: invocation.Version, Type: typeWebhook, Backend: invocation.BackendWebhook, Webhook: w}
	if w.Agent {
		i.Backend = invocation.BackendAgent
	}
	w.Body = body
	return i
}

// url checks where a call goes.
func (f *faults) url(value any) string {
	const expected = "must be an absolute http or https URL with a host"
	text, ok := value.(string)
	if !ok {
		f.kind("url", expected, value)
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		f.add("url", expected+", but it rendered to text that is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		f.add("url", expected+", but its scheme is not http or https")
	case u.Hostname() == "":
		f.add("url", expected+", but it has no host")
	case u.Port() != "":
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			f.add("url", expected+", but its port is not 1 to 65535")
		}
	}
	return text
}

// methods are the HTTP methods of calls.
const methods = "POST, PUT, PATCH, DELETE, GET"

func isMethod(text string) bool { return slices.Contains(strings.Split(methods, ", "), text) }

// method checks the HTTP method; absent and null are POST.
func (f *faults) method(value any) string {
	if value == nil {
		return "POST"
	}
	text, ok := value.(string)
	if !ok || !isMethod(text) {
		f.kind("method", "must be one of "+methods, value)
	}
	return text
}

// headers checks names and values. A value that is no string goes as its compact JSON; null drops
// the header.
func (f *faults) headers(value any) []invocation.Header {
	if value == nil {
		return nil
	}
	o, ok := value.(*jqtemplate.Object)
	if !ok {
		f.kind("headers", "must be an object", value)
		return nil
	}
	var headers []invocation.Header
	for name, value := range o.All() {
		if value == nil {
			continue
		}
		text, ok := value.(string)
		if !ok {
			text = string(jqtemplate.Encode(value))
		}
		if !isToken(name) {
			f.add("headers", fmt.Sprintf("the header name %.100q has a character that none may have", name))
		} else if strings.ContainsFunc(text, isControl) {
			f.add("headers."+name, "must be free of control characters, line ends included")
		}
		headers = append(headers, invocation.Header{Name: name, Value: text})
	}
	return headers
}

// isToken reports whether the text is a token (RFC 9110, section 5.6.2), as header names are.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			return false
		}
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isControl reports whether a header's value may not have the character: CR, LF, NUL (RFC 9110,
// section 5.5) and the other control characters that net/http refuses to send; not the tab.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }

// body encodes a body; absent and null are none.
func (f *faults) body(value any) (text *string, array bool) {
	switch value.(type) {
	case nil:
		return nil, false
	case *jqtemplate.Object, []any:
		encoded := jqtemplate.EncodeString(value)
		_, array = value.([]any)
		return &encoded, array
	}
	f.kind("body", "must be an object or an array", value)
	return nil, false
}
