package model_test

import (
	"fmt"

	"github.com/clusterring/clusterring/internal/old/model"
)

// What is the fence for?
func ExampleCheck() {
	result, err := model.Check(model.Config{Families: 1, Without: model.RuleFence, Guarantees: model.G1})
	if err != nil {
		panic(err)
	}
	for _, line := range result.Violation.Trace {
		fmt.Println(line.Step)
	}
	fmt.Println(result.Violation.Guarantee)

	// Output:
	// the sharder gives owner 1 to B
	// a process acquires the Lease of B, and lists its objects
	// the process of B can't renew: its deadline passes
	// a process acquires the Lease of B, and lists its objects
	// G1: 2 processes work on owner 1
}
