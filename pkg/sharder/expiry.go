package sharder

import (
	"crypto/tls"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/pkg/sharder/certificates"
)

// expiry returns a metric that says until when the serving certificate is valid. It is not a number as long as there is none.
func expiry(source certificates.Source) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clusterring_sharder_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that admission is served with expires, in seconds since 1970.",
	}, func() float64 {
		certificate, err := source.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil || certificate.Leaf == nil {
			return math.NaN()
		}
		return float64(certificate.Leaf.NotAfter.Unix())
	})
}
