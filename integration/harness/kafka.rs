//! Real Kafka brokers, each version one JVM of its own, from jars that Maven fetches once.
//!
//! 3.x and 4.x run as KRaft, 0.10 with a ZooKeeper of its own. Topics and records are in [`super::topic`].

use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::guarded::{Extra, Guarded};
use super::place::{cache, free_port, log, unique};
use super::process::{Output, Supervised, User, directory, run, wait_ready};
use super::registry::Authority;

/// A broker version that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The current one.
    V4_1_1,
    /// The last one with the older log formats and with both kinds of consumer groups.
    V3_9_1,
    /// The oldest promise of the original: no transactions, no headers, no leader epochs, no topic ids.
    V0_10_0_1,
}

impl Version {
    fn number(self) -> &'static str {
        match self {
            Self::V4_1_1 => "4.1.1",
            Self::V3_9_1 => "3.9.1",
            Self::V0_10_0_1 => "0.10.0.1",
        }
    }

    fn is_old(self) -> bool {
        self == Self::V0_10_0_1
    }

    fn artifact(self) -> &'static str {
        if self.is_old() { "kafka_2.11" } else { "kafka_2.13" }
    }

    /// librdkafka properties without which a client cannot talk to it.
    pub fn properties(self) -> &'static [(&'static str, &'static str)] {
        if self.is_old() { &[("api.version.request", "false"), ("broker.version.fallback", "0.10.0")] } else { &[] }
    }
}

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    pub version: Version,
    /// `127.0.0.1:PORT`, for BROKERS of a job file and for clients.
    pub bootstrap: String,
    /// The ZooKeeper's address, where there is one.
    pub zookeeper: Option<String>,
    dir: PathBuf,
    server: Option<Supervised>,
    _keeper: Option<Supervised>,
}

/// The shared broker of a version, started by the first test that asks.
///
/// # Panics
/// When it cannot start, with the end of its log.
pub fn kafka(version: Version) -> &'static Kafka {
    static NEW: OnceLock<Kafka> = OnceLock::new();
    static MIDDLE: OnceLock<Kafka> = OnceLock::new();
    static OLD: OnceLock<Kafka> = OnceLock::new();
    let cell = match version {
        Version::V4_1_1 => &NEW,
        Version::V3_9_1 => &MIDDLE,
        Version::V0_10_0_1 => &OLD,
    };
    cell.get_or_init(|| Kafka::start(version))
}

impl Kafka {
    /// A broker of one's own, for tests that kill or restart it. It ends when it is dropped.
    pub fn start(version: Version) -> Self {
        Self::start_at(version, free_port(), "127.0.0.1")
    }

    /// One that listens at this port of 127.0.0.1, and tells its clients to come to the same port of another address,
    /// where somebody must carry them on.
    pub fn start_at(version: Version, port: u16, advertised: &str) -> Self {
        Self::start_with(version, port, advertised, &|_, _| Extra::default())
    }

    /// The current version beside whose open port are three that are not: with passwords, with TLS and passwords, and with
    /// certificates. `users` have their passwords for PLAIN and for SCRAM.
    pub fn start_guarded(authority: &Authority, users: &[(&str, &str)]) -> (Self, Guarded) {
        let guarded = Guarded { sasl: free_port(), sasl_tls: free_port(), tls: free_port() };
        let extra = |dir: &Path, listeners: [String; 2]| guarded.extra(authority, users, dir, &listeners);
        (Self::start_with(Version::V4_1_1, free_port(), "127.0.0.1", &extra), guarded)
    }

    fn start_with(version: Version, port: u16, advertised: &str, extra: &dyn Fn(&Path, [String; 2]) -> Extra) -> Self {
        let jars = jars(version);
        let dir = directory("kafka", User::current());
        let side = free_port();
        let bootstrap = format!("{advertised}:{port}");
        write(&dir.join("log4j.properties"), LOG4J);
        let listeners = [
            format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{side}"),
            format!("PLAINTEXT://{advertised}:{port}"),
        ];
        let extra = extra(&dir, listeners);
        // of two lines for one key the later one counts
        let properties = server_properties(version, &dir, (port, advertised), side) + &extra.properties;
        write(&dir.join("server.properties"), &properties);
        let keeper = version.is_old().then(|| start_zookeeper(&jars, &dir, side));
        if !version.is_old() {
            format_storage(&jars, &dir, &extra.format);
        }
        let mut kafka = Self {
            version,
            bootstrap,
            zookeeper: version.is_old().then(|| format!("127.0.0.1:{side}")),
            dir,
            server: None,
            _keeper: keeper,
        };
        kafka.start_server();
        kafka
    }

    /// Brokers that somebody else has started, as clients see them.
    pub(super) fn view(version: Version, bootstrap: String) -> Self {
        let dir = directory("kafka-view", User::current());
        Self { version, bootstrap, zookeeper: None, dir, server: None, _keeper: None }
    }

    /// Kills the broker as a crash does; its data stays.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal("KILL");
            server.wait(Duration::from_secs(10)).expect("SIGKILL ends a process");
        }
    }

    /// Starts the broker, again after [`Kafka::kill`], and waits until it answers.
    pub fn start_server(&mut self) {
        let mut java = java(&jars(self.version), &self.dir, "768m");
        java.arg("kafka.Kafka").arg(self.dir.join("server.properties"));
        let path = log(&format!("kafka-{}-{}", self.version.number(), self.bootstrap.replace(':', "-")));
        let output = Output::log(&path);
        let mut server = Supervised::start(&java, User::current(), "KILL", &output);
        let client: BaseConsumer = self.client().create().expect("the client's settings are right");
        let what = format!("Kafka {} at {}", self.version.number(), self.bootstrap);
        wait_ready(&mut server, &what, &path, || {
            client.fetch_metadata(None, Duration::from_millis(500)).is_ok_and(|metadata| !metadata.brokers().is_empty())
        });
        self.server = Some(server);
    }

    /// Settings for any rdkafka client of this broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        // A broker that restarts is found again quickly; its absence is not worth a line on stderr.
        config.set("reconnect.backoff.max.ms", "500").set("log.connection.close", "false");
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        for (key, value) in self.version.properties() {
            config.set(*key, *value);
        }
        config
    }

    /// Changes bytes of a partition's first file behind the broker's back, as a bad disk does: `from`, which must be in
    /// it, becomes `to`, which is as long.
    pub fn damage(&self, topic: &str, partition: i32, from: &str, to: &str) {
        assert_eq!(from.len(), to.len(), "a disk moves nothing");
        let path = self.dir.join(format!("data/{topic}-{partition}/00000000000000000000.log"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("the bytes are there");
        let file = std::fs::File::options().write(true).open(&path).expect("the file is there");
        file.write_all_at(to.as_bytes(), at as u64).expect("the file is writable");
    }

    /// Runs one of Kafka's own command-line classes and returns what it prints.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        run(java(&jars(self.version), &self.dir, "256m").arg(class).args(args))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.server = None;
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

pub(super) const LOG4J: &str = "log4j.rootLogger=INFO, A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.SimpleLayout
";

/// What every version shares: small, quick to start, forgetful only when asked.
pub(super) const SERVER: &str = "offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
auto.create.topics.enable=false
delete.topic.enable=true
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
message.max.bytes=16000000
replica.fetch.max.bytes=16000000
";

fn server_properties(version: Version, dir: &Path, (port, advertised): (u16, &str), side: u16) -> String {
    let data = dir.join("data");
    let head = if version.is_old() {
        format!("broker.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port}\nzookeeper.connect=127.0.0.1:{side}\n")
    } else {
        format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{side}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{side}
advertised.listeners=PLAINTEXT://{advertised}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
"
        )
    };
    format!("{head}log.dirs={}\n{SERVER}", data.display())
}

fn start_zookeeper(jars: &Path, dir: &Path, port: u16) -> Supervised {
    let settings = dir.join("zookeeper.properties");
    let data = dir.join("zookeeper");
    write(&settings, &format!("dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n", data.display()));
    let mut java = java(jars, dir, "128m");
    java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(&settings);
    let path = log(&format!("zookeeper-{port}"));
    let output = Output::log(&path);
    let mut server = Supervised::start(&java, User::current(), "KILL", &output);
    wait_ready(&mut server, "ZooKeeper", &path, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    server
}

pub(super) fn format_storage(jars: &Path, dir: &Path, more: &[String]) {
    // Any 16 bytes in URL-safe base64 are a cluster id.
    let id = "Z3BrYWZrYS1pbnRlZ3JhdA";
    let mut java = java(jars, dir, "128m");
    run(java.args(["kafka.tools.StorageTool", "format", "-t", id, "-c"]).arg(dir.join("server.properties")).args(more));
}

pub(super) fn java(jars: &Path, dir: &Path, heap: &str) -> Command {
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap}")).args(["-XX:+UseSerialGC", "-XX:-UsePerfData"]);
    java.arg("-cp").arg(format!("{}:{}/*", dir.display(), jars.display())).current_dir(dir);
    java
}

/// The folder with a version's jars; fetches them the first time.
pub(super) fn jars(version: Version) -> PathBuf {
    let number = version.number();
    let jars = cache().join(format!("kafka-{number}"));
    if jars.is_dir() {
        return jars;
    }
    // Past the capture of a test's output: it may take a minute.
    drop(writeln!(std::io::stderr(), "fetching the jars of Kafka {number} from Maven Central, once"));
    // Into a folder of our own first: a broken download, or a second run beside this one, never leaves half a set.
    let fetch = cache().join(unique("fetch"));
    std::fs::create_dir_all(&fetch).expect("the cache is writable");
    write(&fetch.join("pom.xml"), &pom(version));
    let target = fetch.join("jars");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]).current_dir(&fetch);
    run(maven.arg(format!("-DoutputDirectory={}", target.display())));
    if let Err(error) = std::fs::rename(&target, &jars) {
        assert!(jars.is_dir(), "cannot keep the jars in {}: {error}", jars.display());
    }
    drop(std::fs::remove_dir_all(&fetch));
    jars
}

fn pom(version: Version) -> String {
    let dependency = |group: &str, artifact: &str, number: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{number}</version></dependency>"
        )
    };
    let broker = dependency("org.apache.kafka", version.artifact(), version.number());
    let logging = if version.is_old() { String::new() } else { dependency("org.slf4j", "slf4j-simple", "1.7.36") };
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>gpkafka</groupId><artifactId>integration</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{broker}{logging}</dependencies></project>
"#
    )
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
