// The definitions of the Gateway API, which are files of its Go module.
module bannou.dev/tests/gateway-api

go 1.26

require sigs.k8s.io/gateway-api v1.6.3
