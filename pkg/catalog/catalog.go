// Package catalog is the software catalog that actions, permissions and automations stand on:
// blueprints, the entities of each, and searches among them. Users and teams are entities of the
// blueprints _user and _team.
//
// A blueprint and an entity are stored as they were sent and returned as they were sent; defaults are
// assumed where a member is absent, never stored. What a blueprint computes (mirror and calculation
// properties) is computed when an entity is read.
package catalog

import (
	"crypto/rand"

	"longshore/pkg/audit"
)

const (
	// MaxEntity is the most bytes that an entity may have, as compact JSON.
	MaxEntity = 350 << 10
	// MaxBlueprint is the same of a blueprint.
	MaxBlueprint = 350 << 10
	// MaxBlueprintIdentifier and MaxEntityIdentifier are the longest identifiers, in characters.
	MaxBlueprintIdentifier = 100
	MaxEntityIdentifier    = 1000
)

// Author is who changed something, and through what.
type Author = audit.Author

// NewBlueprintID and NewEntityID draw internal ids. An internal id never comes twice, so that a
// blueprint or entity that was made again is not taken for the one before it.
func NewBlueprintID() string { return "bp_" + rand.Text()[:16] }

// NewEntityID draws the internal id of an entity.
func NewEntityID() string { return "ent_" + rand.Text()[:16] }
