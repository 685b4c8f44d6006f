package event

import (
	"strconv"
	"time"
)

// TimerID is the id of the event that a timer property of an entity has ended. It is of the entity's
// internal id and the property's value: a date that is put off and back again is the same event.
func TimerID(entityID, property string, at time.Time) string {
	return ID("timer", entityID, property, strconv.FormatInt(at.UnixMilli(), 10))
}

// ScheduleID is the id of the event that a schedule of an action, by its internal id, has come to a time.
func ScheduleID(actionID string, at time.Time) string {
	return ID("schedule", actionID, strconv.FormatInt(at.UnixMilli(), 10))
}
