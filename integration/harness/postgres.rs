//! A PostgreSQL of one node from the system's package, run as the OS user `postgres` when the tests run as root.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::database::{Database, Kind};
use super::place::{free_port, log};
use super::process::{Output, Supervised, User, directory, run, wait_ready};

/// The shared server, started by the first test that asks.
///
/// # Panics
/// When none is installed or it cannot start, with the end of its log.
pub fn postgres() -> &'static Database {
    static SERVER: OnceLock<Database> = OnceLock::new();
    SERVER.get_or_init(start)
}

/// A server of one's own, for tests that crash it. It ends when it is dropped.
///
/// # Panics
/// As [`postgres`].
pub fn own_postgres() -> Database {
    start()
}

fn start() -> Database {
    let bin = bin();
    let user = user();
    let dir = directory("postgres", user);
    let data = dir.join("data");
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data);
    run(user.run(initdb.current_dir(&dir)));
    let port = free_port();
    let mut server = Command::new(bin.join("postgres"));
    server.arg("-D").arg(&data).current_dir(&dir);
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        format!("unix_socket_directories={}", dir.display()),
        // Throwaway: nothing has to survive the machine.
        "fsync=off".into(),
        "full_page_writes=off".into(),
        "max_connections=200".into(),
        "max_wal_size=4GB".into(),
        "log_statement=ddl".into(),
    ] {
        server.arg("-c").arg(setting);
    }
    let path = log(&format!("postgres-{port}"));
    let server = Supervised::start(&server, user, "QUIT", &Output::log(&path));
    let database = Database {
        kind: Kind::Postgres,
        host: "127.0.0.1".into(),
        port,
        user: "postgres".into(),
        dbname: "postgres".into(),
        servers: Mutex::default(),
    };
    let mut server = server;
    wait_ready(&mut server, "PostgreSQL", &path, || database.try_connect_as("postgres").is_ok());
    Database { servers: Mutex::new(vec![server]), ..database }
}

/// Who may run a server: it refuses root.
fn user() -> User {
    let current = User::current();
    if current.uid != 0 {
        return current;
    }
    User::named("postgres").expect("Debian's package makes the OS user postgres; integration/test installs it")
}

/// The newest version's programs.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file()).max_by_key(number);
    newest.expect("no PostgreSQL server is installed; integration/test installs it").join("bin")
}
