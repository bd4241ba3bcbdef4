package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
	"github.com/clusterring/clusterring/tools/demo/internal/checks"
)

// judge stops the traffic, waits until everything has been reconciled, and checks what is left. failed is the number of
// checks that failed.
func (d *demo) judge(ctx context.Context) (failed int, err error) {
	d.out.Chapter("Is all as promised?", `What is left is read from the API server, and what the shards did from their records.
		The guarantees (G1 to G5) are those of docs/design.md.`)
	d.stopEdits()
	if _, err := d.settle(ctx, d.members); err != nil {
		d.out.Verdict(false, fmt.Sprintf("everything settles: %v", err))
		failed++
	}
	if _, err := d.await(ctx, "reconciling",
		func(s *census.State) string { return fmt.Sprintf("%d to go", s.Stale()) },
		func(s *census.State) bool { return s.Stale() == 0 }); err != nil {
		d.out.Verdict(false, fmt.Sprintf("all edits are reconciled: %v", err))
		failed++
	}
	if ctx.Err() != nil {
		return failed, context.Cause(ctx)
	}
	w, edits, err := d.world(ctx)
	if err != nil {
		return failed, err
	}
	var looks []string
	for _, finding := range checks.All(w) {
		details := finding.Problems
		if const5 := 5; len(details) > const5 {
			details = append(details[:const5:const5], fmt.Sprintf("and %d more", len(finding.Problems)-const5))
		}
		d.out.Verdict(finding.OK(), finding.Title, details...)
		if !finding.OK() {
			failed++
			looks = append(looks, fmt.Sprintf("%s: %s", finding.Title, finding.Look))
		}
	}
	d.out.Lines("")
	if failed > 0 {
		d.out.Say("%d checks failed.", failed)
		d.pointers(looks)
		return failed, nil
	}
	d.out.Say("All is well: %d Foos were created and %d edits made while shards and sharders came and went.", len(w.Created), edits)
	return 0, nil
}

// world collects what the checks look at.
func (d *demo) world(ctx context.Context) (w checks.World, edits int, err error) {
	w = checks.World{Live: d.members, Movements: d.movements, Died: map[record.Worker]time.Time{}}
	if w.State, err = d.census.List(ctx); err != nil {
		return w, 0, err
	}
	w.Created, w.Refused, edits = d.traffic.outcome()

	files, err := filepath.Glob(d.record("*"))
	if err != nil {
		return w, 0, err
	}
	if w.Work, err = record.Read(files...); err != nil {
		return w, 0, err
	}
	died := map[int]time.Time{}
	for _, p := range d.programs.Processes() {
		if at, ended := p.Ended(); ended && d.expectation(p) == expectKilled {
			died[p.PID()] = at
		}
		if problem := d.problem(p); problem != "" {
			w.Exits = append(w.Exits, problem)
		}
	}
	if w.Forbidden, err = grep("forbidden", d.path("logs", "s*.log")); err != nil {
		return w, 0, err
	}
	for _, i := range w.Work {
		if at, ok := died[i.Worker.PID]; ok {
			w.Died[i.Worker] = at
		}
	}
	return w, edits, nil
}

// problem tells what is wrong with how a process ended, or that it did.
func (d *demo) problem(p *procs.Process) string {
	expected := d.expectation(p)
	told, ended := expected != "", !p.Running()
	switch {
	case told && !ended:
		return fmt.Sprintf("%s (pid %d) still runs", p.Name(), p.PID())
	case !told && ended:
		return fmt.Sprintf("%s (pid %d) ended, which nobody had asked for: status %d; see %s", p.Name(), p.PID(), p.ExitCode(), p.LogFile())
	case told && expected == expectExit0 && p.ExitCode() != 0:
		return fmt.Sprintf("%s (pid %d) ended with status %d after SIGTERM; see %s", p.Name(), p.PID(), p.ExitCode(), p.LogFile())
	}
	return ""
}

// grep returns the lines with the word in the files, each with the name of its file.
func grep(word, pattern string) (found []string, err error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, word) {
				found = append(found, filepath.Base(file)+": "+strings.TrimSpace(line))
			}
		}
	}
	return found, nil
}

// pointers says where to look for the cause of a failure.
func (d *demo) pointers(looks []string) {
	d.out.Lines("", "How to look:")
	for _, look := range looks {
		d.out.Fact("%s", look)
	}
	d.out.Fact("logs: %s", d.path("logs"))
	d.out.Fact("the control plane's logs: %s", d.path("cluster"))
	d.out.Fact("what each shard worked on, and when: %s", d.path("records"))
	d.out.Fact("KEEP=1 leaves everything running for kubectl, --dir=DIR keeps the files in DIR")
}
