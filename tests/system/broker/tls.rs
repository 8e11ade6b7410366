//! TLS both ways, and what is said when it does not come about.

use bannou_gateway::bus::Slot;
use bannou_gateway::bus::amqp::{Amqp, AmqpConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{bus, config, round_trip, waits_for};
use crate::support::broker::{Broker, Tls};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key.
    fn signs(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn speaking_tls(broker: &Broker, ca: &str) -> AmqpConfig {
    let port = broker.tls_port.unwrap();
    let mut config = config(&[format!("amqps://guest:guest@localhost:{port}/%2F")]);
    config.tls.ca = Some(ca.as_bytes().to_vec());
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_who_they_are() {
    let authority = Authority::new();
    let (certificate, key) = authority.signs("localhost");
    let tls = Tls { ca: authority.pem.clone(), certificate, key, clients: true };
    let broker = Broker::start_with(Some(&tls)).await;

    let mut right = speaking_tls(&broker, &authority.pem);
    let (certificate, key) = authority.signs("gateway");
    right.tls.client = Some((certificate.into_bytes(), key.into_bytes()));
    round_trip(&bus(right).await).await;

    let stranger = Amqp::new(speaking_tls(&broker, &Authority::new().pem), Slot::random()).unwrap();
    waits_for(&*stranger, &["the broker at localhost:", "certificate"]).await;
    let nobody = Amqp::new(speaking_tls(&broker, &authority.pem), Slot::random()).unwrap();
    waits_for(&*nobody, &["the broker at localhost:"]).await;
    assert!(!nobody_is_well(&nobody), "a client must show a certificate");
}

fn nobody_is_well(bus: &Amqp) -> bool {
    bannou_gateway::bus::Bus::state(bus).borrow().awaiting.is_empty()
}
