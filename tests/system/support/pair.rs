//! Certificates that nobody vouches for, with their keys, in files.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

/// `tls.crt` and `tls.key` of a folder.
pub fn paths(folder: &Path) -> [PathBuf; 2] {
    ["tls.crt", "tls.key"].map(|name| folder.join(name))
}

/// Writes a pair for this name into the folder, each file in one step; returns the certificate.
pub fn issue(folder: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    for (path, text) in paths(folder).into_iter().zip([made.cert.pem(), made.signing_key.serialize_pem()]) {
        let new = folder.join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }
    made.cert.der().clone()
}
