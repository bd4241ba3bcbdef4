package ring

import (
	"fmt"
	"strings"
)

// realisticKeys returns n partition keys as clusters have them: a few applications in many namespaces, and many objects in a
// few namespaces, most with numbers in sequence.
func realisticKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		switch i % 4 {
		case 0:
			keys[i] = fmt.Sprintf("samplecontroller.k8s.io/Foo/default/foo-%d", i/4)
		case 1:
			keys[i] = fmt.Sprintf("apps/Deployment/team-%d/%s", i/4/6, []string{"web", "api", "worker", "cache", "cron", "db"}[i/4%6])
		case 2:
			keys[i] = fmt.Sprintf("/Secret/tenant-%03d/database-%04d-credentials", i/4%50, i/4/50)
		case 3:
			keys[i] = fmt.Sprintf("rbac.authorization.k8s.io/ClusterRole//system:aggregate:role-%d", i/4)
		}
	}
	return keys
}

// unusualKeys returns keys that no object has, and those at the limits of the hash.
func unusualKeys() []string {
	keys := []string{
		"", "/", "///", " ", "~", "\x00", "\x1f", "\x7f", "\x80", "ÿ", "é", "e\u0301", "日本語", "🙂", "\ufffd", "\xff", "\xf0\x9f",
		"a\xc3", "\xed\xa0\x80", `\`, "'", `"`, "`", "\n", "\r\n", "key", "a", "b", "ab", "ba", "aa", "aaa",
	}
	for _, n := range []int{31, 32, 33, 63, 64, 635, 991, 992, 1023, 1024, 1025, 1056, 2048, 2049, 5000} {
		keys = append(keys, strings.Repeat("a", n), strings.Repeat("~", n), strings.Repeat("ü", n), strings.Repeat("x", n-1)+"y")
	}
	for r := rune(0); r < 256; r++ {
		keys = append(keys, string(r), "foo-"+string(r)+"-bar", string([]byte{byte(r)}))
	}
	return keys
}
