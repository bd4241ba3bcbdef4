// Package report makes people see what was measured: a page for a run, and a comparison of several runs. Both are single
// HTML files that need nothing else; the plots lie beside them as SVG and PNG, and the figures as CSV.
//
// Everything is read from the directories of the runs, so that a report can be made again at any time.
package report
