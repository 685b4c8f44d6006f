package api

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/action"
)

// The routes of the first generation speak of an action under its blueprint, and answer with definitions
// of the first generation. Their handlers are those of the newer routes, which ask here what a path that
// names a blueprint changes.

// within returns the blueprint that the path names, on a route of the first generation.
func (r *request) within() (blueprint string, within bool) {
	blueprint, within = r.params["blueprint_identifier"]
	return blueprint, within
}

// version is the generation that a reader of definitions asks for, for action.View.
func (r *request) version() string {
	version := r.query().text("version")
	if _, within := r.within(); within && version != "v2" {
		return "v1"
	}
	return version
}

// written is the generation that a definition is answered in to the one who wrote it, for action.View.
func (r *request) written() string {
	if _, within := r.within(); within {
		return "v1"
	}
	return ""
}

// ofBlueprint makes sure that the path's blueprint is there. fault.NotFound when it is not.
func (s *server) ofBlueprint(r *request) error {
	blueprint, within := r.within()
	if !within {
		return nil
	}
	if s.Catalog == nil {
		return noRoute()
	}
	if _, err := s.Catalog.Blueprint(r.Context(), blueprint); err != nil {
		return fmt.Errorf("look for blueprint: %w", err)
	}
	return nil
}

// parse reads a definition from the body, and the text of it, in which the path's blueprint is set.
func (s *server) parse(r *request) (*action.Definition, json.RawMessage, error) {
	blueprint, within := r.within()
	if !within {
		d, err := action.Parse(r.body)
		return d, r.body, err
	}
	if err := s.ofBlueprint(r); err != nil {
		return nil, nil, err
	}
	return action.ParseWithin(r.body, blueprint)
}
