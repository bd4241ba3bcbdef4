package sim

import "slices"

// Simplify leaves out actions of a plan as long as it still fails, and returns what is left. fails is asked at most so many
// times.
func Simplify(plan Plan, fails func(Plan) bool, tries int) Plan {
	for size := len(plan.Actions); size > 0 && tries > 0; {
		left := false
		for from := 0; from < len(plan.Actions) && tries > 0; {
			shorter := plan
			shorter.Actions = slices.Delete(slices.Clone(plan.Actions), from, min(from+size, len(plan.Actions)))
			tries--
			if fails(shorter) {
				plan, left = shorter, true
			} else {
				from += size
			}
		}
		if !left || size > len(plan.Actions) {
			size /= 2
		}
	}
	return plan
}
