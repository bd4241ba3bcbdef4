module github.com/clusterring/clusterring/tools/experiment

go 1.26.0

require (
	github.com/clusterring/clusterring v0.0.0
	github.com/spf13/cobra v1.10.2
	k8s.io/klog/v2 v2.140.0
)

require (
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
)

replace github.com/clusterring/clusterring => ../..
