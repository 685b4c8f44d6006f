package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"longshore/pkg/secret"
)

// BenchmarkMask masks the largest answer that is kept, with few values and with many.
func BenchmarkMask(b *testing.B) {
	text := []byte(`{"data":"` + strings.Repeat("Lorem ipsum dolor sit amet, value-7-of-many. ", 5800) + `"}`)
	for _, n := range []int{1, 1000} {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprintf("value-%d-of-many", i*7+7))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			mask := secret.NewMask(values)
			for b.Loop() {
				mask.JSON(text)
			}
		})
	}
}
