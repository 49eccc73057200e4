//! What the registry's client needs to know from a job file, and its own defaults. `config` fills it in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use crate::password::Password;

/// Where the registry is and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `http://` or `https://`, with a path where the registry has one, and with `user:password@` where it wants that.
    /// Tried in turn, the one that worked last first.
    pub urls: Vec<String>,
    /// Basic authentication, for addresses that bring none of their own.
    pub user: Option<String>,
    pub password: Option<Password>,
    /// PEM: the authorities that may vouch for the registry, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate that we show, and those between it and its authority.
    pub certificate_file: Option<PathBuf>,
    /// PEM: the key of the certificate; `None` where it lies in the same file.
    pub key_file: Option<PathBuf>,
    /// `None` is the TLS library's own.
    pub min_tls_version: Option<TlsVersion>,
    /// Of one request to one address, from the connection to the last byte.
    pub timeout: Duration,
}

impl Settings {
    /// A registry that is well answers within milliseconds; much more than a busy one needs, short enough that the next
    /// address gets its turn.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Settings with every default.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            user: None,
            password: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            min_tls_version: None,
            timeout: Self::TIMEOUT,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.urls.iter().map(|url| Address::without_credentials(url)).collect();
        f.debug_struct("Settings")
            .field("urls", &urls)
            .field("user", &self.user)
            .field("password", &self.password)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("min_tls_version", &self.min_tls_version)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

impl TlsVersion {
    /// From `1.2`, as the original's files write it, or `TLSv1.2`, as OpenSSL does.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        match text.strip_prefix("tls").unwrap_or(&text).trim_start_matches(['v', ' ', '_']) {
            "1" | "1.0" => Some(Self::V1_0),
            "1.1" => Some(Self::V1_1),
            "1.2" => Some(Self::V1_2),
            "1.3" => Some(Self::V1_3),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let mut settings = Settings::new(["https://u:secret@a:8081/x", "no url: u:secret@b", "http://c"]);
        settings.user = Some("etl".to_owned());
        settings.password = Some(Password::new("secret"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("https://a:8081/x") && shown.contains("http://c") && shown.contains("etl"), "{shown}");
    }

    #[test]
    fn versions_of_tls_are_written_in_several_ways() {
        for (text, version) in [
            ("1.0", Some(TlsVersion::V1_0)),
            ("1.1", Some(TlsVersion::V1_1)),
            (" TLSv1.2 ", Some(TlsVersion::V1_2)),
            ("tls 1.3", Some(TlsVersion::V1_3)),
            ("1.4", None),
            ("", None),
        ] {
            assert_eq!(TlsVersion::parse(text), version, "{text}");
        }
    }
}
