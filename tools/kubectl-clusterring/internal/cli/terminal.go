package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Size returns the columns and lines of the terminal, or those of a usual one.
func (o *Options) Size() (columns, lines int) {
	if f, ok := o.Out.(*os.File); ok && o.Terminal {
		if columns, lines, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns, lines
		}
	}
	return 100, 25
}
