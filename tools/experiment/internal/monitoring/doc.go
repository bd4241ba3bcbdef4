// Package monitoring reads the dashboards and alerts in config/monitoring, so that a test can check that each of their
// expressions is valid and has something to show.
package monitoring
