// Daprd as Dapr builds it, and one component more: SQLite resolves names among the sidecars of one machine without the
// multicasts of mDNS. Dapr's releases have it too (it is not in their `stablecomponents`), so a daprd on a person's PATH will do.
package main

import (
	"github.com/dapr/components-contrib/nameresolution/sqlite"
	"github.com/dapr/dapr/cmd/daprd/app"
	"github.com/dapr/dapr/pkg/components/nameresolution"
)

func init() {
	nameresolution.DefaultRegistry.RegisterComponent(sqlite.NewResolver, "sqlite")
}

func main() { app.Run() }
