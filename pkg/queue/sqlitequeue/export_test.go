package sqlitequeue

// What Receive reads.
const (
	DueText  = dueText
	NextText = nextText
)
