package catalog_test

import (
	"fmt"
	"testing"

	"longshore/pkg/catalog"
)

// BenchmarkEntityViews1000 shows a page of entities, as a search looks at each of them.
func BenchmarkEntityViews1000(b *testing.B) {
	for _, calculated := range []bool{false, true} {
		b.Run(fmt.Sprintf("calculated=%v", calculated), func(b *testing.B) {
			d, c := definition(b, service), company(b)
			var entities []*catalog.Entity
			for i := range 1000 {
				entities = append(entities, entity(fmt.Sprint("e", i), `{"title":"Entity","team":["t"],"properties":{"name":"a name","count":12,"on":true,"tags":["a","b","c"],"meta":{"k":"v"},"url":"https://example.com/a","text":"some text that is longer"},"relations":{"domain":"d","deps":["a","b"]}}`))
			}
			s := catalog.Selection{ExcludeCalculated: !calculated}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := catalog.EntityViews(b.Context(), d, entities, s, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
