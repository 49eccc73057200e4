//! What segments are shown over TLS, and whose certificates let them in: files of PEM, read and judged once, before anybody
//! connects. `secured` shakes hands with it; config and cli name the files.
//!
//! Facts it stands on: Greenplum's segments check the name that they call against the certificate unless
//! `verify_gpfdists_cert` is off, keep no sessions, and would take HTTP/2 if it were offered, so no protocol is
//! (`url_curl.c`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{
    Ssl, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509StoreContext};

use crate::pem;

const CERTIFICATE: &str = "certificate file";
const KEY: &str = "key file";
const CA: &str = "CA file";

/// Where it is all written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that segments are shown, then those between it and an authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities of segments: with it only who has a certificate of theirs gets anything.
    pub authorities: Option<PathBuf>,
    pub min_version: TlsVersion,
}

impl TlsFiles {
    /// The files of a folder, as `gpfdist --ssl` calls them.
    pub fn of_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("server.crt"),
            key: folder.join("server.key"),
            authorities: Some(folder.join("root.crt")),
            min_version: TlsVersion::default(),
        }
    }
}

/// The least version that is spoken. What is older than these, no segment needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("gpfdists, {role} {}: {cause}", path.display())]
pub struct TlsError {
    role: &'static str,
    path: PathBuf,
    cause: String,
}

impl TlsError {
    fn of(role: &'static str, path: &Path, cause: String) -> Self {
        Self { role, path: path.to_owned(), cause }
    }
}

/// All that a handshake needs. Clones are one.
#[derive(Clone)]
pub struct Tls {
    context: SslContext,
    certificate: X509,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One is not there, or not what it should be; the certificate has expired or is none yet.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let shown = |cause| TlsError::of(CERTIFICATE, &files.certificate, cause);
        let certificates = pem::certificates(&files.certificate).map_err(shown)?;
        let first = certificates.first().expect("a file of certificates has one").clone();
        check_time(&first).map_err(shown)?;
        let key = pem::key_of(&certificates, &files.certificate, &files.key);
        let key = key.map_err(|cause| TlsError::of(KEY, &files.key, cause))?;
        let broken = |error: ErrorStack| shown(reason(&error));
        let mut builder = acceptor(files.min_version).map_err(broken)?;
        let mut given = builder.set_certificate(&first).and_then(|()| builder.set_private_key(&key));
        for between in certificates.into_iter().skip(1) {
            given = given.and_then(|()| builder.add_extra_chain_cert(between));
        }
        given.map_err(broken)?;
        if let Some(path) = &files.authorities {
            demand(&mut builder, path).map_err(|cause| TlsError::of(CA, path, cause))?;
        }
        Ok(Self { context: builder.build().into_context(), certificate: first })
    }

    /// The server's side of one connection.
    pub(super) fn session(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(&self.context)
    }

    /// Whether segments that check find this name, or address, in the certificate.
    pub fn is_for(&self, host: &str) -> bool {
        // the certificate stands for its own authority: what is judged is the name
        let judged = || -> Result<bool, ErrorStack> {
            let mut wanted = X509VerifyParam::new()?;
            wanted.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => wanted.set_ip(address)?,
                Err(_) => wanted.set_host(host)?,
            }
            let mut store = X509StoreBuilder::new()?;
            store.add_cert(self.certificate.clone())?;
            store.set_param(&wanted)?;
            X509StoreContext::new()?
                .init(&store.build(), &self.certificate, &*Stack::new()?, |context| context.verify_cert())
        };
        judged().unwrap_or(false)
    }

    /// The names and addresses that the certificate is for; its common name counts where it has none.
    pub fn names(&self) -> Vec<String> {
        let alternative = self.certificate.subject_alt_names().into_iter().flatten();
        let names: Vec<String> = alternative
            .filter_map(|name| {
                let address = || match name.ipaddress()? {
                    bytes @ [_, _, _, _] => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
                    bytes => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
                };
                name.dnsname().map(str::to_owned).or_else(address)
            })
            .collect();
        if !names.is_empty() {
            return names;
        }
        let common = self.certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        common.and_then(|entry| Some(entry.data().to_string().ok()?.as_str().to_owned())).into_iter().collect()
    }

    /// By which name segments are to call a machine that nobody has named: its own if the certificate has it, else the
    /// first that the certificate has.
    pub fn name_for(&self, machine: &str) -> String {
        let longer = format!("{machine}.");
        let names: Vec<String> = self.names().into_iter().filter(|name| !name.starts_with('*')).collect();
        let full = names.iter().find(|name| name.starts_with(&longer)).or(names.first()).cloned();
        if self.is_for(machine) { machine.to_owned() } else { full.unwrap_or_else(|| machine.to_owned()) }
    }

    /// When it ends, as certificates have it.
    pub fn ends(&self) -> String {
        self.certificate.not_after().to_string()
    }
}

fn check_time(certificate: &X509) -> Result<(), String> {
    let now = Asn1Time::days_from_now(0).map_err(|error| reason(&error))?;
    if certificate.not_after() <= now {
        let then = certificate.not_after();
        return Err(format!("the certificate in it ended on {then}; have a new one made, or set this machine's clock"));
    }
    if certificate.not_before() > now {
        let then = certificate.not_before();
        return Err(format!("the certificate in it begins on {then}; wait, or set this machine's clock"));
    }
    Ok(())
}

/// Ciphers and groups that are thought well of, and nothing that a segment has no use for.
fn acceptor(min_version: TlsVersion) -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(match min_version {
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    }))?;
    // one connection, one request: there is nothing to resume, and to agree anew costs us more than who asks for it
    builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)?;
    builder.set_verify(SslVerifyMode::NONE);
    Ok(builder)
}

/// Lets only those in who have a certificate by one of these.
fn demand(builder: &mut SslAcceptorBuilder, path: &Path) -> Result<(), String> {
    let broken = |error: ErrorStack| reason(&error);
    let mut store = X509StoreBuilder::new().map_err(broken)?;
    for authority in pem::certificates(path)? {
        builder.add_client_ca(&authority).map_err(broken)?;
        store.add_cert(authority).map_err(broken)?;
    }
    // a store of its own: those that the system trusts are not meant
    builder.set_verify_cert_store(store.build()).map_err(broken)?;
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

fn reason(error: &ErrorStack) -> String {
    let first = error.errors().first().and_then(|error| error.reason());
    format!("OpenSSL does not take it: {}", first.unwrap_or("it does not say why"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use openssl::asn1::Asn1TimeRef;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::symm::Cipher;
    use openssl::x509::X509NameBuilder;
    use openssl::x509::extension::SubjectAlternativeName;

    use super::*;

    fn key() -> PKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    /// Signed by itself, for these names; a dotted number is an address.
    fn certificate(key: &PKey<Private>, names: &[&str], from: &Asn1TimeRef, to: &Asn1TimeRef) -> X509 {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "common.example").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.set_not_before(from).unwrap();
        builder.set_not_after(to).unwrap();
        if !names.is_empty() {
            let mut alternative = SubjectAlternativeName::new();
            for name in names {
                match name.parse::<IpAddr>() {
                    Ok(_) => alternative.ip(name),
                    Err(_) => alternative.dns(name),
                };
            }
            let extension = alternative.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    fn days(days: u32) -> openssl::asn1::Asn1Time {
        Asn1Time::days_from_now(days).unwrap()
    }

    fn long_ago(year: u32) -> openssl::asn1::Asn1Time {
        Asn1Time::from_str(&format!("{year}0101000000Z")).unwrap()
    }

    /// A folder of files by name.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            let (own, other) = (key(), key());
            files.write("cert", &certificate(&own, &["etl1"], &days(0), &days(1)).to_pem().unwrap());
            files.write("ended", &certificate(&own, &["etl1"], &long_ago(2020), &long_ago(2021)).to_pem().unwrap());
            files.write("early", &certificate(&own, &["etl1"], &long_ago(2101), &long_ago(2102)).to_pem().unwrap());
            files.write("key", &own.private_key_to_pem_pkcs8().unwrap());
            files.write("other-key", &other.private_key_to_pem_pkcs8().unwrap());
            files.write("locked", &own.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"x").unwrap());
            files.write("text", b"no PEM");
            files
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.0.path().join(name), bytes).unwrap();
        }

        /// What is said, with the folder left out.
        fn said(&self, certificate: &str, key: &str, authorities: Option<&str>) -> String {
            let path = |name: &str| self.0.path().join(name);
            let files = TlsFiles {
                certificate: path(certificate),
                key: path(key),
                authorities: authorities.map(path),
                min_version: TlsVersion::V1_2,
            };
            match Tls::read(&files) {
                Ok(tls) => format!("{tls:?}"),
                Err(error) => error.to_string().replace(&format!("{}/", self.0.path().display()), ""),
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_in_one_line() {
        let files = Files::new();
        let said = [
            files.said("cert", "key", Some("cert")),
            files.said("none", "key", None),
            files.said("text", "key", None),
            files.said("ended", "key", None),
            files.said("early", "key", None),
            files.said("cert", "none", None),
            files.said("cert", "other-key", None),
            files.said("cert", "locked", None),
            files.said("cert", "text", None),
            files.said("cert", "key", Some("none")),
            files.said("cert", "key", Some("key")),
        ];
        expect![[r#"
            Tls { names: ["etl1"], .. }
            gpfdists, certificate file none: No such file or directory (os error 2)
            gpfdists, certificate file text: there is no certificate in it; it is to hold PEM, -----BEGIN CERTIFICATE-----
            gpfdists, certificate file ended: the certificate in it ended on Jan  1 00:00:00 2021 GMT; have a new one made, or set this machine's clock
            gpfdists, certificate file early: the certificate in it begins on Jan  1 00:00:00 2101 GMT; wait, or set this machine's clock
            gpfdists, key file none: No such file or directory (os error 2)
            gpfdists, key file other-key: this is not the key of the first certificate in cert
            gpfdists, key file locked: the key in it is encrypted; write it anew without a passphrase: `openssl pkey -in FILE -out NEW`, readable for this user alone
            gpfdists, key file text: there is no private key in it; it is to hold PEM, -----BEGIN PRIVATE KEY-----
            gpfdists, CA file none: No such file or directory (os error 2)
            gpfdists, CA file key: there is no certificate in it; it is to hold PEM, -----BEGIN CERTIFICATE-----"#]].assert_eq(&said.join("\n"));
    }

    fn with_names(names: &[&str]) -> Tls {
        let files = Files::new();
        let own = key();
        files.write("cert", &certificate(&own, names, &days(0), &days(1)).to_pem().unwrap());
        files.write("key", &own.private_key_to_pem_pkcs8().unwrap());
        let path = |name: &str| files.0.path().join(name);
        let (certificate, key, min_version) = (path("cert"), path("key"), TlsVersion::V1_2);
        Tls::read(&TlsFiles { certificate, key, authorities: None, min_version }).unwrap()
    }

    #[test]
    fn names_are_judged_as_segments_judge_them() {
        let tls = with_names(&["etl1.example.com", "*.loaders.example", "10.1.2.3", "fd00::1"]);
        for host in ["etl1.example.com", "ETL1.example.com", "a.loaders.example", "10.1.2.3", "fd00::1", "[fd00::1]"] {
            assert!(tls.is_for(host), "{host}");
        }
        for host in ["etl1", "a.b.loaders.example", "loaders.example", "10.1.2.4", "common.example"] {
            assert!(!tls.is_for(host), "{host}");
        }
        assert!(with_names(&[]).is_for("common.example"), "the common name counts where there is no other");
    }

    #[test]
    fn a_machine_that_nobody_named_is_called_as_its_certificate_has_it() {
        let tls = with_names(&["*.example.com", "other.example.com", "etl1.example.com"]);
        assert_eq!(tls.name_for("etl1"), "etl1.example.com");
        assert_eq!(tls.name_for("a.example.com"), "a.example.com");
        assert_eq!(tls.name_for("x"), "other.example.com");
        assert_eq!(with_names(&["10.1.2.3"]).name_for("etl1"), "10.1.2.3");
        assert_eq!(with_names(&["*.x"]).name_for("etl1"), "etl1");
        assert_eq!(with_names(&[]).name_for("etl1"), "common.example");
    }
}
