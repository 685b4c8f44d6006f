package catalog

import "context"

// A team is named by its identifier or by its name, and a rule about teams matches by either: both what
// the rule has and what the entity has are put into identifiers before they are compared.

// namesTeams reports whether rules compare the teams of entities.
func (s *Search) namesTeams() bool {
	names := false
	s.root.rewrite(func(r searchRule) searchRule {
		if c, ok := r.(*comparison); ok {
			names = names || c.field == fieldTeam || c.field == fieldOwnedByTeam
		}
		return r
	})
	return names
}

// withTeams returns the search with what rules compare teams with replaced.
func (s *Search) withTeams(teams teamNames) *Search {
	root := s.root.rewrite(func(r searchRule) searchRule {
		c, ok := r.(*comparison)
		if !ok || c.field != fieldTeam && c.field != fieldOwnedByTeam {
			return r
		}
		named := *c
		named.operands = make([]operand, len(c.operands))
		for i, o := range c.operands {
			named.operands[i] = teams.operand(o)
		}
		return &named
	})
	return &Search{root: root, anyValue: s.anyValue, warnings: s.warnings}
}

// teamNames are identifiers of teams by their names. Nil means that nothing is replaced.
type teamNames map[string]string

// teamNames reads all teams. A name that is also another team's identifier means that one.
func (s *Service) teamNames(ctx context.Context, n *snapshot) (teamNames, error) {
	names := teamNames{}
	if n.identifier[TeamBlueprint] == nil {
		return names, nil
	}
	err := s.each(ctx, n, TeamBlueprint, func(e *Entity) error {
		t, err := TeamOf(e)
		if err != nil {
			return err
		}
		if _, ok := names[t.Name]; !ok {
			names[t.Name] = t.Identifier
		}
		names[t.Identifier] = t.Identifier
		return nil
	})
	return names, err
}

func (t teamNames) identifier(name string) string {
	if identifier, ok := t[name]; ok {
		return identifier
	}
	return name
}

func (t teamNames) identifiers(names []string) []string {
	if t == nil {
		return names
	}
	identifiers := make([]string, len(names))
	for i, name := range names {
		identifiers[i] = t.identifier(name)
	}
	return identifiers
}

func (t teamNames) operand(o operand) operand {
	switch o.kind {
	case kindText:
		o, _ = plainOperand(t.identifier(o.text))
	case kindList:
		items := make([]operand, len(o.items))
		for i, item := range o.items {
			items[i] = t.operand(item)
		}
		return listOperand(items)
	}
	return o
}
