//! `bannou can-i`: allow or deny, and the chain of rules that says so.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bannou_gateway::auth::{MAX_TOKEN_BYTES, Times};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::output::{Format, print, print_json};
use super::source::{self, Source};
use crate::cluster::Where;
use crate::explain::{self, Question};
use crate::trouble::Trouble;

const AFTER: &str = "\
Exit codes:
  0  allowed
  1  denied; what is missing, and what would fix it, is printed
  2  no answer: the claims or the resources cannot be read, there is no such name, or the Fleet has no catalog

Examples:
  kubectl bannou can-i account.create
  bannou can-i account.create --folder examples/quickstart
  bannou can-i account.get --folder examples/quickstart --claims ada.json
  bannou can-i account.get --folder examples/quickstart --claims - < token.txt";

/// Say whether a client may use a name of the catalog, and which rules decide it.
///
/// The answer is the gateway's: the resources are compiled as the operator does it, and the claims admitted as a gateway admits them.
/// Signatures are not looked at, so anybody's claims can be asked about.
#[derive(clap::Args)]
#[command(name = "can-i", after_help = AFTER)]
pub struct Args {
    /// What is to be called or received, such as account.create.
    #[arg(value_name = "SERVICE.ENDPOINT")]
    name: String,
    /// A JSON file with a token's claims (`iss` names the issuer), or with the token itself; - reads standard input. Left out: an
    /// anonymous client.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// A folder with the resources, instead of a cluster's.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The Fleet that is meant, where there are several.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,
    /// Take exp, nbf and iat as good, also where they are missing.
    #[arg(long)]
    ignore_times: bool,
    #[command(flatten)]
    at: Where,
    /// How to print it.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(args: Args) -> Result<bool, Trouble> {
    let Args { name, claims, folder, fleet, ignore_times, at, output } = args;
    let claims = claims.map(|path| read_claims(&path)).transpose()?;
    let Source { world, fleet, .. } = source::read(folder.as_deref(), fleet.as_deref(), &at).await?;
    let decision = explain::can_i(&Question {
        world: &world,
        fleet: &fleet,
        name: &name,
        claims: claims.as_deref(),
        now: SystemTime::now(),
        times: if ignore_times { Times::Ignored } else { Times::Checked },
    })?;
    match output {
        Format::Table => print(&explain::print(&decision)),
        Format::Json => print_json(&decision),
    }
    Ok(decision.allowed)
}

/// The JSON object in it; never printed.
fn read_claims(path: &Path) -> Result<Vec<u8>, Trouble> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let wrong = |what: String| Trouble(vec![format!("{shown}: {what}")]);
    let from: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(|e| wrong(format!("cannot be read: {e}")))?),
    };
    let mut bytes = Vec::new();
    // No token is larger, and neither is what it says.
    from.take(MAX_TOKEN_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    if bytes.len() > MAX_TOKEN_BYTES {
        return Err(wrong(format!("holds more than {MAX_TOKEN_BYTES} bytes, which no token may")));
    }
    if let Some(claims) = claims_of_token(&bytes) {
        bytes = claims.ok_or_else(|| wrong("looks like a token, and its middle part is not base64url".to_owned()))?;
    }
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) {
        Ok(_) => Ok(bytes),
        // The parser's own words may quote a value.
        Err(e) => Err(wrong(format!("is no JSON object of claims: wrong in line {}, column {}", e.line(), e.column()))),
    }
}

/// The claims of a token as it is sent; the inner `None`: it only looks like one.
fn claims_of_token(text: &[u8]) -> Option<Option<Vec<u8>>> {
    let parts: Vec<&[u8]> = text.trim_ascii().split(|b| *b == b'.').collect();
    match parts.as_slice() {
        [header, claims, _] if header.starts_with(b"ey") => Some(URL_SAFE_NO_PAD.decode(claims).ok()),
        _ => None,
    }
}
