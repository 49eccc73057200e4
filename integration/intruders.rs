//! Whoever reaches the port of a running load and means ill: the load goes on.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::flow::Flow;
use crate::harness::{SOON, free_port, greenplum, postgres, wait_until};

/// As the issue of it says.
const CONNECTIONS: usize = 10_000;

/// What else this process has open.
const OTHERS: u64 = 2_000;

fn connect(port: u16, at: usize) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let said = match at % 4 {
        // says nothing, or not all, or has got its answer and stays
        0 => "",
        1 => "GET /v1/",
        2 => "GET /v1/x/all/0000 HTTP/1.1\r\nHost: x\r\n\r\n",
        _ => "what is this\r\n\r\n",
    };
    stream.write_all(said.as_bytes()).ok()?;
    Some(stream)
}

/// From a shell that gives it 1024 descriptors.
#[test]
fn ten_thousand_idle_connections_stop_no_load() {
    let db = greenplum(2).unwrap_or_else(|| postgres());
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    let allowed = limits.maximum.unwrap_or(u64::MAX);
    let connections = CONNECTIONS.min(usize::try_from(allowed.saturating_sub(OTHERS)).unwrap());
    let flow = Flow::new(db, "intruders", 2);
    let port = free_port();
    let job = flow.job().commit("MINIMAL_INTERVAL: 200");
    let mut load = flow
        .loader(&job)
        .args(["--gpfdist-host", "127.0.0.1", "--gpfdist-port", &port.to_string()])
        .with_descriptors(1024)
        .start();
    load.wait_for_text(SOON, "gpkafka job has started");
    let count = || db.number(&format!("SELECT count(*) FROM {}.t", flow.schema));
    let mut produced = 0;
    let mut kept = Vec::new();
    for at in 0..connections {
        kept.extend(connect(port, at));
        if at % (connections / 4) == 0 {
            flow.produce(0, produced..produced + 50);
            produced += 50;
        }
    }
    flow.produce(1, 0..50);
    wait_until(SOON, "all rows to be loaded beside them", || count() == produced + 50);
    let open = std::fs::read_dir(format!("/proc/{}/fd", load.pid())).unwrap().count();
    assert!(open < 4096, "{open} descriptors are open");
    load.signal("INT");
    load.wait(SOON).expect_code(0).expect_calm(&[]);
    assert!(kept.len() > connections / 2, "{} of {connections} could connect at all", kept.len());
}
