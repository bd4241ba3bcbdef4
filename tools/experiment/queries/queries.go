// Package queries holds what is measured in an experiment, as PromQL in YAML files; see measure.Query for their format.
package queries

import "embed"

// Files are the YAML files of this directory.
//
//go:embed *.yaml
var Files embed.FS
