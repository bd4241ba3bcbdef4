// Package prom is where measurements come from: a Prometheus inside this process, made of Prometheus' own packages (scraper,
// time series database, PromQL engine), or a Prometheus server that runs elsewhere.
//
// The embedded one scrapes the given targets, which may change while it runs, and keeps the results in a directory, where
// Open finds them later. A target that does not answer shows as usual: up is 0, and its series end there.
// It has no service discovery, no rules and no HTTP API.
package prom
