package organization

import (
	"context"
	"encoding/json"
	"fmt"
)

// Polling is how runs go to agents until the setting portAgentStreamerName says otherwise.
const Polling = "POLLING"

// Streamer returns the setting portAgentStreamerName.
func (s *Service) Streamer(ctx context.Context) (string, error) {
	settings, err := s.store.Settings(ctx)
	if err != nil {
		return "", fmt.Errorf("read the organization: %w", err)
	}
	var content struct {
		Settings struct {
			Name any `json:"portAgentStreamerName"`
		} `json:"settings"`
	}
	if len(settings.Content) > 0 {
		// Settings may be anything that is JSON; what is none of ours says nothing.
		_ = json.Unmarshal(settings.Content, &content)
	}
	if name, ok := content.Settings.Name.(string); ok {
		return name, nil
	}
	return Polling, nil
}
