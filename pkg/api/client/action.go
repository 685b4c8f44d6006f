package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"longshore/pkg/jqtemplate"
)

// Saved is a definition as the server has it now, and what does not compile in it.
type Saved struct {
	Action   json.RawMessage      `json:"action"`
	Warnings []jqtemplate.Warning `json:"warnings"`
}

func actionPath(identifier string) string { return "/v1/actions/" + url.PathEscape(identifier) }

// Actions returns all definitions, by identifier.
func (c *Client) Actions(ctx context.Context) ([]json.RawMessage, error) {
	var answer struct {
		Actions []json.RawMessage `json:"actions"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/actions"}, &answer)
	return answer.Actions, err
}

// Action returns one definition. An *Error of status 404 when there is none.
func (c *Client) Action(ctx context.Context, identifier string) (json.RawMessage, error) {
	var answer Saved
	_, err := c.do(ctx, call{method: http.MethodGet, path: actionPath(identifier)}, &answer)
	return answer.Action, err
}

// CreateAction keeps a new definition. An *Error of status 409 when its identifier is taken.
func (c *Client) CreateAction(ctx context.Context, definition json.RawMessage) (*Saved, error) {
	var answer Saved
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/actions", body: definition}, &answer)
	return &answer, err
}

// ReplaceAction puts a definition in the place of another. An *Error of status 404 when there is none.
func (c *Client) ReplaceAction(ctx context.Context, identifier string, definition json.RawMessage) (*Saved, error) {
	var answer Saved
	_, err := c.do(ctx, call{method: http.MethodPut, path: actionPath(identifier), body: definition}, &answer)
	return &answer, err
}

// SavedPermissions are an action's permissions as the server has them now, and what does not compile in
// the change.
type SavedPermissions struct {
	Permissions json.RawMessage      `json:"permissions"`
	Warnings    []jqtemplate.Warning `json:"warnings"`
}

// Permissions returns an action's permissions. An *Error of status 404 when there is no such action.
func (c *Client) Permissions(ctx context.Context, identifier string) (json.RawMessage, error) {
	var answer SavedPermissions
	_, err := c.do(ctx, call{method: http.MethodGet, path: actionPath(identifier) + "/permissions"}, &answer)
	return answer.Permissions, err
}

// PatchPermissions changes an action's permissions.
func (c *Client) PatchPermissions(ctx context.Context, identifier string, change json.RawMessage) (*SavedPermissions, error) {
	var answer SavedPermissions
	_, err := c.do(ctx, call{method: http.MethodPatch, path: actionPath(identifier) + "/permissions", body: change}, &answer)
	return &answer, err
}

// DeleteAction removes a definition.
func (c *Client) DeleteAction(ctx context.Context, identifier string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: actionPath(identifier)}, nil)
	return err
}
