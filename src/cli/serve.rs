//! `gpkafka serve DIR`: the server alone, over the files of a folder, as Greenplum's `gpfdist -d DIR` is.

use std::sync::Arc;
use std::time::Duration;

use super::callback::this_host;
use super::{Exit, ServeArgs, console};
use crate::gpfdist::{Server, Settings, Tls, TlsFiles};
use crate::job::threads;
use crate::metrics::Metrics;
use crate::service::files::Files;
use crate::shutdown::{Shutdown, Urgency};

/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until Ctrl-C or SIGTERM; scans that are open then fail.
///
/// # Errors
/// 64 for what is no folder and for files of TLS, 1 where it cannot listen.
pub fn run(args: &ServeArgs) -> Result<(), Exit> {
    let files = Files::under(&args.dir).map_err(Exit::usage)?;
    let tls = args.ssl.as_deref().map(|folder| Tls::read(&TlsFiles::of_folder(folder)));
    let tls = tls.transpose().map_err(Exit::usage)?;
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    let settings =
        Settings { bind: args.host, port: args.port, port_is_asked: true, tls: tls.clone(), ..Settings::default() };
    let root = files.root().display().to_string();
    let server = Server::serve(&settings, &Metrics::default(), Arc::new(files)).map_err(Exit::failed)?;
    let address = server.address();
    // segments call a name, not every address of this machine
    let mut called = match address.ip() {
        ip if ip.is_unspecified() => this_host(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let mut scheme = "gpfdist";
    if let Some(tls) = &tls {
        // segments check it, so that an address is mostly none to call
        (scheme, called) = ("gpfdists", tls.name_for(&called));
    }
    let port = address.port();
    console::print(&format!("gpkafka serves {root} at {address}: LOCATION ('{scheme}://{called}:{port}/FILE')\n"))?;
    while shutdown.urgency() == Urgency::None {
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
