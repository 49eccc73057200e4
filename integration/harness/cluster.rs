//! A cluster of three real brokers, of which tests kill some. It starts when a test asks for it, goes from one that wants
//! it to the next, and ends with the last of them: three JVMs are much for a small machine.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::kafka::{Kafka, LOG4J, SERVER, Version, format_storage, jars, java, write};
use super::place::{free_port, log};
use super::process::{Output, Supervised, User, directory, wait_ready};
use super::wait::{SOON, wait_for, wait_until};

/// The version of all brokers.
const VERSION: Version = Version::V4_1_1;

/// What a cluster has beside what every broker has: no more memory than it needs. A broker that died is missed after 4 s, one that is back leads again
/// what it is the first to lead within a second or two.
const CLUSTERED: &str = "log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=1
leader.imbalance.per.broker.percentage=0
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
";

/// Three brokers. The first is the controller, too, and tests leave it alone: what happens to the others is then decided
/// at once.
#[derive(Debug)]
pub struct Cluster {
    /// All three, as a client sees them.
    pub kafka: Kafka,
    nodes: [Node; 3],
}

#[derive(Debug)]
struct Node {
    id: i32,
    port: u16,
    dir: PathBuf,
    server: Mutex<Option<Supervised>>,
}

/// A test's turn with the cluster, all of whose brokers run at its beginning.
#[derive(Debug)]
pub struct Turn(MutexGuard<'static, Option<Cluster>>);

/// How many have it or wait for it.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// Waits for the cluster.
///
/// # Panics
/// When a broker does not start, with the end of its log.
pub fn cluster() -> Turn {
    static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);
    WANTED.fetch_add(1, Ordering::SeqCst);
    let mut turn = Turn(CLUSTER.lock().unwrap_or_else(PoisonError::into_inner));
    turn.0.get_or_insert_with(Cluster::new).start_all();
    turn
}

impl Deref for Turn {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("it is there while somebody has his turn")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if WANTED.fetch_sub(1, Ordering::SeqCst) == 1 {
            *self.0 = None;
        }
    }
}

impl Cluster {
    fn new() -> Self {
        let nodes = [1, 2, 3].map(|id| Node {
            id,
            port: free_port(),
            dir: directory("cluster", User::current()),
            server: Mutex::new(None),
        });
        let controller = free_port();
        let bootstrap = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port)).join(",");
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(move || node.make(controller));
            }
        });
        Self { kafka: Kafka::view(VERSION, bootstrap), nodes }
    }

    fn start_all(&self) {
        std::thread::scope(|scope| {
            for node in &self.nodes {
                scope.spawn(|| self.start(node.id));
            }
        });
    }

    fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("there are the brokers 1, 2 and 3")
    }

    /// Kills a broker as a crash does; its data stays.
    pub fn kill(&self, id: i32) {
        if let Some(mut server) = self.node(id).server().take() {
            server.signal("KILL");
            server.wait(Duration::from_secs(10)).expect("SIGKILL ends a process");
        }
    }

    /// Starts a broker that does not run, and waits until the others know of it.
    pub fn start(&self, id: i32) {
        let node = self.node(id);
        let mut server = node.server();
        if server.is_some() {
            return;
        }
        let mut java = java(&jars(VERSION), &node.dir, "192m");
        // a broker that lives for half a minute earns no second compilation
        java.arg("-XX:TieredStopAtLevel=1").arg("kafka.Kafka").arg(node.dir.join("server.properties"));
        let path = log(&format!("kafka-cluster-{id}-{}", node.port));
        let mut started = Supervised::start(&java, User::current(), "KILL", &Output::log(&path));
        let client: BaseConsumer = self.kafka.client().create().expect("the client's settings are right");
        wait_ready(&mut started, &format!("broker {id} of the cluster"), &path, || {
            let known = client.fetch_metadata(None, Duration::from_millis(500));
            known.is_ok_and(|known| known.brokers().iter().any(|broker| broker.id() == id))
        });
        *server = Some(started);
    }

    /// Who leads partition 0 of a topic (-1: nobody), and who has all that the leader has.
    pub fn leader(&self, topic: &str) -> (i32, Vec<i32>) {
        // one of its own each time: it asks whoever is there
        let client: BaseConsumer = self.kafka.client().create().expect("the client's settings are right");
        let metadata = wait_for(SOON, "metadata", || client.fetch_metadata(Some(topic), Duration::from_secs(5)).ok());
        let partition = &metadata.topics()[0].partitions()[0];
        (partition.leader(), partition.isr().to_vec())
    }

    /// Waits until this broker leads partition 0.
    pub fn wait_for_leader(&self, topic: &str, id: i32) {
        wait_until(SOON, &format!("broker {id} to lead {topic}"), || self.leader(topic).0 == id);
    }
}

impl Node {
    fn server(&self) -> MutexGuard<'_, Option<Supervised>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what it is and makes its storage.
    fn make(&self, controller: u16) {
        let Self { id, port, dir, .. } = self;
        let (roles, listens) = match id {
            1 => ("broker,controller", format!(",CONTROLLER://127.0.0.1:{controller}")),
            _ => ("broker", String::new()),
        };
        let properties = format!(
            "process.roles={roles}
node.id={id}
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}{listens}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
{SERVER}{CLUSTERED}",
            dir.join("data").display()
        );
        write(&dir.join("log4j.properties"), LOG4J);
        write(&dir.join("server.properties"), &properties);
        format_storage(&jars(VERSION), dir, &[]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        *self.server() = None;
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
