package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// State is what the supervisor writes to DIR/state.json at every change, for other programs to read.
type State struct {
	Pid        int                       `json:"pid"` // of the supervisor; 0 once it has ended in order
	Ready      bool                      `json:"ready"`
	Server     string                    `json:"server"`     // URL of the API server
	Kubeconfig string                    `json:"kubeconfig"` // path of the administrator's
	Temporary  bool                      `json:"temporary,omitempty"`
	Components map[string]ComponentState `json:"components"`
	Ports      ports                     `json:"ports"`
}

// ComponentState is the state of one component.
type ComponentState struct {
	State    string `json:"state"` // starting, running, stopped
	Pid      int    `json:"pid,omitempty"`
	Restarts int    `json:"restarts"` // starts after the first
	Log      string `json:"log"`
}

// States of a component.
const (
	Starting = "starting"
	Running  = "running"
	Stopped  = "stopped"
)

// ReadState reads the state of the cluster in dir. The error is fs.ErrNotExist where there never was one.
func ReadState(dir string) (State, error) {
	var s State
	data, err := os.ReadFile(filepath.Join(dir, StateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("no cluster in %s: %w", dir, err)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", filepath.Join(dir, StateFile), err)
	}
	return s, nil
}

// write replaces the file as a whole: a reader sees the old or the new state.
func (s State) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, StateFile)
	if err := os.WriteFile(file+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func port(p int) string { return strconv.Itoa(p) }
