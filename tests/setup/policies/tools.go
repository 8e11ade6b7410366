//go:build tools

// Package tools names the command that tests/setup/policies.sh builds, so that `go mod tidy` keeps what it needs.
package tools

import _ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
