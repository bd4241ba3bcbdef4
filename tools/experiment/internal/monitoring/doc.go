// Package monitoring reads the dashboards and alerts that an operator of the sharder is given, config/monitoring, so that a
// test can tell whether each of their expressions is valid and has something to show.
package monitoring
