//! Where segments call back, and with what: from flags, job file and gpss.json, for every subcommand that is called.

use super::{Exit, GpfdistArgs};
use crate::config::{Job, ServerFile};
use crate::gpfdist::{Settings, Tls};

/// Where segments call, and the server that is to listen for them.
#[derive(Debug)]
pub struct Callback {
    pub host: String,
    pub gpfdist: Settings,
    /// What segments may mind.
    pub warning: Option<String>,
}

/// Flags come before the job file, the job file before gpss.json, gpss.json before defaults: this machine's name, or where
/// its certificate has another one, that.
///
/// # Errors
/// 64: a file of TLS cannot be used.
pub fn callback(args: &GpfdistArgs, job: &Job, file: Option<&ServerFile>) -> Result<Callback, Exit> {
    let host = args.gpfdist_host.clone().or_else(|| job.callback.host.clone());
    let host = host.or_else(|| file.and_then(|file| file.host.clone()));
    let port = args.gpfdist_port.or(job.callback.port).or(file.and_then(|file| file.port));
    let mut gpfdist = Settings::default();
    if let Some(port) = port {
        gpfdist.port = port;
        gpfdist.port_is_asked = port != 0;
    }
    if let Some(bind) = file.and_then(|file| file.bind_address) {
        gpfdist.bind = bind;
    }
    let files = file.and_then(|file| file.certificate.as_ref());
    gpfdist.tls = files.map(Tls::read).transpose().map_err(Exit::usage)?;
    let own = || gpfdist.tls.as_ref().map_or_else(this_host, |tls| tls.name_for(&this_host()));
    let host = host.unwrap_or_else(own);
    let warning = gpfdist.tls.as_ref().filter(|tls| !tls.is_for(&host)).map(|tls| foreign(tls, &host));
    Ok(Callback { host, gpfdist, warning })
}

/// This machine's own name.
pub fn this_host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// What is said where segments call a name that the certificate does not have.
fn foreign(tls: &Tls, host: &str) -> String {
    format!(
        "segments are to call {host}, and the certificate is for {}: they refuse it unless verify_gpfdists_cert is off; give \
         --gpfdist-host a name that it has, or have one made for {host}",
        tls.names().join(", ")
    )
}
