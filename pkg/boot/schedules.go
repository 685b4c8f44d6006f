package boot

// ScheduleSettings say where EventBridge Scheduler keeps the schedules of automations, and what they start. The
// local process has a clock of its own.
type ScheduleSettings struct {
	ScheduleGroup  string `kong:"-" env:"LONGSHORE_SCHEDULE_GROUP"`
	ScheduleTarget string `kong:"-" env:"LONGSHORE_SCHEDULE_TARGET_ARN"`
	ScheduleRole   string `kong:"-" env:"LONGSHORE_SCHEDULE_ROLE_ARN"`
}
