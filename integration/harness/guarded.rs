//! A broker's doors that not everybody comes through: SASL, SASL over TLS, and TLS with certificates of clients. Who came
//! through one may do anything with topics and groups for which nobody was given a right ([`super::acl`]).

use std::path::Path;

use super::registry::Authority;

/// Ports at `localhost`.
#[derive(Debug, Clone, Copy)]
pub struct Guarded {
    /// `sasl_plaintext`, with PLAIN and SCRAM.
    pub sasl: u16,
    /// `sasl_ssl`, with PLAIN and SCRAM.
    pub sasl_tls: u16,
    /// `ssl`, for clients with a certificate of the authority.
    pub tls: u16,
}

/// What such a broker has beside what every broker has.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Lines of its properties.
    pub properties: String,
    /// More words for the command that makes its storage.
    pub format: Vec<String>,
}

impl Guarded {
    pub(super) fn extra(
        self,
        authority: &Authority,
        users: &[(&str, &str)],
        dir: &Path,
        listeners: &[String; 2],
    ) -> Extra {
        let (certificate, key) = authority.issue("localhost");
        std::fs::write(dir.join("broker.pem"), [key, certificate].concat()).expect("the directory is writable");
        std::fs::write(dir.join("clients.pem"), authority.pem()).expect("the directory is writable");
        let Self { sasl, sasl_tls, tls } = self;
        let doors = format!("SASL_PLAINTEXT://localhost:{sasl},SASL_SSL://localhost:{sasl_tls},SSL://localhost:{tls}");
        let [listens, advertised] = listeners;
        let words: String = users.iter().map(|(user, word)| format!(" user_{user}=\"{word}\"")).collect();
        let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{words};");
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let mut properties = format!(
            "listeners={listens},{doors}
advertised.listeners={advertised},{doors}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.ssl.ssl.client.auth=required
",
            dir.join("broker.pem").display(),
            dir.join("clients.pem").display(),
        );
        for door in ["sasl_plaintext", "sasl_ssl"] {
            for (mechanism, module) in [("plain", plain.as_str()), ("scram-sha-256", scram), ("scram-sha-512", scram)] {
                properties += &format!("listener.name.{door}.{mechanism}.sasl.jaas.config={module}\n");
            }
        }
        let mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
        let scram = |(user, word): &(&str, &str)| {
            mechanisms.map(|mechanism| ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={word}]")])
        };
        Extra { properties, format: users.iter().flat_map(scram).flatten().collect() }
    }
}
