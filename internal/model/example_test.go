package model_test

import (
	"fmt"

	"github.com/clusterring/clusterring/internal/model"
)

// What is the fence for?
func ExampleCheck() {
	result, err := model.Check(model.Config{Shards: 2, Slots: 1, Without: model.RuleFence, Guarantees: model.G1})
	if err != nil {
		panic(err)
	}
	for _, line := range result.Violation.Trace {
		fmt.Println(line.Step)
	}
	fmt.Println(result.Violation.Guarantee)

	// Output:
	// A1 starts, acquires the Lease and reads the table
	// A1 cannot renew: its deadline passes
	// the sharder gives slot 0, which nobody has, to A
	// A2 starts, acquires the Lease and reads the table
	// A1 sees the table
	// G1: 2 processes work on slot 0
}
