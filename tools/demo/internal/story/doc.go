// Package story writes what a person reads while the demo runs: chapters, facts, tables with bars, and a line that lives
// while something is under way. On a terminal it uses colours and line drawing, elsewhere plain ASCII and only whole lines.
package story
