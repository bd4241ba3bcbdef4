package prom

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Target is something to scrape.
type Target struct {
	// Job and Instance become the labels of these names, unless the target gives a series such labels itself.
	Job, Instance string
	// URL of the metrics, such as http://127.0.0.1:8080/metrics.
	URL string
	// TLS is for https.
	TLS TLS
	// Labels go onto every series, up included.
	Labels map[string]string
	// Interval between two scrapes. Default: that of the Config.
	Interval time.Duration
	// Drop is a regular expression. Metrics whose whole name matches it are not stored.
	Drop string
}

// TLS is how to trust a server and what to show it, as names of files or as PEM; PEM takes precedence.
type TLS struct {
	CAFile, CertFile, KeyFile string
	CA, Cert, Key             string
	ServerName                string
	Token                     string // a bearer token
	Insecure                  bool   // trust any server
}

// FromREST returns the credentials in a client configuration, those of an administrator's kubeconfig for example.
func FromREST(c *rest.Config) TLS {
	return TLS{
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
		CA: string(c.CAData), Cert: string(c.CertData), Key: string(c.KeyData),
		ServerName: c.ServerName, Token: c.BearerToken, Insecure: c.Insecure,
	}
}

func (t Target) validate() error {
	var errs []error
	if t.Job == "" || t.Instance == "" {
		errs = append(errs, errors.New("job and instance are required"))
	}
	if u, err := url.Parse(t.URL); err != nil {
		errs = append(errs, err)
	} else if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("%q is no http or https URL", t.URL))
	}
	if _, err := regexp.Compile(t.Drop); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("target %s of job %q: %w", t.Instance, t.Job, err)
	}
	return nil
}

// pool are the targets that are scraped alike.
type pool struct {
	job, drop string
	tls       TLS
}

// poolsOf groups the targets. Pools have names that are the same for the same targets.
func poolsOf(targets []Target) map[string][]Target {
	pools, number := map[string][]Target{}, map[pool]int{}
	for _, t := range targets {
		key := pool{t.Job, t.Drop, t.TLS}
		if _, ok := number[key]; !ok {
			number[key] = len(number)
		}
		name := fmt.Sprintf("%s/%d", t.Job, number[key])
		pools[name] = append(pools[name], t)
	}
	return pools
}

// scrapeConfig returns the scraper's configuration for the pools.
func scrapeConfig(pools map[string][]Target, interval time.Duration) (*config.Config, error) {
	type object = map[string]any
	var jobs []object
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		t := pools[name][0]
		job := object{
			"job_name": name,
			// Bytes are counted by proxies in the name of others.
			"honor_labels": true,
			// Everything is on this machine: packing costs more than it saves.
			"enable_compression": false,
			"tls_config":         t.TLS.config(),
		}
		if t.TLS.Token != "" {
			job["authorization"] = object{"credentials": t.TLS.Token}
		}
		if t.Drop != "" {
			job["metric_relabel_configs"] = []object{{"source_labels": []string{"__name__"}, "regex": t.Drop, "action": "drop"}}
		}
		jobs = append(jobs, job)
	}
	text, err := yaml.Marshal(object{
		"global":         object{"scrape_interval": duration(interval), "scrape_timeout": duration(interval)},
		"scrape_configs": jobs,
	})
	if err != nil {
		return nil, err
	}
	return config.Load(string(text), slog.New(slog.DiscardHandler))
}

// config prefers PEM to files: Prometheus accepts only one of them.
func (t TLS) config() map[string]any {
	c := map[string]any{"insecure_skip_verify": t.Insecure}
	set := func(name, pem, file string) {
		if pem != "" {
			c[name] = pem
		} else if file != "" {
			c[name+"_file"] = file
		}
	}
	set("ca", t.CA, t.CAFile)
	set("cert", t.Cert, t.CertFile)
	set("key", t.Key, t.KeyFile)
	if t.Insecure {
		delete(c, "ca")
		delete(c, "ca_file")
	}
	if t.ServerName != "" {
		c["server_name"] = t.ServerName
	}
	return c
}

// groups returns the targets as discovery would.
func groups(pools map[string][]Target, interval time.Duration) map[string][]*targetgroup.Group {
	all := map[string][]*targetgroup.Group{}
	for name, targets := range pools {
		group := &targetgroup.Group{Source: name}
		for _, t := range targets {
			group.Targets = append(group.Targets, t.labels(interval))
		}
		all[name] = []*targetgroup.Group{group}
	}
	return all
}

func (t Target) labels(interval time.Duration) model.LabelSet {
	u, err := url.Parse(t.URL)
	if err != nil {
		panic(err) // validated
	}
	if t.Interval > 0 {
		interval = t.Interval
	}
	set := model.LabelSet{
		model.AddressLabel: model.LabelValue(u.Host), model.SchemeLabel: model.LabelValue(u.Scheme),
		model.MetricsPathLabel: model.LabelValue(u.EscapedPath()), model.JobLabel: model.LabelValue(t.Job),
		model.InstanceLabel:       model.LabelValue(t.Instance),
		model.ScrapeIntervalLabel: model.LabelValue(duration(interval)), model.ScrapeTimeoutLabel: model.LabelValue(duration(interval)),
	}
	for name, value := range t.Labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	for name, values := range u.Query() {
		set[model.LabelName(model.ParamLabelPrefix+name)] = model.LabelValue(values[0])
	}
	return set
}

func duration(d time.Duration) string { return model.Duration(d).String() }
