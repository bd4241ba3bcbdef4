package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Point is a rate at a moment after the beginning.
type Point struct {
	At   time.Duration
	Rate float64 // per second
}

// Profile is a rate that may change over time: linearly between its points, constant before the first and after the last
// one. The zero value is the rate 0. Points are in the order of time.
type Profile []Point

// Constant returns a rate that does not change.
func Constant(rate float64) Profile { return Profile{{Rate: rate}} }

// At returns the rate at a moment.
func (p Profile) At(t time.Duration) float64 {
	if len(p) == 0 {
		return 0
	}
	i, found := slices.BinarySearchFunc(p, t, func(q Point, t time.Duration) int { return int(q.At - t) })
	switch {
	case found:
		return p[i].Rate
	case i == 0:
		return p[0].Rate
	case i == len(p):
		return p[i-1].Rate
	}
	a, b := p[i-1], p[i]
	return a.Rate + (b.Rate-a.Rate)*float64(t-a.At)/float64(b.At-a.At)
}

// Total returns how often something happens at this rate from one moment to a later one.
func (p Profile) Total(from, to time.Duration) float64 {
	total := 0.0
	for from < to {
		next := to // until the rate changes its slope
		for _, q := range p {
			if q.At > from && q.At < next {
				next = q.At
			}
		}
		total += (p.At(from) + p.At(next)) / 2 * (next - from).Seconds()
		from = next
	}
	return total
}

// Scale returns the profile with all rates multiplied.
func (p Profile) Scale(factor float64) Profile {
	scaled := slices.Clone(p)
	for i := range scaled {
		scaled[i].Rate *= factor
	}
	return scaled
}

// String returns the profile as ParseProfile reads it.
func (p Profile) String() string {
	if len(p) == 1 && p[0].At == 0 {
		return strconv.FormatFloat(p[0].Rate, 'g', -1, 64)
	}
	var parts []string
	for _, q := range p {
		parts = append(parts, q.At.String()+"="+strconv.FormatFloat(q.Rate, 'g', -1, 64))
	}
	return strings.Join(parts, ",")
}

// ParseProfile reads a rate, such as 2.5, or a rate that changes, such as 0s=1,1m=10,2m=0.
func ParseProfile(s string) (Profile, error) {
	if s == "" {
		return nil, nil
	}
	if !strings.Contains(s, "=") {
		rate, err := parseRate(s)
		return Constant(rate), err
	}
	var (
		p    Profile
		errs []error
	)
	for part := range strings.SplitSeq(s, ",") {
		at, text, _ := strings.Cut(part, "=")
		t, err := time.ParseDuration(at)
		if err != nil {
			errs = append(errs, err)
		}
		rate, err := parseRate(text)
		if err != nil {
			errs = append(errs, err)
		}
		if len(p) > 0 && t <= p[len(p)-1].At {
			errs = append(errs, fmt.Errorf("%s is not after %s", t, p[len(p)-1].At))
		}
		p = append(p, Point{t, rate})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("rate %q: %w", s, err)
	}
	return p, nil
}

func parseRate(s string) (float64, error) {
	rate, err := strconv.ParseFloat(s, 64)
	if err != nil || !(rate >= 0 && rate < 1e6) {
		return 0, fmt.Errorf("%q is no rate: it is a number of operations per second", s)
	}
	return rate, nil
}
