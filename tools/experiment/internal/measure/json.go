package measure

import (
	"encoding/json"
	"math"
	"time"
)

// duration is written as text.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = 0
		return nil
	}
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

type outageJSON struct {
	What  string   `json:"what"`
	From  duration `json:"from"`
	To    duration `json:"to"`
	Worst float64  `json:"worst"`
}

// MarshalJSON writes durations as text.
func (o Outage) MarshalJSON() ([]byte, error) {
	return json.Marshal(outageJSON{o.What, duration(o.From), duration(o.To), min(o.Worst, math.MaxFloat64)}) // JSON has no infinity
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Outage) UnmarshalJSON(data []byte) error {
	var read outageJSON
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*o = Outage{read.What, time.Duration(read.From), time.Duration(read.To), read.Worst}
	return nil
}
