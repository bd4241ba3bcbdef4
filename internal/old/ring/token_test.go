package ring

import (
	"cmp"
	"slices"
	"strconv"
)

// tokenRing is what most sharded systems use, for comparison: each member has a number of tokens on a circle, and a key
// belongs to the member of the next token.
type tokenRing struct {
	tokens []token
}

type token struct {
	at     uint64
	member string
}

// tokensPerMember is a usual number: more tokens balance better and make each lookup and each build dearer.
const tokensPerMember = 100

func newTokenRing(members []Member) *tokenRing {
	r := &tokenRing{tokens: make([]token, 0, len(members)*tokensPerMember)}
	for _, m := range members {
		for i := range tokensPerMember {
			r.tokens = append(r.tokens, token{at: seed(m.Name + "/" + strconv.Itoa(i)), member: m.Name})
		}
	}
	slices.SortFunc(r.tokens, func(a, b token) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.member, b.member))
	})
	return r
}

func (r *tokenRing) Owner(key string) (name string, ok bool) {
	if len(r.tokens) == 0 {
		return "", false
	}
	i, _ := slices.BinarySearchFunc(r.tokens, seed(key), func(t token, at uint64) int { return cmp.Compare(t.at, at) })
	return r.tokens[i%len(r.tokens)].member, true
}
