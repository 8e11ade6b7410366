//! Certificates of one run: a CA, the API server's, and one for each who speaks to it.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};

/// Writes what it makes into its folder, in PEM.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.crt"), issuer.pem()).unwrap();
        Authority { issuer, folder: folder.to_owned() }
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// For a server on loopback, under these names too.
    pub fn server(&self, name: &str, names: &[&str]) -> Pair {
        let mut subject: Vec<String> = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        subject.extend(names.iter().map(|n| (*n).to_owned()));
        let mut params = CertificateParams::new(subject).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.write(name, params)
    }

    /// For a user of the API server, in a group.
    pub fn client(&self, user: &str, group: Option<&str>) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.write(&user.replace(':', "-"), params)
    }

    /// A key alone: the private half in `key`, the public one in `certificate`.
    pub fn key(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let public =
            format!("-----BEGIN PUBLIC KEY-----\n{}-----END PUBLIC KEY-----\n", lines(&key.subject_public_key_info()));
        self.files(name, &public, &key)
    }

    fn write(&self, name: &str, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        self.files(name, &certificate, &key)
    }

    fn files(&self, name: &str, public: &str, key: &KeyPair) -> Pair {
        let at = |end: &str| self.folder.join(format!("{name}.{end}"));
        let pair = Pair { certificate: at("crt"), key: at("key") };
        std::fs::write(&pair.certificate, public).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

/// As PEM has them.
pub fn lines(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}
