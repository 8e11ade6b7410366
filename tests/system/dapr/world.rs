//! One service in Node and one in Python with Dapr's SDK, each behind a sidecar, and a sidecar for gateways: started once.

use bannou_crds::Catalog;
use bannou_crds::catalog::Endpoint;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::support::catalog::{catalog, dapr, direct, endpoint};
use crate::support::daprd::{Daprd, Mesh, Service};
use crate::support::gateway::{Gateway, NO_PINGS};

pub struct World {
    pub plain: Service,
    pub sdk: Service,
    /// What gateways call out through.
    pub sidecar: Daprd,
    _behind: ([Daprd; 2], Mesh),
}

/// The ways to a service that answers the same on each.
pub const WAYS: [&str; 3] = ["plain", "sdk", "direct"];

/// Shared by all tests of this module; ends with the test binary.
pub async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(|| async {
            let mesh = Mesh::new();
            let (plain, sdk) = tokio::join!(Service::plain(&[]), Service::sdk(&[]));
            let (behind_plain, behind_sdk, sidecar) = tokio::join!(
                mesh.sidecar("plain", Some(plain.port), &[]),
                mesh.sidecar("sdk", Some(sdk.port), &[]),
                mesh.sidecar("gateway", None, &[]),
            );
            tokio::join!(sidecar.finds("plain"), sidecar.finds("sdk"));
            World { plain, sdk, sidecar, _behind: ([behind_plain, behind_sdk], mesh) }
        })
        .await
}

impl World {
    /// A catalog in which `plain`, `sdk` and `direct` have these endpoints.
    pub fn catalog(&self, endpoints: &[Endpoint]) -> Catalog {
        catalog(vec![
            direct("direct", endpoints.to_vec()),
            dapr("plain", "plain", endpoints.to_vec()),
            dapr("sdk", "sdk", endpoints.to_vec()),
        ])
    }

    /// A gateway in front of it, `direct` without any sidecar.
    pub async fn gateway(&self, endpoints: &[Endpoint]) -> Gateway {
        self.gateway_of(&self.catalog(endpoints)).await
    }

    pub async fn gateway_of(&self, catalog: &Catalog) -> Gateway {
        Gateway::start(catalog, |command| {
            command.args(NO_PINGS).args(["--dapr-http", &format!("http://127.0.0.1:{}", self.sidecar.http)]);
            command.args(["--override", &format!("direct=http://127.0.0.1:{}", self.plain.port)]);
        })
        .await
    }

    /// The service itself at the end of a way.
    pub fn service(&self, way: &str) -> &Service {
        if way == "sdk" { &self.sdk } else { &self.plain }
    }
}

/// `POST` to a path of the services.
pub fn post(name: &str) -> Endpoint {
    endpoint(name, &format!("POST /{name}"))
}

/// What a problem document says is the reason.
pub fn reason(problem: &Value) -> &str {
    problem["reason"].as_str().unwrap_or_default()
}
