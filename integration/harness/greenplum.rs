//! A real Greenplum 6 cluster on this machine, from an installed GPHOME: a coordinator and segments, no mirrors.
//!
//! Where GPHOME holds no server, tests that need one return at once, and are counted: `integration/test` says how many.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::database::{Database, Kind};
use super::place::{free_port, log, note_not_run};
use super::process::{Output, Supervised, User, directory, run, wait_ready};
use super::registry::Authority;

/// Where a server is looked for.
const GPHOME_DEFAULT: &str = "/usr/local/greenplum-db";

/// The shared cluster with so many segments, started by the first test that asks; `None` where no server is
/// installed, and then the test that asked is noted as not run.
///
/// # Panics
/// When it cannot start, or when none is installed and `GPKAFKA_REQUIRE_GREENPLUM` is 1.
pub fn greenplum(segments: u32) -> Option<&'static Database> {
    static CLUSTERS: Mutex<BTreeMap<u32, &'static OnceLock<Database>>> = Mutex::new(BTreeMap::new());
    let home = gphome();
    if !home.join("bin/initdb").is_file() {
        not_run(&home);
        return None;
    }
    let cell = {
        let mut clusters = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
        *clusters.entry(segments).or_insert_with(|| Box::leak(Box::default()))
    };
    Some(cell.get_or_init(|| start(&home, segments)))
}

/// A cluster of one's own, for tests that crash it. It ends when it is dropped.
///
/// # Panics
/// As [`greenplum`].
pub fn own_greenplum(segments: u32) -> Option<Database> {
    let home = gphome();
    if !home.join("bin/initdb").is_file() {
        not_run(&home);
        return None;
    }
    Some(start(&home, segments))
}

/// Who vouches for the segments of every cluster here, `segment`, and whom they trust.
pub fn segments_authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("gpkafka tests: segments"))
}

/// What a segment needs for `gpfdists://`.
fn certify(node: &Node) {
    let (folder, authority) = (node.data.join("gpfdists"), segments_authority());
    let (certificate, key) = authority.issue("segment");
    std::fs::create_dir(&folder).expect("the data directory is new");
    for (name, bytes) in [("client.crt", certificate), ("client.key", key), ("root.crt", authority.pem())] {
        std::fs::write(folder.join(name), bytes).expect("the data directory is writable");
    }
}

/// Greenplum's own file server over a directory, and its port; it ends when it is dropped.
///
/// # Panics
/// When it does not start.
pub fn gpfdist(dir: &Path) -> (Supervised, u16) {
    let (home, port) = (gphome(), free_port());
    let program = home.join("bin/gpfdist");
    assert!(program.is_file(), "a Greenplum server comes with {}", program.display());
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", home.join("lib")).arg("-d").arg(dir).args(["-p", &port.to_string()]);
    let path = dir.join("gpfdist.log");
    let mut server = Supervised::start(&command, User::current(), "TERM", &Output::log(&path));
    let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_ready(&mut server, "gpfdist", &path, is_up);
    (server, port)
}

/// Where a server is installed, if one is.
fn gphome() -> PathBuf {
    std::env::var_os("GPHOME").map_or_else(|| GPHOME_DEFAULT.into(), PathBuf::from)
}

/// Notes that the calling test does not run: one line a test in the file that `integration/test` names, and one line
/// in all on stderr.
fn not_run(home: &Path) {
    static SAID: OnceLock<()> = OnceLock::new();
    let reason = format!("no server under GPHOME={}", home.display());
    assert!(std::env::var_os("GPKAFKA_REQUIRE_GREENPLUM").is_none_or(|value| value != "1"), "greenplum: {reason}");
    note_not_run("greenplum");
    SAID.get_or_init(|| {
        // Past the capture of the test's output.
        drop(writeln!(std::io::stderr(), "greenplum: tests that need it do not run: {reason}"));
    });
}

struct Node {
    /// −1 is the coordinator.
    content: i32,
    dbid: i32,
    port: u16,
    data: PathBuf,
}

fn start(home: &Path, segments: u32) -> Database {
    let user = user();
    let dir = directory("greenplum", user);
    let last = i32::try_from(segments).expect("a few segments") - 1;
    let node =
        |content: i32| Node { content, dbid: content + 2, port: free_port(), data: dir.join(format!("n{content}")) };
    let nodes: Vec<Node> = (-1..=last).map(node).collect();
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| init(home, user, &dir, node));
        }
    });
    nodes[1..].iter().for_each(certify);
    register(home, user, &dir, &nodes);
    let mut servers: Vec<Supervised> =
        nodes[1..].iter().map(|node| serve(home, user, &dir, node, &["-c", "gp_role=execute"])).collect();
    for (server, node) in servers.iter_mut().zip(&nodes[1..]) {
        wait_listening(server, node);
    }
    let mut coordinator = serve(home, user, &dir, &nodes[0], &["-E"]);
    let database = Database {
        kind: Kind::Greenplum { segments },
        host: "127.0.0.1".into(),
        port: nodes[0].port,
        user: "gpadmin".into(),
        dbname: "postgres".into(),
        servers: Mutex::default(),
    };
    let counted = format!("{}", segments);
    wait_ready(&mut coordinator, "Greenplum", &log_of(&nodes[0]), || {
        let Ok(mut client) = database.try_connect_as("gpadmin") else { return false };
        let sql = "SELECT count(*)::text FROM gp_dist_random('gp_id')";
        client.query_one(sql, &[]).is_ok_and(|row| row.get::<_, String>(0) == counted)
    });
    servers.insert(0, coordinator);
    Database { servers: Mutex::new(servers), ..database }
}

/// A GPHOME's program as the server's OS user.
fn program(home: &Path, user: User, dir: &Path, name: &str) -> Command {
    let mut command = Command::new(home.join("bin").join(name));
    command.env("GPHOME", home).env("LD_LIBRARY_PATH", home.join("lib")).env("LC_ALL", "C.UTF-8");
    command.env("HOME", dir).current_dir(dir);
    user.run(&mut command);
    command
}

fn init(home: &Path, user: User, dir: &Path, node: &Node) {
    let connections = if node.content < 0 { 150 } else { 450 };
    let mut initdb = program(home, user, dir, "initdb");
    initdb.args(["-E", "UTF8", "--locale=C.UTF-8", "--shared_buffers=128MB", "-N", "-U", "gpadmin"]);
    initdb.arg(format!("--max_connections={connections}")).arg("-D").arg(&node.data);
    run(initdb.arg(format!("--backend_output={}", dir.join(format!("initdb{}", node.content)).display())));
    let settings = format!(
        "port={}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{}'\ngp_contentid={}\nfsync=off\nfull_page_writes=off\n",
        node.port,
        dir.display(),
        node.content
    );
    append(&node.data.join("postgresql.conf"), &settings);
    append(&node.data.join("internal.auto.conf"), &format!("gp_dbid={}\n", node.dbid));
    append(&node.data.join("pg_hba.conf"), "host all all 127.0.0.1/32 trust\nlocal all all trust\n");
}

/// Writes the cluster's nodes into the coordinator's catalog, in single-user mode.
fn register(home: &Path, user: User, dir: &Path, nodes: &[Node]) {
    let mut sql = String::from("SET allow_system_table_mods=true;\n");
    for node in nodes {
        let (dbid, content, port, data) = (node.dbid, node.content, node.port, node.data.display());
        sql += &format!(
            "INSERT INTO gp_segment_configuration VALUES ({dbid},{content},'p','p','n','u',{port},'127.0.0.1','127.0.0.1','{data}');\n"
        );
    }
    let mut server = serve(home, user, dir, &nodes[0], &["-c", "gp_role=utility"]);
    let mut config = postgres::Config::new();
    config.host("127.0.0.1").port(nodes[0].port).user("gpadmin").dbname("postgres");
    config.options("-c gp_session_role=utility");
    let mut client = None;
    wait_ready(&mut server, "the coordinator in utility mode", &log_of(&nodes[0]), || {
        client = config.connect(postgres::NoTls).ok();
        client.is_some()
    });
    let mut client = client.expect("it was waited for");
    for statement in sql.lines() {
        client.simple_query(statement).unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    drop(client);
    server.signal("INT");
    server.wait(std::time::Duration::from_secs(30)).expect("a fast shutdown ends");
}

fn serve(home: &Path, user: User, dir: &Path, node: &Node, role: &[&str]) -> Supervised {
    let mut server = program(home, user, dir, "postgres");
    server.arg("-D").arg(&node.data).args(role);
    Supervised::start(&server, user, "QUIT", &Output::log(&log_of(node)))
}

/// A segment takes sessions from its coordinator only; what it tells anyone else shows that it is up.
fn wait_listening(server: &mut Supervised, node: &Node) {
    let mut config = postgres::Config::new();
    config.host("127.0.0.1").port(node.port).user("gpadmin").dbname("postgres");
    let starts_up = Some(&postgres::error::SqlState::CANNOT_CONNECT_NOW);
    wait_ready(server, "a segment", &log_of(node), || match config.connect(postgres::NoTls) {
        Ok(_) => true,
        Err(error) => error.code().is_some() && error.code() != starts_up,
    });
}

fn log_of(node: &Node) -> PathBuf {
    log(&format!("greenplum-{}", node.port))
}

fn append(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// Who runs the servers: they refuse root.
fn user() -> User {
    let current = User::current();
    if current.uid != 0 {
        return current;
    }
    User::named("gpadmin").unwrap_or_else(|| {
        run(Command::new("useradd").args(["--create-home", "gpadmin"]));
        User::named("gpadmin").expect("it was just made")
    })
}
