package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// errJSON is wrapped by all errors about text that is not JSON, or not what it should be.
var errJSON = errors.New("not the JSON that was expected")

// scanner reads JSON from a stream, value by value. It keeps nothing but the buffer: what is skipped costs no memory,
// whatever its size and depth, and strings are returned up to a limit. It accepts some texts that are not JSON among what it
// skips, because the API server has checked them.
type scanner struct {
	source io.Reader
	buffer [8 << 10]byte
	next   int // in buffer
	end    int
	err    error // of source
	text   []byte
}

func (s *scanner) reset(source io.Reader) {
	s.source, s.next, s.end, s.err, s.text = source, 0, 0, nil, s.text[:0]
}

// fill reads on when the buffer is empty. It returns false at the end of the source.
func (s *scanner) fill() bool {
	for s.next == s.end {
		if s.err != nil {
			return false
		}
		var n int
		n, s.err = s.source.Read(s.buffer[:])
		s.next, s.end = 0, n
	}
	return true
}

// fail returns why the source ended, or that there is something unexpected.
func (s *scanner) fail(want string) error {
	if s.next == s.end && s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return fmt.Errorf("%w: want %s", errJSON, want)
}

// peek returns the first byte after white space without consuming it.
func (s *scanner) peek() (byte, bool) {
	for s.fill() {
		switch c := s.buffer[s.next]; c {
		case ' ', '\t', '\r', '\n':
			s.next++
		default:
			return c, true
		}
	}
	return 0, false
}

// take consumes the byte if it comes next.
func (s *scanner) take(want byte) bool {
	c, ok := s.peek()
	if ok && c == want {
		s.next++
		return true
	}
	return false
}

// object calls visit with each key of the object that comes next. visit must consume the value. Anything but an object,
// null above all, is skipped. A key of more than most bytes is skipped with its value.
func (s *scanner) object(most int, visit func(key string) error) error {
	if !s.take('{') {
		return s.skip()
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return s.fail("a comma or the end of an object")
		}
		key, ok, err := s.string(most)
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("a colon")
		}
		if !ok {
			err = s.skip()
		} else {
			err = visit(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// array calls visit for each element of the array that comes next. visit must consume it. Anything but an array is skipped.
func (s *scanner) array(visit func() error) error {
	if !s.take('[') {
		return s.skip()
	}
	for first := true; !s.take(']'); first = false {
		if !first && !s.take(',') {
			return s.fail("a comma or the end of an array")
		}
		if err := visit(); err != nil {
			return err
		}
	}
	return nil
}

// string consumes the string that comes next. ok is false if it is not valid, or longer than most bytes as it is written.
func (s *scanner) string(most int) (value string, ok bool, err error) {
	if !s.take('"') {
		return "", false, s.fail("a string")
	}
	s.text = append(s.text[:0], '"')
	escaped, special := false, false
	for s.fill() {
		c := s.buffer[s.next]
		s.next++
		if len(s.text) <= most+1 {
			s.text = append(s.text, c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped, special = true, true
		case c == '"':
			if len(s.text) < 2 || s.text[len(s.text)-1] != '"' {
				return "", false, nil
			}
			if !special {
				return string(s.text[1 : len(s.text)-1]), true, nil
			}
			err := json.Unmarshal(s.text, &value)
			return value, err == nil, nil
		}
	}
	return "", false, s.fail("the end of a string")
}

// optional consumes the value that comes next, and returns it if it is a string of at most most bytes. ok is false if it is
// anything else but null.
func (s *scanner) optional(most int) (value string, ok bool, err error) {
	switch c, _ := s.peek(); c {
	case '"':
		return s.string(most)
	case 'n':
		return "", true, s.skip()
	default:
		return "", false, s.skip()
	}
}

// isTrue consumes the value that comes next and reports whether it is true.
func (s *scanner) isTrue() (bool, error) {
	c, _ := s.peek()
	return c == 't', s.skip()
}

// skip consumes the value that comes next.
func (s *scanner) skip() error {
	c, ok := s.peek()
	switch {
	case !ok || c == ',' || c == ':' || c == '}' || c == ']':
		return s.fail("a value")
	case c != '{' && c != '[' && c != '"':
		return s.skipWord()
	}
	depth, quoted, escaped := 0, false, false
	for s.fill() {
		for i, c := range s.buffer[s.next:s.end] {
			switch {
			case escaped:
				escaped = false
				continue
			case quoted:
				switch c {
				case '\\':
					escaped = true
				case '"':
					quoted = false
				}
			case c == '"':
				quoted = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				depth--
			}
			if depth == 0 && !quoted {
				s.next += i + 1
				return nil
			}
		}
		s.next = s.end
	}
	return s.fail("the end of a value")
}

// skipWord consumes a number, true, false or null.
func (s *scanner) skipWord() error {
	for s.fill() {
		switch s.buffer[s.next] {
		case ' ', '\t', '\r', '\n', ',', '}', ']':
			return nil
		case '{', '[', '"', ':':
			return s.fail("a value")
		}
		s.next++
	}
	return nil
}
