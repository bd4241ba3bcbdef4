package shard

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestShardName(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"pod":               {in: "foo-controller-7d4b9c-x2x9p", want: "foo-controller-7d4b9c-x2x9p"},
		"host":              {in: "ip-10-0-0-1.eu-west-1.compute.internal", want: "ip-10-0-0-1.eu-west-1.compute.internal"},
		"as long as can be": {in: strings.Repeat("a", 63), want: strings.Repeat("a", 63)},
		"too long":          {in: strings.Repeat("a", 64), want: strings.Repeat("a", 52) + "-ffe054fe7a"},
		"differs at the end": {
			in: strings.Repeat("a", 63) + "b", want: strings.Repeat("a", 52) + "-97aa7c540d",
		},
		"upper case":   {in: "My-Laptop", want: "my-laptop-54c223ace7"},
		"lower case":   {in: "my-laptop", want: "my-laptop"},
		"underscore":   {in: "my_laptop", want: "my-laptop-8880b05356"},
		"dots in line": {in: "a..b", want: "a--b-f62b42414c"},
		"cut at a dot": {in: strings.Repeat("a", 51) + "." + strings.Repeat("b", 51), want: strings.Repeat("a", 51) + "-a18ef35c59"},
		"only dashes":  {in: "---", want: "shard-cb3f91d54e"},
		"not ASCII":    {in: "büro", want: "b-ro-2616f09c1c"},
		"empty":        {in: "", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ShardName(tc.in); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzShardName(f *testing.F) {
	for _, seed := range []string{"", "a", "A", "-", "a.b", "a..b", "ä", "\xff", strings.Repeat("x-", 40), strings.Repeat("y", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name := ShardName(in)
		if in == "" {
			return
		}
		if problems := validation.IsValidLabelValue(name); len(problems) > 0 || name == "" {
			t.Errorf("%q is no value of a label: %q", name, problems)
		}
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			t.Errorf("%q is no name of a Lease: %q", name, problems)
		}
		if again := ShardName(name); again != name {
			t.Errorf("%q becomes %q", name, again)
		}
		if other := ShardName(in + "'"); other == name {
			t.Errorf("%q and %q are both %q", in, in+"'", name)
		}
	})
}

func TestIdentity(t *testing.T) {
	if got := newIdentity("a", "uid"); got != "a_uid" {
		t.Errorf("in a pod: %q", got)
	}
	if one, two := newIdentity("a", ""), newIdentity("a", ""); one == two || !strings.HasPrefix(one, "a_") {
		t.Errorf("outside of a pod: %q, %q", one, two)
	}
}
