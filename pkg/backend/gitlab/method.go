package gitlab

import (
	"encoding/json"
	"strings"

	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate/value"
)

// method is a rendered invocation method.
type method struct {
	// project is its full path.
	project string
	// ref is empty for the project's default branch.
	ref       string
	variables []variable
	// message is the run message of v1, nil where none is sent.
	message json.RawMessage
}

type variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// portPayload is what v1 calls the run message.
const portPayload = "port_payload"

// read takes an invocation apart, or says in a sentence why it cannot be carried out.
func read(i *invocation.Invocation) (m method, refused string) {
	if i == nil || i.Type != "GITLAB" {
		return m, "the run's invocation is none of GitLab"
	}
	decoded, err := value.Decode(i.Payload)
	o, ok := decoded.(*value.Object)
	if err != nil || !ok {
		return m, "the invocation cannot be read"
	}
	if m.project = i.Project(); m.project == "" {
		return m, "the invocation's groupName and projectName are no path of a project"
	}
	m.ref, _ = member(o, "defaultRef").(string)
	if i.Ref != "" {
		m.ref = i.Ref
	}
	variables, ok := member(o, "pipelineVariables").(*value.Object)
	if !ok && member(o, "pipelineVariables") != nil {
		return m, "the invocation's pipelineVariables are no object"
	}
	for key, v := range variables.All() {
		text, isText := v.(string)
		switch {
		case v == nil:
			continue
		case key == portPayload && i.RunMessage:
			m.message = value.Encode(v)
			continue
		case !isText:
			text = string(value.Encode(v))
		}
		if key == "ref" {
			if text != "" {
				m.ref = text
			}
			continue
		}
		m.variables = append(m.variables, variable{key, text})
	}
	return m, ""
}

func member(o *value.Object, name string) any {
	v, _ := o.Get(name)
	return v
}

// oddNames reports whether a variable has a name that GitLab takes for none: it knows letters, digits
// and _ (Ci::HasVariable in GitLab's sources).
func (m method) oddNames() bool {
	for _, v := range m.variables {
		if v.Key == "" || strings.ContainsFunc(v.Key, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return true
		}
	}
	return false
}
