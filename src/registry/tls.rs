//! The files of TLS, read and checked once: a mistake is told at the start, with the file, and not as a failed handshake.

use std::path::{Path, PathBuf};

use reqwest::blocking::ClientBuilder;
use reqwest::tls::Version;
use reqwest::{Certificate, Identity};

use super::error::Error;
use super::settings::{Settings, TlsVersion};
use crate::pem;

const CA: &str = "CA file";
const CERTIFICATE: &str = "certificate file";
const KEY: &str = "key file";

/// Gives a client what the settings say of TLS.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub(super) fn secured(mut client: ClientBuilder, settings: &Settings) -> Result<ClientBuilder, Error> {
    if let Some(path) = &settings.ca_file {
        client = client.tls_certs_only(authorities(path)?);
    }
    match (&settings.certificate_file, &settings.key_file) {
        (Some(certificate), key) => client = client.identity(identity(certificate, key.as_ref())?),
        (None, Some(key)) => {
            return Err(Error::File {
                role: KEY,
                path: key.clone(),
                cause: "it needs a certificate file too".to_owned(),
            });
        }
        (None, None) => {}
    }
    Ok(match settings.min_tls_version {
        None => client,
        Some(TlsVersion::V1_0) => client.tls_version_min(Version::TLS_1_0),
        Some(TlsVersion::V1_1) => client.tls_version_min(Version::TLS_1_1),
        Some(TlsVersion::V1_2) => client.tls_version_min(Version::TLS_1_2),
        Some(TlsVersion::V1_3) => client.tls_version_min(Version::TLS_1_3),
    })
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong = |cause: String| Error::File { role: CA, path: path.to_owned(), cause };
    let certificates = pem::certificates(path).map_err(wrong)?;
    let usable = certificates.iter().map(|certificate| {
        let der = certificate.to_der().map_err(|error| error.to_string())?;
        Certificate::from_der(&der).map_err(|error| error.to_string())
    });
    usable.collect::<Result<_, _>>().map_err(wrong)
}

fn identity(certificate_path: &Path, key_path: Option<&PathBuf>) -> Result<Identity, Error> {
    let wrong = |cause: String| Error::File { role: CERTIFICATE, path: certificate_path.to_owned(), cause };
    let certificates = pem::certificates(certificate_path).map_err(wrong)?;
    let (role, path) = key_path.map_or((CERTIFICATE, certificate_path), |path| (KEY, path));
    let wrong = |cause: String| Error::File { role, path: path.to_owned(), cause };
    let key = pem::key_of(&certificates, certificate_path, path).map_err(wrong)?;
    let mut chain = Vec::new();
    for certificate in &certificates {
        chain.extend(certificate.to_pem().map_err(|error| wrong(error.to_string()))?);
    }
    // whatever form the key is written in, the HTTP client takes this one
    let key = key.private_key_to_pem_pkcs8().map_err(|error| wrong(error.to_string()))?;
    Identity::from_pkcs8_pem(&chain, &key).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;
    use openssl::x509::{X509, X509NameBuilder};
    use reqwest::blocking::Client;

    use super::*;

    /// A directory with a certificate and keys in several forms.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            let rsa = Rsa::generate(2048).unwrap();
            let key = PKey::from_rsa(rsa.clone()).unwrap();
            files.write("cert", &certificate(&key));
            files.write("key", &key.private_key_to_pem_pkcs8().unwrap());
            files.write("old-key", &rsa.private_key_to_pem().unwrap());
            files.write("locked", &key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"pass").unwrap());
            files.write("both", &[certificate(&key), key.private_key_to_pem_pkcs8().unwrap()].concat());
            let other = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
            files.write("other-key", &other.private_key_to_pem_pkcs8().unwrap());
            files.write("text", b"no PEM");
            files.write("damaged", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
            files.write("huge", &vec![b'x'; 2 << 20]);
            files
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.path(name), bytes).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// What is said, with the directory left out.
        fn said(&self, ca: Option<&str>, certificate: Option<&str>, key: Option<&str>) -> String {
            let mut settings = Settings::new(["https://host"]);
            settings.ca_file = ca.map(|name| self.path(name));
            settings.certificate_file = certificate.map(|name| self.path(name));
            settings.key_file = key.map(|name| self.path(name));
            settings.min_tls_version = Some(TlsVersion::V1_2);
            match secured(Client::builder(), &settings) {
                Ok(client) => client.build().map_or_else(|error| error.to_string(), |_| "good".to_owned()),
                Err(error) => error.to_string().replace(&format!("{}/", self.0.path().display()), ""),
            }
        }
    }

    fn certificate(key: &PKey<Private>) -> Vec<u8> {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "etl").unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_pubkey(key).unwrap();
        certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        certificate.sign(key, MessageDigest::sha256()).unwrap();
        certificate.build().to_pem().unwrap()
    }

    #[test]
    fn keys_are_taken_in_every_form_that_pem_has() {
        let files = Files::new();
        for key in [Some("key"), Some("old-key"), Some("both")] {
            assert_eq!(files.said(Some("cert"), Some("cert"), key), "good", "{key:?}");
        }
        assert_eq!(files.said(None, Some("both"), None), "good");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let files = Files::new();
        for ((ca, certificate, key), said) in [
            ((Some("none"), None, None), "CA file none: No such file or directory (os error 2)"),
            (
                (Some("text"), None, None),
                "CA file text: there is no certificate in it; it is to hold PEM, -----BEGIN CERTIFICATE-----",
            ),
            ((Some("damaged"), None, None), "CA file damaged: a certificate in it is damaged"),
            ((Some("huge"), None, None), "CA file huge: it is larger than 1 MiB, so it holds something else"),
            ((None, None, Some("key")), "key file key: it needs a certificate file too"),
            (
                (None, Some("cert"), None),
                "certificate file cert: there is no private key in it; it is to hold PEM, -----BEGIN PRIVATE KEY-----",
            ),
            (
                (None, Some("cert"), Some("other-key")),
                "key file other-key: this is not the key of the first certificate in cert",
            ),
            (
                (None, Some("cert"), Some("locked")),
                "key file locked: the key in it is encrypted; write it anew without a passphrase: `openssl pkey -in FILE \
                 -out NEW`, readable for this user alone",
            ),
        ] {
            assert_eq!(files.said(ca, certificate, key), format!("schema registry, {said}"));
        }
    }
}
