package catalog

// SetSizes makes slices small: before the answer, later, and what needs no slices.
func (s *Service) SetSizes(first, later, dependents int) { s.sizes = sizes{first, later, dependents} }
