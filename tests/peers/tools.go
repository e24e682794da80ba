//go:build tools

// Package peers pins the real clients and servers that the tests talk to.
// Nothing of Raftsman is written in Go: this module only names versions, so that
// `make peers` builds the same programs everywhere.
package peers

import (
	_ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/server/v3"
	_ "go.etcd.io/etcd/v3/tools/benchmark"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
