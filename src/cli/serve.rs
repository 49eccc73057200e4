//! `gpkafka serve DIR`: the server alone, over the files of a folder, as Greenplum's `gpfdist -d DIR` is.

use std::sync::Arc;
use std::time::Duration;

use super::{Exit, ServeArgs, console, load};
use crate::gpfdist::{Server, Settings};
use crate::job::threads;
use crate::metrics::Metrics;
use crate::service::files::Files;
use crate::shutdown::{Shutdown, Urgency};

/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until Ctrl-C or SIGTERM; scans that are open then fail.
///
/// # Errors
/// 64 for what is no folder, 1 where it cannot listen.
pub fn run(args: &ServeArgs) -> Result<(), Exit> {
    let files = Files::under(&args.dir).map_err(Exit::usage)?;
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    let settings = Settings { bind: args.host, port: args.port, port_is_asked: true, ..Settings::default() };
    let root = files.root().display().to_string();
    let server = Server::serve(&settings, &Metrics::default(), Arc::new(files)).map_err(Exit::failed)?;
    let address = server.address();
    // segments call a name, not every address of this machine
    let called = match address.ip().is_unspecified() {
        true => format!("{}:{}", load::this_host(), address.port()),
        false => address.to_string(),
    };
    console::print(&format!("gpkafka serves {root} at {address}: LOCATION ('gpfdist://{called}/FILE')\n"))?;
    while shutdown.urgency() == Urgency::None {
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
