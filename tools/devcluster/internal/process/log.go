package process

import (
	"bytes"
	"io"
	"os"
)

// Tail returns the last lines of a log, for messages to a person. It is empty when the log cannot be read.
func Tail(file string, lines int) string {
	const enough = 64 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end > enough {
		_, _ = f.Seek(-enough, io.SeekEnd)
	} else {
		_, _ = f.Seek(0, io.SeekStart)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return string(bytes.Join(all, []byte("\n")))
}
