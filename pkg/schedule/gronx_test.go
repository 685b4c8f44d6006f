package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"
)

// A library for the cron of Unix finds the same times: it takes a field for seconds in front, and numbers of
// weekdays that are less by one. What it does not know is left out: LW, and days that a month lacks.
func TestNextIsThatOfAnotherImplementation(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2026, 11))
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	n := func(low, high int) string { return fmt.Sprint(low + random.IntN(high-low+1)) }
	for range 3000 {
		minutes := pick("*", n(0, 59), "0/15", "*/7", n(0, 20)+"-"+n(21, 59), n(0, 59)+","+n(0, 59))
		hours := pick("*", n(0, 23), "8-17", n(0, 23)+","+n(0, 23))
		months := pick("*", n(1, 12), n(1, 6)+"-"+n(7, 12), n(1, 12)+","+n(1, 12))
		years := pick("*", "2027-2199", "2028,2032,2040")
		dayOfMonth, dayOfWeek, theirs := "?", "?", "?"
		if random.IntN(2) == 0 {
			dayOfMonth = pick("*", n(1, 28), "L", n(1, 28)+"W", n(1, 10)+"-"+n(11, 28), "1/5")
		} else {
			day := random.IntN(7)
			k := n(1, 4)
			switch random.IntN(4) {
			case 0:
				dayOfWeek, theirs = fmt.Sprint(day+1), fmt.Sprint(day)
			case 1:
				dayOfWeek, theirs = fmt.Sprintf("%d#%s", day+1, k), fmt.Sprintf("%d#%s", day, k)
			case 2:
				dayOfWeek, theirs = fmt.Sprintf("%dL", day+1), fmt.Sprintf("%dL", day)
			case 3:
				dayOfWeek, theirs = "MON-FRI", "1-5"
			}
		}
		ours := strings.Join([]string{minutes, hours, dayOfMonth, months, dayOfWeek, years}, " ")
		after := time.Date(2026, 11, 25, 17, 43, 0, 0, time.UTC).Add(time.Duration(random.IntN(1000)) * time.Hour)
		want, err := gronx.NextTickAfter(strings.Join([]string{"0", minutes, hours, dayOfMonth, months, theirs, years}, " "), after, false)
		if err != nil {
			t.Fatalf("%s: the other implementation fails: %v", ours, err)
		}
		if got, comes := parse(t, "cron("+ours+")", "").Next(after, after); !comes || !got.Equal(want) {
			t.Errorf("cron(%s) after %s: got %s, the other implementation %s", ours, after, got, want)
		}
	}
}
