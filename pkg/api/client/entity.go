package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

func entitiesPath(blueprint string) string { return blueprintPath(blueprint) + "/entities" }

func entityPath(blueprint, identifier string) string {
	return entitiesPath(blueprint) + "/" + url.PathEscape(identifier)
}

// entityAnswer is what the routes of one entity answer.
type entityAnswer struct {
	Entity json.RawMessage `json:"entity"`
}

// Entity returns one entity without the properties that are computed. An *Error of status 404 when it
// or its blueprint is not there.
func (c *Client) Entity(ctx context.Context, blueprint, identifier string) (json.RawMessage, error) {
	var answer entityAnswer
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: entityPath(blueprint, identifier),
		query: url.Values{"exclude_calculated_properties": {"true"}},
	}, &answer)
	return answer.Entity, err
}

// PutEntity makes an entity, or puts it whole in the place of the one with its identifier.
func (c *Client) PutEntity(ctx context.Context, blueprint string, entity json.RawMessage) (json.RawMessage, error) {
	return c.putEntity(ctx, blueprint, entity, "false")
}

// CheckEntity returns what PutEntity would make of an entity, searches carried out, and writes nothing.
func (c *Client) CheckEntity(ctx context.Context, blueprint string, entity json.RawMessage) (json.RawMessage, error) {
	return c.putEntity(ctx, blueprint, entity, "true")
}

func (c *Client) putEntity(ctx context.Context, blueprint string, entity json.RawMessage, only string) (json.RawMessage, error) {
	var answer entityAnswer
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: entitiesPath(blueprint), body: entity, repeat: true,
		query: url.Values{"upsert": {"true"}, "merge": {"false"}, "validation_only": {only}},
	}, &answer)
	return answer.Entity, err
}

// DeleteEntity removes an entity. An *Error of status 409 when a required relation leads to it.
func (c *Client) DeleteEntity(ctx context.Context, blueprint, identifier string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: entityPath(blueprint, identifier)}, nil)
	return err
}
