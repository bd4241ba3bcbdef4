package slottest

// slotExpression returns the CEL expression for the slot of a key, which is a CEL expression for a string. It gives what
// ring.Slot gives, for every string, with nothing but functions that the API server has since Kubernetes 1.34. The key is
// evaluated once.
func slotExpression(key string) string {
	return celHead + "(" + key + ")" + celTail
}

// The expression in the order of the documentation of package ring: codes times weights, their sum modulo p, two rounds, the slot. Lists of one element
// stand in for the local variables that CEL does not have.
const (
	celHead = "["
	celTail = ".split('').transformList(i, c, (" + celAlphabet + ".indexOf(c) + 2) * " +
		"([" + celPowers + "][i % 32] * [" + celStrides + "][i / 32 % 32] % 2147483647)).sum() % 2147483647]" +
		".map(x, (x * x + 1013904223) % 2147483647)" +
		".map(x, (x * x + 1664525) % 2147483647)" +
		"[0] % 1024"
)

// celAlphabet is a CEL literal of the printable ASCII characters in their order. A character's index plus two is its code;
// any other character has index -1 and hence code 1.
const celAlphabet = "' !\"#$%&\\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'"

// celPowers are the weights of the first 32 positions, base to the power of 1 to 32 modulo p.
const celPowers = "48271, 182605794, 1291394886, 1914720637, 2078669041, 407355683, 1105902161, 854716505, " +
	"564586691, 1596680831, 192302371, 1203428207, 1250328747, 1738531149, 1271135913, 1098894339, " +
	"1882556969, 2136927794, 1559527823, 2075782095, 638022372, 914937185, 1931656580, 1402304087, " +
	"1936030137, 2064876628, 353718330, 1842513780, 1947433875, 631416347, 2010567813, 890442452"

// celStrides are base to the power of 0, 32, 64 to 992 modulo p. With celPowers they give the weights of 1024 positions,
// more than the longest partition key has; CEL can neither loop nor raise to a power.
const celStrides = "1, 890442452, 719080959, 580853881, 1617261148, 651791047, 130664516, 393565781, " +
	"944147713, 1405054966, 811844304, 802191575, 1340842511, 63421506, 1360776911, 1972398876, " +
	"1928592452, 1451218916, 2094441447, 707687267, 1399523548, 1915588099, 440840408, 501666421, " +
	"1644661425, 1321731979, 1160353155, 123309245, 2015429417, 946475477, 810226129, 1895086771"
