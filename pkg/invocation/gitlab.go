package invocation

import (
	"encoding/json"
	"strings"
)

// Project is the full path of the project of a GitLab invocation, groupName/projectName; empty for any
// other, and for names that make no path.
func (i *Invocation) Project() string {
	var m struct {
		Group   string `json:"groupName"`
		Project string `json:"projectName"`
	}
	if i.Type != "GITLAB" || json.Unmarshal(i.Payload, &m) != nil {
		return ""
	}
	path := strings.Trim(m.Group, "/") + "/" + strings.Trim(m.Project, "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return ""
		}
	}
	return path
}
