//! `gpkafka segment URL…`: one segment's reader, for PostgreSQL's `file_fdw` and for a probe on a segment host.

use std::io::{BufWriter, Write as _};
use std::time::Duration;

use super::{Exit, SegmentArgs};
use crate::gpfdist::client::{self, Options};

/// As long as a real segment waits in a session of ours (`readable_external_table_timeout`): a loader that has nothing to
/// send still sends a heartbeat every second, and one whose host is gone must not hold PostgreSQL's locks for ever.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Reads every URL to its end, in the order given, and writes the rows to stdout.
///
/// # Errors
/// 1 as a real segment would fail: connection cut, an error from the loader, a stream without its end; 64 for what is no
/// url.
pub fn run(args: &SegmentArgs) -> Result<(), Exit> {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    for url in &args.urls {
        let options = Options {
            segment_id: args.segment_id,
            segment_count: args.segment_count,
            xid: args.xid.clone(),
            cid: args.cid.clone(),
            sn: args.sn.clone(),
            proto: args.proto,
            discard: args.discard,
            silence_max: Some(SILENCE_MAX),
            ..Options::new(url)
        };
        if client::is_server(url) {
            let status = client::status(&options).map_err(failed)?;
            drop(writeln!(out, "{url} answers: {status}"));
            continue;
        }
        let fetched = client::fetch(&options, &mut out).map_err(failed)?;
        if args.discard {
            // whoever reads the sums may have gone; the exit code tells the rest
            drop(writeln!(
                std::io::stderr(),
                "{} rows, {} bytes, {} blocks",
                fetched.rows,
                fetched.bytes,
                fetched.blocks
            ));
        }
    }
    out.flush().map_err(|error| Exit::failed(format!("writing rows to stdout failed: {error}")))
}

/// A url that is none is known without any server.
fn failed(error: client::Error) -> Exit {
    match error {
        client::Error::Url { .. } => Exit::usage(error),
        _ => Exit::failed(error),
    }
}
