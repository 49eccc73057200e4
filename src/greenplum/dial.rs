//! How a session begins: the knock, the handshake of TLS as [`Tls`] has it, the login; and what is said where one of them
//! fails. The only file of this stage that names OpenSSL.

use std::net::ToSocketAddrs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use postgres::config::{ChannelBinding, SslMode};
use postgres::{CancelToken, Client, Config, NoTls};
use postgres_openssl::MakeTlsConnector;

use super::failure::{Error, chain, one_line};
use super::knock::knock;
use super::settings::Settings;
use super::tls::{Authorities, Binding, Mode, Tls, Version};
use crate::pem;

/// Cancels whatever a session is running. Clones and may go to another thread.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    /// As the session has it: the request holds its secret key.
    tls: Option<MakeTlsConnector>,
}

impl Canceller {
    /// Asks the server to cancel; the statement then fails in its own thread with SQLSTATE 57014.
    ///
    /// # Errors
    /// The server could not be reached.
    ///
    /// # Blocks
    /// Up to the connect timeout; never call it on a tokio thread.
    pub fn cancel(&self) -> Result<(), Error> {
        let asked = match &self.tls {
            Some(tls) => self.token.cancel_query(tls.clone()),
            None => self.token.cancel_query(NoTls),
        };
        asked.map_err(|error| Error::from_client("cancelling a statement", &error))
    }
}

/// A session that has begun, and what its cancellation is to be like.
pub(super) struct Line {
    pub client: Client,
    tls: Option<MakeTlsConnector>,
}

impl Line {
    pub(super) fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), tls: self.tls.clone() }
    }
}

/// Begins a session. `config` has all but TLS.
///
/// # Errors
/// [`Error::Connect`]: cause, then what to do.
///
/// # Blocks
/// Up to the connect timeout twice for each address that the host has; then while the server decides who we are.
pub(super) fn dial(settings: &Settings, config: &Config) -> Result<Line, Error> {
    knock(&settings.host, settings.port, settings.connect_timeout)
        .map_err(|reason| unconnected(settings, format!("{reason}; check HOST and PORT of the job file"), None))?;
    let mut config = config.clone();
    config.channel_binding(match settings.tls.binding {
        Binding::Disable => ChannelBinding::Disable,
        Binding::Prefer => ChannelBinding::Prefer,
        Binding::Require => ChannelBinding::Require,
    });
    // like libpq: nobody is on the way to a socket of this machine
    let mode = if settings.host.starts_with('/') { Mode::Disable } else { settings.tls.mode };
    let refused = |error: &postgres::Error| refused(settings, error);
    match mode {
        Mode::Disable => plain(&config).map_err(|error| refused(&error)),
        Mode::Allow => match plain(&config) {
            Err(first) if first.code().is_some() => secured(settings, &config, SslMode::Require)?
                .map_err(|error| refused(if lacks_tls(&error) { &first } else { &error })),
            other => other.map_err(|error| refused(&error)),
        },
        Mode::Prefer => match secured(settings, &config, SslMode::Prefer)? {
            Err(first) if is_about_tls(&first) => plain(&config).map_err(|_| refused(&first)),
            other => other.map_err(|error| refused(&error)),
        },
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => {
            secured(settings, &config, SslMode::Require)?.map_err(|error| refused(&error))
        }
    }
}

fn plain(config: &Config) -> Result<Line, postgres::Error> {
    let client = config.clone().ssl_mode(SslMode::Disable).connect(NoTls)?;
    Ok(Line { client, tls: None })
}

/// The outer error is one of our files.
fn secured(settings: &Settings, config: &Config, mode: SslMode) -> Result<Result<Line, postgres::Error>, Error> {
    let tls = connector(&settings.tls).map_err(|reason| unconnected(settings, reason, None))?;
    let client = config.clone().ssl_mode(mode).connect(tls.clone());
    Ok(client.map(|client| Line { client, tls: Some(tls) }))
}

/// Whether a session without TLS may get further: the handshake failed, or the server lets nobody in over it.
fn is_about_tls(error: &postgres::Error) -> bool {
    let text = chain(error);
    error.code().map_or_else(|| text.contains("TLS") || text.contains("SSL"), |code| code.code() == "28000")
}

fn lacks_tls(error: &postgres::Error) -> bool {
    chain(error).contains("server does not support TLS")
}

fn connector(tls: &Tls) -> Result<MakeTlsConnector, String> {
    let broken = |error: ErrorStack| format!("TLS cannot be set up: {error}");
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(broken)?;
    let versions = [Some(tls.min_version), tls.max_version].map(|version| version.map(number));
    builder.set_min_proto_version(versions[0]).map_err(broken)?;
    builder.set_max_proto_version(versions[1]).map_err(broken)?;
    if !trust(&mut builder, tls)? {
        builder.set_verify(SslVerifyMode::NONE);
    }
    show_certificate(&mut builder, tls)?;
    let mut connector = MakeTlsConnector::new(builder.build());
    let (tells_name, is_full) = (tls.tells_name, tls.mode == Mode::VerifyFull);
    connector.set_callback(move |connection, _| {
        connection.set_use_server_name_indication(tells_name);
        connection.set_verify_hostname(is_full);
        Ok(())
    });
    Ok(connector)
}

fn number(version: Version) -> SslVersion {
    match version {
        Version::V1_0 => SslVersion::TLS1,
        Version::V1_1 => SslVersion::TLS1_1,
        Version::V1_2 => SslVersion::TLS1_2,
        Version::V1_3 => SslVersion::TLS1_3,
    }
}

/// Whom to trust; whether there is anybody to trust at all.
fn trust(builder: &mut SslConnectorBuilder, tls: &Tls) -> Result<bool, String> {
    let path = match &tls.authorities {
        Some(Authorities::System) => return Ok(true),
        Some(Authorities::File(path)) if path.exists() => path,
        missing if tls.mode.verifies() => {
            let at = match missing {
                Some(Authorities::File(path)) => format!(" at {}", path.display()),
                _ => String::new(),
            };
            return Err(format!(
                "PGSSLMODE is {}, but there is no file of authorities{at}; have PGSSLROOTCERT name one (PEM), or `system` \
                 for those that the system trusts",
                tls.mode.name()
            ));
        }
        _ => return Ok(false),
    };
    let wrong = |cause: String| format!("PGSSLROOTCERT {}: {cause}", path.display());
    let broken = |error: ErrorStack| wrong(error.to_string());
    // a store of its own: those that the system trusts are not meant
    let mut store = X509StoreBuilder::new().map_err(broken)?;
    for certificate in pem::certificates(path).map_err(wrong)? {
        store.add_cert(certificate).map_err(broken)?;
    }
    if let Some(path) = tls.revoked.as_deref().filter(|path| path.exists()) {
        let wrong = |_: ErrorStack| format!("PGSSLCRL {}: there is no list of revocations in it", path.display());
        let lookup = store.add_lookup(X509Lookup::file()).map_err(wrong)?;
        lookup.load_crl_file(path, SslFiletype::PEM).map_err(wrong)?;
        store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL).map_err(wrong)?;
    }
    builder.set_cert_store(store.build());
    Ok(true)
}

/// The certificate that is shown to a server which asks.
fn shown(tls: &Tls) -> Option<&Path> {
    tls.certificate.as_deref().filter(|path| path.exists())
}

fn show_certificate(builder: &mut SslConnectorBuilder, tls: &Tls) -> Result<(), String> {
    let Some(path) = shown(tls) else { return Ok(()) };
    let wrong = |cause: String| format!("PGSSLCERT {}: {cause}", path.display());
    let certificates = pem::certificates(path).map_err(wrong)?;
    let Some(key_path) = tls.key.as_deref() else { return Err(wrong("PGSSLKEY is to name its key".to_owned())) };
    let wrong_key = |cause: String| format!("PGSSLKEY {}: {cause}", key_path.display());
    check_private(key_path).map_err(wrong_key)?;
    let key = pem::key_of(&certificates, path, key_path).map_err(wrong_key)?;
    let mut given = builder.set_private_key(&key);
    for (at, certificate) in certificates.into_iter().enumerate() {
        given = given.and_then(|()| match at {
            0 => builder.set_certificate(&certificate),
            _ => builder.add_extra_chain_cert(certificate),
        });
    }
    given.map_err(|error| wrong(error.to_string()))
}

/// Like libpq: root may own a key and let a group read it; any other is its owner's alone.
fn check_private(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    match metadata.mode() & forbidden {
        0 => Ok(()),
        _ => Err("others than its owner may use it, so it is no secret; run `chmod 0600` on it".to_owned()),
    }
}

/// `host:port`.
pub(super) fn address(settings: &Settings) -> String {
    format!("{}:{}", settings.host, settings.port)
}

fn unconnected(settings: &Settings, reason: String, state: Option<String>) -> Error {
    let (address, role, database) = (address(settings), settings.user.clone(), settings.database.clone());
    Error::Connect { address, role, database, reason, state }
}

/// One line: the cause, then what to do.
fn refused(settings: &Settings, error: &postgres::Error) -> Error {
    let state = error.code().map(|code| code.code().to_owned());
    let cause = error.as_db_error().map_or_else(|| chain(error), one_line);
    if let Some(reason) = of_tls(settings, state.as_deref(), &cause) {
        return unconnected(settings, reason, state);
    }
    let advice = match state.as_deref() {
        Some("28P01") => "check USER and PASSWORD of the job file",
        Some("28000") => "check USER, and have pg_hba.conf of the server let this host in",
        Some("3D000") => "check DATABASE of the job file",
        Some("53300" | "57P03") => "try again when the server accepts sessions",
        Some(_) => "ask the database's administrator",
        None if cause.contains("password missing") => "give PASSWORD in the job file, in PGPASSWORD or in ~/.pgpass",
        None if !resolves(settings) => "check HOST of the job file: this name resolves to no address here",
        None => "check that the server runs, and HOST and PORT of the job file",
    };
    unconnected(settings, format!("{cause}; {advice}"), state)
}

fn resolves(settings: &Settings) -> bool {
    settings.host.starts_with('/') || (settings.host.as_str(), settings.port).to_socket_addrs().is_ok()
}

/// What the library or the server say of TLS, in words for whoever runs a load: cause, then what to do.
fn of_tls(settings: &Settings, state: Option<&str>, cause: &str) -> Option<String> {
    let (host, tls) = (&settings.host, &settings.tls);
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    let authorities = match &tls.authorities {
        Some(Authorities::File(path)) => path.display().to_string(),
        _ => "the system".to_owned(),
    };
    let reason = match state {
        Some("28000") if has(&["valid client certificate"]) => {
            "the server wants a client certificate; have PGSSLCERT and PGSSLKEY name one and its key (PEM)".to_owned()
        }
        Some("28000") if has(&["certificate authentication failed"]) => {
            format!("{cause}; the name in the client certificate (PGSSLCERT) is to be the role's")
        }
        Some("28000") if has(&["no encryption", "SSL off"]) => {
            format!("{cause}; the server may want TLS: try PGSSLMODE=require, and verify-full where it can be had")
        }
        Some(_) => return None,
        None if has(&["server does not support TLS"]) => format!(
            "the server has no TLS, and PGSSLMODE is {}; have `ssl` turned on at the server, or where nobody else is on \
             the network say PGSSLMODE=prefer",
            tls.mode.name()
        ),
        None if has(&["hostname mismatch", "IP address mismatch"]) => format!(
            "the server's certificate is not for {host}; give HOST the name that is in the certificate, or have one made \
             for this name"
        ),
        None if has(&["self-signed certificate", "self signed certificate", "unable to get"]) => format!(
            "the server's certificate is by an authority that {authorities} does not vouch for; have PGSSLROOTCERT name \
             the file with the certificate of its authority"
        ),
        None if has(&["certificate verify failed"]) => {
            let why = cause.rsplit(": ").next().unwrap_or_default();
            format!("the server's certificate is not valid: {why}; have a new one installed at the server")
        }
        None if has(&["alert certificate required", "alert handshake failure"]) => {
            "the server wants a client certificate; have PGSSLCERT and PGSSLKEY name one and its key (PEM)".to_owned()
        }
        None if has(&["alert unknown ca", "alert bad certificate", "alert certificate"]) => {
            let said = cause.split("alert ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
            format!("the server refuses the client certificate of PGSSLCERT: {said}; have one made by its authority")
        }
        // it says why and closes at once: what it said may be lost with the connection
        None if has(&["Connection reset", "unexpected EOF"]) && shown(tls).is_some() => format!(
            "the server closed the connection as TLS began ({cause}); it may refuse the client certificate of PGSSLCERT: \
             have one made by its authority"
        ),
        None if has(&["protocol version", "unsupported protocol", "wrong version number", "no protocols"]) => {
            "server and loader have no version of TLS in common; look at ssl_min_protocol_version of the server, and \
             PGSSLMINPROTOCOLVERSION here"
                .to_owned()
        }
        None if has(&["channel binding"]) => {
            format!("{cause}; PGCHANNELBINDING=require wants TLS and a role whose password is kept as scram-sha-256")
        }
        None => return None,
    };
    Some(reason)
}
