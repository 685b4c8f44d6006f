package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"longshore/pkg/jqtemplate"
)

// SavedBlueprint is a blueprint as the server has it now, and what does not compile in it.
type SavedBlueprint struct {
	Blueprint json.RawMessage      `json:"blueprint"`
	Warnings  []jqtemplate.Warning `json:"warnings"`
}

func blueprintPath(identifier string) string { return "/v1/blueprints/" + url.PathEscape(identifier) }

// Blueprints returns all blueprints, by identifier.
func (c *Client) Blueprints(ctx context.Context) ([]json.RawMessage, error) {
	var answer struct {
		Blueprints []json.RawMessage `json:"blueprints"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/blueprints"}, &answer)
	return answer.Blueprints, err
}

// Blueprint returns one blueprint. An *Error of status 404 when there is none.
func (c *Client) Blueprint(ctx context.Context, identifier string) (json.RawMessage, error) {
	var answer SavedBlueprint
	_, err := c.do(ctx, call{method: http.MethodGet, path: blueprintPath(identifier)}, &answer)
	return answer.Blueprint, err
}

// CreateBlueprint keeps a new blueprint. An *Error of status 409 when its identifier is taken.
func (c *Client) CreateBlueprint(ctx context.Context, definition json.RawMessage) (*SavedBlueprint, error) {
	var answer SavedBlueprint
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/blueprints", body: definition}, &answer)
	return &answer, err
}

// ReplaceBlueprint puts a definition in the place of a blueprint. An *Error of status 404 when there is
// none.
func (c *Client) ReplaceBlueprint(ctx context.Context, identifier string, definition json.RawMessage) (*SavedBlueprint, error) {
	var answer SavedBlueprint
	_, err := c.do(ctx, call{method: http.MethodPut, path: blueprintPath(identifier), body: definition}, &answer)
	return &answer, err
}

// DeleteBlueprint removes a blueprint. An *Error of status 409 when something depends on it.
func (c *Client) DeleteBlueprint(ctx context.Context, identifier string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: blueprintPath(identifier)}, nil)
	return err
}
