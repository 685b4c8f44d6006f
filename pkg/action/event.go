package action

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Types of the events that start automations.
const (
	EntityCreated        = "ENTITY_CREATED"
	EntityUpdated        = "ENTITY_UPDATED"
	EntityDeleted        = "ENTITY_DELETED"
	AnyEntityChange      = "ANY_ENTITY_CHANGE"
	TimerPropertyExpired = "TIMER_PROPERTY_EXPIRED"
	RunCreated           = "RUN_CREATED"
	RunUpdated           = "RUN_UPDATED"
	AnyRunChange         = "ANY_RUN_CHANGE"
	Schedule             = "SCHEDULE"
)

// Event is what starts an automation; the zero Event is that of a self-service action.
type Event struct {
	// Type is one of the types above.
	Type string
	// Blueprint is the identifier of the blueprint whose entities are watched, and Property that of the
	// timer property.
	Blueprint, Property string
	// Action is the identifier of the action or automation whose runs are watched.
	Action string
	// Expression and Timezone are a schedule's, as they were written; Timezone is empty when absent.
	Expression, Timezone string
}

// RuleDeadline is how long the expressions of one rule may take together.
const RuleDeadline = time.Second

// Rule is the condition of an automation. The nil Rule holds for every event.
type Rule struct {
	expressions []ruleExpression
	or          bool
}

type ruleExpression struct {
	path, text string
	// compiled is nil for one that does not compile, and fault says why.
	compiled *jqtemplate.Expression
	fault    string
}

// Holds reports whether the rule holds for an event. An expression counts as true only if it yields exactly
// true; those that failed, or that there was no time for, count as false and are returned. A rule without
// expressions holds. The error is ctx's: whether the rule holds is not known then.
func (r *Rule) Holds(ctx context.Context, data *jqtemplate.Data) (holds bool, failed []jqtemplate.Warning, err error) {
	if r == nil || len(r.expressions) == 0 {
		return true, nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, RuleDeadline)
	defer cancel()
	for _, e := range r.expressions {
		is, message := e.holds(limited, data)
		if ctx.Err() != nil {
			return false, failed, ctx.Err()
		}
		if message != "" {
			failed = append(failed, jqtemplate.Warning{Path: e.path, Expression: e.text, Message: message})
		}
		if is == r.or {
			// Whatever the others yield.
			return r.or, failed, nil
		}
	}
	return !r.or, failed, nil
}

func (e *ruleExpression) holds(ctx context.Context, data *jqtemplate.Data) (is bool, message string) {
	switch {
	case e.compiled == nil:
		return false, e.fault
	case ctx.Err() != nil:
		return false, fmt.Sprintf("the condition took more than %s", RuleDeadline)
	}
	value, defined, err := e.compiled.Eval(ctx, data)
	switch {
	case err != nil && ctx.Err() != nil:
		return false, fmt.Sprintf("the condition took more than %s", RuleDeadline)
	case err != nil:
		return false, err.Error()
	}
	return defined && value == true, ""
}

// event reads the event of an automation and its condition; the schema has checked their members.
func (p *parser) event(trigger *jqtemplate.Object) {
	o := document.Object(trigger, "event")
	p.d.Event = Event{
		Type: document.Text(o, "type"), Blueprint: document.Text(o, "blueprintIdentifier"), Property: document.Text(o, "propertyIdentifier"),
		Action: document.Text(o, "actionIdentifier"), Expression: document.Text(o, "expression"), Timezone: document.Text(o, "timezone"),
	}
	condition := document.Object(trigger, "condition")
	if condition == nil {
		return
	}
	rule := &Rule{or: document.Text(condition, "combinator") == "or"}
	expressions, _ := document.Member(condition, "expressions").([]any)
	for i, text := range expressions {
		text, ok := text.(string)
		if !ok {
			continue
		}
		e := ruleExpression{path: fmt.Sprintf("trigger.condition.expressions[%d]", i), text: text}
		var w *jqtemplate.Warning
		if e.compiled, w = document.Expression(e.path, text); w != nil {
			p.d.Warnings = append(p.d.Warnings, *w)
			e.fault = w.Message
		}
		rule.expressions = append(rule.expressions, e)
	}
	p.d.Rule = rule
}
