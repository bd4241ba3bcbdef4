package process

import (
	"bytes"
	"io"
	"os"
)

// Tail returns the last lines of what a log got since it had size from, for messages to a person. It is empty when the log
// cannot be read. Long lines are cut.
func Tail(file string, from int64, lines int) string {
	const enough, width = 64 << 10, 400
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		from = max(from, end-enough)
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if len(line) > width {
			all[i] = append(line[:width:width], "…"...)
		}
	}
	return string(bytes.Join(all, []byte("\n")))
}
