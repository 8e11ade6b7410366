//! What an idle connection holds, counted by the allocator: a binary of its own, since every allocation of the process counts.

use std::alloc::System;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bannou_bench::client::Client;
use bannou_bench::fixture::{Fixture, Login};
use bannou_gateway::app::{self, Options};
use bannou_gateway::auth::Secrets;
use bannou_gateway::internal;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 1_000;
/// Connections made before the count begins: buffers per thread, metrics and the view that all of them share.
const WARM: usize = 64;
/// Bytes of heap for one idle connection with 200 services, its token verified, its task and its place in every table included.
const AT_MOST: usize = 2_048;

#[test]
fn a_thousand_idle_connections_with_200_services_each_hold_2_kb() {
    let fixture = Fixture::new().expect("a folder for the catalog");
    // One worker: a second one could allocate what it keeps per thread in the middle of the count.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let address = runtime.block_on(start(&fixture));

    let tokens: Vec<_> = (0..WARM + CONNECTIONS).map(|n| fixture.token(Login::Hs256, n).expect("a token")).collect();
    let mut idle = Vec::with_capacity(WARM + CONNECTIONS);
    idle.extend(tokens[..WARM].iter().map(|token| connect(address, token)));
    // So that the log of session events of the in-process broker, which belongs to no connection, is as full as it gets.
    warm_the_log(address, &tokens[0]);
    let before = held(&mut idle);
    idle.extend(tokens[WARM..].iter().map(|token| connect(address, token)));
    let after = held(&mut idle);

    let each = after.saturating_sub(before) / CONNECTIONS;
    println!("{each} bytes of heap per idle connection");
    assert!(each <= AT_MOST, "an idle connection holds {each} bytes of heap, more than {AT_MOST}");
    assert!(each > 100, "only {each} bytes per connection: this test does not count what it should");
}

async fn start(fixture: &Fixture) -> SocketAddr {
    let catalog = app::read_file(&fixture.folder().join("catalog.json")).expect("a catalog");
    let (sender, catalogs) = watch::channel(Arc::new(catalog));
    let options = Options {
        client_addr: ([127, 0, 0, 1], 0).into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        internal: internal::Options { addr: ([127, 0, 0, 1], 0).into(), ..internal::Options::default() },
        secrets: Secrets::Dir(fixture.folder().to_owned()),
        ..Options::default()
    };
    let gateway = app::build(options, catalogs).await.expect("a gateway");
    let address = gateway.client_addr();
    tokio::spawn(async move {
        let _ = gateway.run(std::future::pending()).await;
        drop(sender);
    });
    address
}

/// Connects and leaves, more often than the log keeps events.
fn warm_the_log(address: SocketAddr, token: &Option<String>) {
    for _ in 0..1_100 {
        drop(connect(address, token));
    }
}

/// A connection whose discovery was received; of the client's side nothing but the socket is left.
fn connect(address: SocketAddr, token: &Option<String>) -> TcpStream {
    let client = Client::connect(address, token.as_deref()).expect("a connection");
    assert_eq!(client.discovery.services.len(), bannou_bench::fixture::SERVICES);
    client.into_stream().expect("nothing but the discovery")
}

/// Bytes of heap in use once every connection has answered a ping: then each is done with its upgrade and waits.
fn held(idle: &mut [TcpStream]) -> usize {
    for stream in idle {
        bannou_bench::client::ping(stream).expect("an answer to a ping");
    }
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
