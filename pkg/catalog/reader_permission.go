package catalog

import "context"

// Reader returns a reader of what the service has.
func (s *Service) Reader() *Reader { return &Reader{s} }

// Blueprint returns a blueprint as Service.Blueprint does.
func (r *Reader) Blueprint(ctx context.Context, identifier string) (*Kept, error) {
	return r.s.Blueprint(ctx, identifier)
}

// Teams returns all teams and all users, each by identifier.
func (r *Reader) Teams(ctx context.Context) ([]*Team, []*User, error) {
	teams, users, err := r.s.Teams(ctx)
	if absent(err) {
		return nil, nil, nil
	}
	return teams, users, err
}
