package measure

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// The first and the last column. Between them is one for each label.
const (
	timeColumn  = "time"
	valueColumn = "value"

	timeFormat = "2006-01-02T15:04:05.000Z07:00"
)

// csvFile returns the path of the results of a query in the directory of a run.
func csvFile(dir, query string) string { return filepath.Join(dir, "csv", query+".csv") }

// WriteCSV writes the results of a query into the directory of a run, one value a line: time (UTC), labels, value.
func WriteCSV(dir, query string, matrix model.Matrix) (err error) {
	file := csvFile(dir, query)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	names := map[model.LabelName]bool{}
	for _, s := range matrix {
		for name := range s.Metric {
			names[name] = true
		}
	}
	labels := slices.Sorted(maps.Keys(names))
	w := csv.NewWriter(f)
	header := []string{timeColumn}
	for _, name := range labels {
		header = append(header, string(name))
	}
	_ = w.Write(append(header, valueColumn)) // Error tells
	for _, s := range matrix {
		for _, v := range s.Values {
			line := []string{v.Timestamp.Time().UTC().Format(timeFormat)}
			for _, name := range labels {
				line = append(line, string(s.Metric[name]))
			}
			_ = w.Write(append(line, strconv.FormatFloat(float64(v.Value), 'g', -1, 64)))
		}
	}
	w.Flush()
	return w.Error()
}

// ReadCSV reads the results of a query in the directory of a run. There are none, and that is no error, when the query was
// not there yet when the run was measured.
func ReadCSV(dir, query string) (model.Matrix, error) {
	file := csvFile(dir, query)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(lines) == 0 || len(lines[0]) < 2 {
		return nil, fmt.Errorf("read %s: no header", file)
	}
	header, last := lines[0], len(lines[0])-1
	var matrix model.Matrix
	known := map[model.Fingerprint]*model.SampleStream{}
	for i, line := range lines[1:] {
		at, err := time.Parse(timeFormat, line[0])
		if err != nil {
			return nil, fmt.Errorf("read %s:%d: %w", file, i+2, err)
		}
		value, err := strconv.ParseFloat(line[last], 64)
		if err != nil {
			return nil, fmt.Errorf("read %s:%d: %w", file, i+2, err)
		}
		metric := model.Metric{}
		for j := 1; j < last; j++ {
			if line[j] != "" { // to Prometheus, an empty label is none
				metric[model.LabelName(header[j])] = model.LabelValue(line[j])
			}
		}
		stream, ok := known[metric.Fingerprint()]
		if !ok {
			stream = &model.SampleStream{Metric: metric}
			known[metric.Fingerprint()] = stream
			matrix = append(matrix, stream)
		}
		stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(at.UnixNano()), Value: model.SampleValue(value)})
	}
	return matrix, nil
}
