// Package report shows what was measured: a page for a run, and a comparison of several runs. Both are single
// HTML files that need nothing else; the plots lie beside them as SVG and PNG, and the figures as CSV.
//
// Everything is read from the directories of the runs, so a report can be rebuilt at any time.
package report
