package api

import "longshore/pkg/catalog"

// migrationView is a migration as it is answered.
type migrationView struct {
	ID        string                  `json:"id"`
	Status    catalog.MigrationStatus `json:"status"`
	Actor     string                  `json:"actor"`
	Blueprint string                  `json:"blueprint"`
	// Deleted, Updated and Failed count entities so far.
	Deleted int `json:"deletedEntities"`
	Updated int `json:"updatedEntities"`
	Failed  int `json:"failedEntities"`
	// Message says what had to stay.
	Message   string `json:"message,omitempty"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

// deleteAllEntities answers DELETE /v1/blueprints/{blueprint_identifier}/all-entities.
func (s *server) deleteAllEntities(r *request) (*answer, error) {
	blueprint := r.params["blueprint_identifier"]
	if !r.caller.Administers() && (!r.caller.Moderates(blueprint) || catalog.IsSystem(blueprint)) {
		return nil, forbidden("only admins, moderators of the blueprint and machine tokens may delete all its entities")
	}
	if r.query().on("delete_blueprint") && !r.caller.Administers() {
		return nil, forbidden("only admins and machine tokens may delete a blueprint")
	}
	k, err := s.Catalog.Blueprint(r.Context(), blueprint)
	if err != nil {
		return nil, err
	}
	if err := s.judge.MayEmpty(r.caller, k); err != nil {
		return nil, err
	}
	w, err := s.entityWrite(r)
	if err != nil {
		return nil, err
	}
	m, err := s.Catalog.DeleteAllEntities(r.Context(), blueprint, r.query().on("delete_blueprint"), w.By)
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK          bool   `json:"ok"`
		MigrationID string `json:"migrationId"`
	}{true, m.ID})
}

// getMigration answers GET /v1/migrations/{migration_id}.
func (s *server) getMigration(r *request) (*answer, error) {
	m, err := s.Catalog.Migration(r.Context(), r.params["migration_id"])
	if err != nil {
		return nil, err
	}
	if !r.caller.Administers() && !r.caller.Moderates(m.Name) {
		return nil, forbidden("only admins, moderators of the blueprint and machine tokens may see this migration")
	}
	return ok(struct {
		OK        bool          `json:"ok"`
		Migration migrationView `json:"migration"`
	}{true, migrationView{
		ID: m.ID, Status: m.Status, Actor: m.By.ID, Blueprint: m.Name,
		Deleted: m.Deleted, Updated: m.Changed, Failed: m.Failed, Message: m.Error,
		CreatedAt: stamp(m.CreatedAt), UpdatedAt: stamp(m.UpdatedAt),
	}})
}
