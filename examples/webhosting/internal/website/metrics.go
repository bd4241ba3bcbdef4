package website

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"

	weblisters "github.com/clusterring/clusterring/examples/webhosting/generated/listers/webhosting/v1alpha1"
)

// collector makes metrics of what is in the caches when somebody asks for them. That costs CPU with every Website, so there
// are no series without news: a phase that a Website is not in has none.
type collector struct {
	websites weblisters.WebsiteLister
	themes   weblisters.ThemeLister

	info, generation, observed, phase, themeInfo, themeGeneration *prometheus.Desc
}

// Collector returns the metrics of the Websites and Themes in the caches, thus of the shard's own Websites.
func (c *Controller) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kube_"+name, help, labels, nil)
	}
	return &collector{
		websites: c.websites, themes: c.themes,
		info:            desc("website_info", "1 for every Website.", "namespace", "website", "theme"),
		generation:      desc("website_metadata_generation", "The generation of the spec of a Website.", "namespace", "website"),
		observed:        desc("website_status_observed_generation", "The generation that the status of a Website speaks of.", "namespace", "website"),
		phase:           desc("website_status_phase", "1 for the phase that a Website is in; there is none for the others.", "namespace", "website", "phase"),
		themeInfo:       desc("theme_info", "1 for every Theme.", "theme"),
		themeGeneration: desc("theme_metadata_generation", "The generation of the spec of a Theme.", "theme"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.info, c.generation, c.observed, c.phase, c.themeInfo, c.themeGeneration} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	websites, err := c.websites.List(labels.Everything())
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(c.info, err)
	}
	for _, website := range websites {
		gauge(c.info, 1, website.Namespace, website.Name, website.Spec.Theme)
		gauge(c.generation, float64(website.Generation), website.Namespace, website.Name)
		gauge(c.observed, float64(website.Status.ObservedGeneration), website.Namespace, website.Name)
		if phase := website.Status.Phase; phase != "" {
			gauge(c.phase, 1, website.Namespace, website.Name, string(phase))
		}
	}
	themes, err := c.themes.List(labels.Everything())
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(c.themeInfo, err)
	}
	for _, theme := range themes {
		gauge(c.themeInfo, 1, theme.Name)
		gauge(c.themeGeneration, float64(theme.Generation), theme.Name)
	}
}
