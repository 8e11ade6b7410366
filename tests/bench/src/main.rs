//! `make bench`: server CPU per relayed message against a plain TCP copy, memory per idle connection, CPU per connect,
//! push and request through the broker against a bare consumer; what an edit of a large catalog costs gateway and operator.
//!
//! One program in several parts, so that each has a process of its own: the measurement itself (no argument), and the
//! servers that it compares the gateway with (`copy`, `tungstenite`, `consume`). Start it with `tests/bench/run.sh`, which gives it a
//! network namespace of its own. It fails only when a message was lost or changed, or when a server died: it asserts no
//! time.

use bannou_bench::{Options, broker, catalog, measure, plain_copy, tungstenite};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("copy") => plain_copy::serve(&arguments[1..]),
        Some("catalog") => catalog::alone(&arguments[1..]),
        Some("consume") => broker::bare::serve(&arguments[1..]),
        Some("tungstenite") => tungstenite::serve(&arguments[1..]),
        _ => Options::parse(&arguments).and_then(|options| measure(&options)),
    };
    if let Err(error) = outcome {
        eprintln!("bench: {error}");
        std::process::exit(1);
    }
}
