// Package measure turns a run's time series into files and verdicts: it evaluates queries over the time in which there was
// load, writes what they give as CSV, and judges it by the objectives that stand beside the queries. It also defines what a
// run is, and the directory that a run leaves behind:
//
//	run.json           Run
//	csv/<query>.csv    one per query, see WriteCSV
//
// Package report reads these again.
package measure
