// Package measure turns a run's time series into files and verdicts: it evaluates queries over the time in which there was
// load, writes the results as CSV, and judges them by the objectives beside the queries. It also defines what a
// run is, and the directory that a run leaves behind:
//
//	run.json           Run
//	csv/<query>.csv    one per query, see WriteCSV
//
// Package report reads these again.
package measure
