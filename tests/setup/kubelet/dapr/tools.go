//go:build tools

// Package tools names the commands that tests/setup/kubelet.sh builds, so that `go mod tidy` keeps what they need in go.mod and go.sum.
package tools

import (
	_ "github.com/dapr/dapr/cmd/injector"
	_ "github.com/dapr/dapr/cmd/operator"
	_ "github.com/dapr/dapr/cmd/placement"
	_ "github.com/dapr/dapr/cmd/sentry"
)
