package ring

import (
	"fmt"
	"testing"
)

var sizes = []int{3, 10, 100, 1000}

func BenchmarkBuild(b *testing.B) {
	kinds := map[string]func(members []Member){
		"ring":   func(members []Member) { mustNew(b, members) },
		"tokens": func(members []Member) { newTokenRing(members) },
	}
	for _, n := range sizes {
		for _, kind := range []string{"ring", "tokens"} {
			b.Run(fmt.Sprintf("%s/shards=%d", kind, n), func(b *testing.B) {
				members := names(n)
				b.ReportAllocs()
				for b.Loop() {
					kinds[kind](members)
				}
			})
		}
	}
}

func BenchmarkBuildWeighted(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("ring/shards=%d", n), func(b *testing.B) {
			members := names(n)
			for i := range members {
				members[i].Weight = 1 + i%10
			}
			b.ReportAllocs()
			for b.Loop() {
				mustNew(b, members)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	keys := realisticKeys(1024)
	for _, n := range sizes {
		rings := map[string]owner{"ring": mustNew(b, names(n)), "tokens": newTokenRing(names(n))}
		for _, kind := range []string{"ring", "tokens"} {
			b.Run(fmt.Sprintf("%s/shards=%d", kind, n), func(b *testing.B) {
				r := rings[kind]
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, ok := r.Owner(keys[i%len(keys)]); !ok {
						b.Fatal("no owner")
					}
				}
			})
		}
	}
}

func BenchmarkSlot(b *testing.B) {
	keys := realisticKeys(1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		Slot(keys[i%len(keys)])
	}
}

func BenchmarkFingerprint(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("shards=%d", n), func(b *testing.B) {
			members := names(n)
			b.ReportAllocs()
			for b.Loop() {
				Fingerprint(members)
			}
		})
	}
}
