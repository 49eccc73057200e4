//! What a connection to the database is to have of TLS: libpq's variables and default files, with libpq's meaning, so
//! that whoever can use psql has nothing to learn. Pure; `dial` reads the files and shakes hands.

use std::path::{Path, PathBuf};

/// How far a connection insists on TLS: `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Disable,
    /// Only where the server lets nobody in without.
    Allow,
    /// Where the server has it, and without where the handshake fails.
    #[default]
    Prefer,
    /// Nobody on the way reads; who answers is not checked, unless there is a file of authorities.
    Require,
    /// An authority that we know vouches for who answers.
    VerifyCa,
    /// And vouches for this very name.
    VerifyFull,
}

const MODES: [(&str, Mode); 6] = [
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

impl Mode {
    /// As libpq writes it.
    pub fn name(self) -> &'static str {
        MODES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    /// Whether a server that cannot be checked is none.
    pub fn verifies(self) -> bool {
        self >= Self::VerifyCa
    }
}

/// Who may vouch for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Those that the system trusts: `sslrootcert=system`.
    System,
    /// Those of a PEM file. Without it nothing is checked, which only [`Mode::verifies`] minds.
    File(PathBuf),
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

const VERSIONS: [(&str, Version); 4] =
    [("tlsv1", Version::V1_0), ("tlsv1.1", Version::V1_1), ("tlsv1.2", Version::V1_2), ("tlsv1.3", Version::V1_3)];

/// Whether the proof of the password is tied to the server's certificate: `channel_binding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Binding {
    Disable,
    #[default]
    Prefer,
    Require,
}

const BINDINGS: [(&str, Binding); 3] =
    [("disable", Binding::Disable), ("prefer", Binding::Prefer), ("require", Binding::Require)];

/// What a connection is to have of TLS. The default is libpq's, without any file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub mode: Mode,
    pub authorities: Option<Authorities>,
    /// PEM: what we show to a server that asks. A file that is not there is none.
    pub certificate: Option<PathBuf>,
    /// PEM: its key, for this user alone to read.
    pub key: Option<PathBuf>,
    /// PEM: certificates that their authorities have taken back. A file that is not there is none.
    pub revoked: Option<PathBuf>,
    pub min_version: Version,
    pub max_version: Option<Version>,
    /// Whether the server is told by which name it is called.
    pub tells_name: bool,
    pub binding: Binding,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            authorities: None,
            certificate: None,
            key: None,
            revoked: None,
            min_version: Version::V1_2,
            max_version: None,
            tells_name: true,
            binding: Binding::default(),
        }
    }
}

impl Tls {
    /// From the environment: `variable` gives PGSSLMODE and its like, and HOME.
    ///
    /// # Errors
    /// The variable, its value and what it may be; or two that contradict each other.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = said("HOME").map(|home| Path::new(&home).join(".postgresql"));
        let file =
            |name: &str, usual: &str| said(name).map(PathBuf::from).or_else(|| Some(folder.as_ref()?.join(usual)));
        let default = Self::default();
        let required = said("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')).then_some(Mode::Require);
        let mode = one_of("PGSSLMODE", &said, &MODES)?.or(required);
        let authorities = file("PGSSLROOTCERT", "root.crt").map(|path| match path.to_str() {
            Some("system") => Authorities::System,
            _ => Authorities::File(path),
        });
        // whoever trusts every authority in the world has to look at the name
        let is_system = authorities == Some(Authorities::System);
        let usual = if is_system { Mode::VerifyFull } else { default.mode };
        let tls = Self {
            mode: mode.unwrap_or(usual),
            authorities,
            certificate: file("PGSSLCERT", "postgresql.crt"),
            key: file("PGSSLKEY", "postgresql.key"),
            revoked: file("PGSSLCRL", "root.crl"),
            min_version: one_of("PGSSLMINPROTOCOLVERSION", &said, &VERSIONS)?.unwrap_or(default.min_version),
            max_version: one_of("PGSSLMAXPROTOCOLVERSION", &said, &VERSIONS)?,
            tells_name: said("PGSSLSNI").is_none_or(|value| value != "0"),
            binding: one_of("PGCHANNELBINDING", &said, &BINDINGS)?.unwrap_or_default(),
        };
        tls.check(is_system)?;
        match said("PGSSLCRLDIR").or_else(|| said("PGGSSENCMODE").filter(|mode| mode == "require")) {
            Some(_) => Err("PGSSLCRLDIR and PGGSSENCMODE=require are not known here; use PGSSLCRL, and TLS".to_owned()),
            None => Ok(tls),
        }
    }

    fn check(&self, is_system: bool) -> Result<(), String> {
        if is_system && self.mode != Mode::VerifyFull {
            let mode = self.mode.name();
            return Err(format!(
                "PGSSLMODE is {mode}, which PGSSLROOTCERT=system is too wide for; make it verify-full"
            ));
        }
        match self.max_version {
            Some(max) if max < self.min_version => {
                Err("PGSSLMAXPROTOCOLVERSION is below PGSSLMINPROTOCOLVERSION, which is TLSv1.2 if nothing is said"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn one_of<T: Copy>(
    name: &str,
    said: &impl Fn(&str) -> Option<String>,
    known: &[(&str, T)],
) -> Result<Option<T>, String> {
    let Some(value) = said(name) else { return Ok(None) };
    let found = known.iter().find(|(known, _)| value.eq_ignore_ascii_case(known));
    match found {
        Some((_, meant)) => Ok(Some(*meant)),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let shown = crate::line::excerpt(&value, 40);
            Err(format!("{name} is `{shown}`; it may be {}", names.join(", ").replace("tlsv", "TLSv")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Tls, String> {
        Tls::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_said_is_as_libpq_has_it() {
        assert_eq!(of(&[]).unwrap(), Tls::default());
        let tls = of(&[("HOME", "/home/etl"), ("PGSSLMODE", "")]).unwrap();
        let folder = |name| Some(Path::new("/home/etl/.postgresql").join(name));
        assert_eq!(tls.mode, Mode::Prefer);
        assert_eq!(tls.authorities, folder("root.crt").map(Authorities::File));
        assert_eq!((tls.certificate, tls.key), (folder("postgresql.crt"), folder("postgresql.key")));
        assert_eq!((tls.revoked, tls.min_version), (folder("root.crl"), Version::V1_2));
    }

    #[test]
    fn variables_are_understood() {
        let tls = of(&[
            ("HOME", "/home/etl"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/etc/ca.pem"),
            ("PGSSLCERT", "me.pem"),
            ("PGSSLKEY", "me.key"),
            ("PGSSLMINPROTOCOLVERSION", "TLSv1.3"),
            ("PGSSLMAXPROTOCOLVERSION", "tlsv1.3"),
            ("PGSSLSNI", "0"),
            ("PGCHANNELBINDING", "require"),
        ]);
        let expected = Tls {
            mode: Mode::VerifyFull,
            authorities: Some(Authorities::File("/etc/ca.pem".into())),
            certificate: Some("me.pem".into()),
            key: Some("me.key".into()),
            revoked: Some("/home/etl/.postgresql/root.crl".into()),
            min_version: Version::V1_3,
            max_version: Some(Version::V1_3),
            tells_name: false,
            binding: Binding::Require,
        };
        assert_eq!(tls.unwrap(), expected);
        assert_eq!(of(&[("PGREQUIRESSL", "1")]).unwrap().mode, Mode::Require);
        assert_eq!(of(&[("PGREQUIRESSL", "1"), ("PGSSLMODE", "allow")]).unwrap().mode, Mode::Allow);
        assert_eq!(of(&[("PGSSLROOTCERT", "system")]).unwrap().mode, Mode::VerifyFull);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        for (variables, said) in [
            (
                &[("PGSSLMODE", "verify_full")][..],
                "PGSSLMODE is `verify_full`; it may be disable, allow, prefer, require, verify-ca, verify-full",
            ),
            (
                &[("PGSSLMINPROTOCOLVERSION", "1.2")],
                "PGSSLMINPROTOCOLVERSION is `1.2`; it may be TLSv1, TLSv1.1, TLSv1.2, TLSv1.3",
            ),
            (
                &[("PGSSLMAXPROTOCOLVERSION", "TLSv1.1")],
                "PGSSLMAXPROTOCOLVERSION is below PGSSLMINPROTOCOLVERSION, which is TLSv1.2 if nothing is said",
            ),
            (
                &[("PGSSLROOTCERT", "system"), ("PGSSLMODE", "require")],
                "PGSSLMODE is require, which PGSSLROOTCERT=system is too wide for; make it verify-full",
            ),
            (
                &[("PGSSLCRLDIR", "/etc/crl")],
                "PGSSLCRLDIR and PGGSSENCMODE=require are not known here; use PGSSLCRL, and TLS",
            ),
        ] {
            assert_eq!(of(variables).unwrap_err(), said);
        }
    }
}
