package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// generator is the process that generates the load.
type generator struct {
	group   *procs.Group
	process *procs.Process
	address string
	client  *http.Client
}

// startGenerator starts the process. The load begins before it returns.
func startGenerator(ctx context.Context, cfg Config, asked scenario.Load, kubeconfig, namespace, log string, themes []string) (*generator, error) {
	address, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	g := &generator{
		group: procs.NewGroup(), address: address,
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	g.process, err = g.group.Start(procs.Spec{
		Name: "load", Path: cfg.Self, LogFile: log, Env: []string{"DISABLE_HTTP2=true"},
		Args: []string{
			"load", "--kubeconfig=" + kubeconfig, "--namespace=" + namespace, "--listen=" + address,
			"--create=" + asked.Create.String(), "--delete=" + asked.Delete.String(), "--mutate=" + asked.Mutate.String(),
			"--duration=" + asked.Duration.String(), "--themes=" + strings.Join(themes, ","), "--seed=" + strconv.FormatUint(cfg.Seed, 10), "--idle=" + strconv.Itoa(cfg.Scenario.Idle),
		},
	})
	if err != nil {
		return g, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(cfg.Scenario.Idle)*time.Second/5)
	defer cancel()
	return g, g.process.Ready(ctx, procs.HTTP(g.client, g.url("/readyz")))
}

func (g *generator) url(path string) string { return "http://" + g.address + path }

// status returns how far the load has come.
func (g *generator) status(ctx context.Context) (load.Status, error) {
	var s load.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url("/status"), nil)
	if err != nil {
		return s, err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask for the status of the load: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("ask for the status of the load: %w", err)
	}
	return s, nil
}

// stop ends the load early.
func (g *generator) stop(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/stop"), nil)
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return fmt.Errorf("stop the load: %w", err)
	}
	return resp.Body.Close()
}

func (g *generator) close() error {
	if g == nil {
		return nil
	}
	return g.group.Stop(10 * time.Second)
}
