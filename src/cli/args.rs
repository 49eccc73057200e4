//! What may be typed behind each subcommand, and how its values are read.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// What names a job file and fills it in.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The job file (YAML, version 1, 2 or 3)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Value of a {{var}} of the file; may be repeated
    #[arg(short = 'p', long = "property", value_name = "VAR=VALUE", value_parser = variable)]
    pub properties: Vec<(String, String)>,
    /// Name of the job in log lines; the history does not depend on it
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// How lines look and where else they go.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Directory of the log file gpkafka_<date>.log [default: $HOME/gpAdminLogs]
    #[arg(short = 'l', long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Show debug lines too
    #[arg(long)]
    pub verbose: bool,
    /// Colour the levels of log lines
    #[arg(long)]
    pub color: bool,
    /// Write log lines as CSV: time, pid, level, message
    #[arg(long)]
    pub csv_log: bool,
}

/// Where segments call back.
#[derive(Debug, Args)]
pub struct GpfdistArgs {
    /// Address of this machine that every segment host can reach [default: this machine's host name]
    #[arg(long, value_name = "HOST", value_parser = crate::config::callback_host)]
    pub gpfdist_host: Option<String>,
    /// Port for segments; 0 takes any free one [default: 8080, or the next free one]
    #[arg(long, value_name = "PORT")]
    pub gpfdist_port: Option<u16>,
    /// Take the gpfdist host, port and certificate (TLS to segments) from the Gpfdist part of a gpss.json file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What the numbers of a load count.
const COUNTS: &str = "\
A line a batch tells records read (MsgNum), their bytes (MsgSize), rows that came through to the
tables (InsertedRecords) and rows that were refused (RejectedRecords). In MODE update and merge a
row that came through may insert, update, delete, or give way to a later one of its key: Inserted,
Updated and Deleted at the end tell what changed in each table. Filtered rows are those that the
filter of the input, or of the only output, dropped; of several outputs each tells its own.";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("reset").multiple(false), after_long_help = COUNTS)]
pub struct LoadArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Stop at the offsets that are the ends of the partitions when the load starts
    #[arg(long)]
    pub quit_at_eof: bool,
    /// Forget the stored offsets; start from the oldest record still in the topic
    #[arg(long, group = "reset")]
    pub force_reset_earliest: bool,
    /// Forget the stored offsets; start with records produced from now on
    #[arg(long, group = "reset")]
    pub force_reset_latest: bool,
    /// Forget the stored offsets; start from the first record at or after a time (milliseconds since 1970)
    #[arg(long, group = "reset", value_name = "MS", value_parser = moment)]
    pub force_reset_timestamp: Option<i64>,
    /// Show the offsets of each partition with each batch
    #[arg(long)]
    pub partition: bool,
    /// Skip the EXPLAIN of what each batch writes, at the start
    #[arg(long)]
    pub skip_explain: bool,
    /// Seconds for which another load of the job must have been silent before this one takes its place. All loads of a
    /// job should say the same; the database, too, is taken for lost if it gives no answer for twice as long
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub takeover_after: u64,
    /// Show at the end where the time went, and which stage holds the load up
    #[arg(long)]
    pub profile: bool,
    /// Serve health and metrics on this port of the loopback address
    #[arg(long, value_name = "PORT")]
    pub debug_port: Option<u16>,
    #[command(flatten)]
    pub means: MeansArgs,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What a run may use.
#[derive(Debug, Args)]
pub struct MeansArgs {
    /// Memory for everything in flight, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..))]
    pub memory: u32,
    /// Executable that a PostgreSQL server runs to read rows [default: this one]
    #[arg(long, value_name = "PATH")]
    pub segment_program: Option<PathBuf>,
}

impl MeansArgs {
    pub fn memory_bytes(&self) -> usize {
        (self.memory as usize) << 20
    }
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// An SQL condition over the columns of the dead-letter table (partition, offset and row in double quotes): only
    /// those for which it is true
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    #[command(flatten)]
    pub means: MeansArgs,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `bench` does and leaves, in its own help.
pub(super) const BENCH: &str = "Measure how fast a job's records become rows on segments, with nothing loaded\n\n\
    Reads the topic of a job file, from its oldest records to the ends that it has at the start, on the way of a load, \
    once for each number of segments and partitions, and says what limits. No offset moves, no ledger is written, and the \
    external table is made inside a transaction that is rolled back, so nobody else ever sees it. PREPARE_SQL does not run. \
    `--to table` holds the job's partitions and is refused while they are being loaded; its rows are rolled back, but \
    sequences move on, and the space of rows that were never committed stays in the table until VACUUM. Records are not \
    copied for DEAD_LETTER, as a load copies them.\n\n\
    MB/s and GB are of rows as segments get them; CPU s/GB is the loader's own CPU time, without that of clients.";

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Where rows go: clients that read as segments do and throw them away, without a database; a SELECT count(*) over
    /// the external table; or the job's own statements, as one batch that is rolled back, so without the commits that
    /// MAX_ROW and MINIMAL_INTERVAL make of a load
    #[arg(long, value_name = "WHERE", default_value = "discard")]
    pub to: BenchTo,
    /// How many clients read at once, numbers parted by commas; of --to discard only: a database has the segments that it
    /// has [default: 1,2,4]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub segments: Vec<u32>,
    /// How many of the topic's partitions are read, the first ones, numbers parted by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Vec<u32>,
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Read so many records at most, the oldest, as even from all partitions as these allow
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: Option<u64>,
    /// Write all results to this file as JSON, times in seconds
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw rows/s against segments into this file as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    #[command(flatten)]
    pub means: MeansArgs,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
}

/// Where the rows of a measurement go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchTo {
    Discard,
    Count,
    Table,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Which commits to show: the newest of each partition, or all
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    pub show_commit_history: Which,
    /// Prove what was committed: the ledger by itself, against the topic, and against the table where MAPPING keeps META's
    /// partition and offset in it. Exit code 1 if something does not hold
    #[arg(long, conflicts_with = "show_commit_history")]
    pub verify: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

/// Which commits `check` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    Latest,
    All,
}

#[derive(Debug, Args)]
pub struct DryrunArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Ask the servers too: EXPLAIN what each batch writes, look up the topic, try its newest records
    #[arg(long)]
    pub connect: bool,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
}

/// What `doctor` looks at, in its own help.
pub(super) const DOCTOR: &str = "Check everything that a load needs, in order, and say what to do\n\n\
    The file; names of brokers, database and registry; brokers, and the addresses that they advertise; topic, partitions \
    and rights; offsets against the ledger; whether the newest records are rows; the registry; the role's rights; the \
    target, and what would be written into it; whether every segment fetches from this machine, and which one could not \
    and why; clocks; what earlier loads have left, and locks; disk and memory. Nothing is loaded, no offset moves, and \
    nothing is left behind: the table that segments fetch through is made in a transaction that is rolled back. Give it the \
    options that a load is to have. Exit code 1 says that a check failed; warnings are none.";

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Print one document of JSON at the end: checks with name, verdict (ok, warning, failed, skipped), found and advice
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub means: MeansArgs,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
    /// Directory in which a load would write its log [default: $HOME/gpAdminLogs]
    #[arg(short = 'l', long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
}

/// What `shadow` is worth, in its own help.
pub(super) const SHADOW: &str = "Obfuscate a password for a job file\n\n\
    Reads a password, without echo from a terminal or as one line from stdin, and prints `SHADOW:…` to be written after \
    PASSWORD. This is obfuscation and no encryption: it keeps a password from being read in passing, but anybody who has \
    this program can read it. Where that is not enough, use PASSWORD: ${VARIABLE}, PGPASSWORD or ~/.pgpass. `SHADOW:` \
    passwords of the original gpkafka cannot be read: how it makes them is not public.";

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The job file (YAML, version 1 or 2)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write the new file [default: stdout]
    #[arg(short = 'o', long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Overwrite an output file that exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Value of a {{var}} of the file, to check it with; the variable stays in the new file
    #[arg(short = 'p', long = "property", value_name = "VAR=VALUE", value_parser = variable)]
    pub properties: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A subcommand, or `config`: a complete job file of version 2, every key explained
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
    /// With config: the file in version 3
    #[arg(long)]
    pub v3: bool,
    /// With config: a table of all keys, and of each whether it works, differs or is refused
    #[arg(long, conflicts_with = "v3")]
    pub table: bool,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Kafka brokers, HOST:PORT parted by commas
    #[arg(long, value_name = "BROKERS")]
    pub brokers: String,
    /// The topic to look at
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Host of the database; its password comes from PGPASSWORD or ~/.pgpass and is never written
    #[arg(long, value_name = "HOST")]
    pub host: String,
    /// Port of the database
    #[arg(long, value_name = "PORT", default_value_t = 5432)]
    pub port: u16,
    /// The role that loads
    #[arg(long, value_name = "ROLE")]
    pub user: String,
    /// The database
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The table, which need not exist yet: [SCHEMA.]NAME, in double quotes where capitals matter
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub table: crate::table::TableName,
    /// Format of the messages
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: InitFormat,
    /// URL of the schema registry, for messages that begin with a schema's id
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// How many messages to look at, the newest
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub records: u32,
    /// Where to write the job file [default: stdout]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the statement that makes the table, for a table that does not exist; it is not run. Needs -o, since stdout is
    /// the statement's then
    #[arg(long, requires = "output")]
    pub create_table: bool,
    /// Overwrite an output file that exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// A format of messages that `init` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InitFormat {
    Auto,
    Csv,
    Delimited,
    Json,
    Jsonl,
    Avro,
    Protobuf,
    Binary,
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Write it down; without this nothing is changed
    #[arg(long)]
    pub apply: bool,
    /// The original's history table [default: the only gpkafka_<table>_<32 hex digits> of the metadata schema]
    #[arg(long, value_name = "TABLE")]
    pub history_table: Option<String>,
    /// Its column of partition numbers [default: by its name]
    #[arg(long, value_name = "COLUMN")]
    pub partition_column: Option<String>,
    /// Its column of first offsets [default: by its name]
    #[arg(long, value_name = "COLUMN")]
    pub begin_column: Option<String>,
    /// Its column of ends [default: by its name]
    #[arg(long, value_name = "COLUMN")]
    pub end_column: Option<String>,
    /// What an end is: the next offset to read or the last one that was read [default: as the rows tell]
    #[arg(long, value_name = "WHICH")]
    pub end_offset: Option<EndIs>,
}

/// What the end of a commit in the original's history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EndIs {
    Next,
    Last,
}

#[derive(Debug, Args)]
pub struct SegmentArgs {
    /// Where to read: the LOCATION of an external table, gpfdist:// or http://; without a path only whether a loader
    /// answers there
    #[arg(value_name = "URL", required = true)]
    pub urls: Vec<String>,
    /// Content id to act as
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub segment_id: u32,
    /// Segments of the cluster
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub segment_count: u32,
    /// Transaction id to send
    #[arg(long, value_name = "XID", default_value = "probe-0000000001")]
    pub xid: String,
    /// Command id to send
    #[arg(long, value_name = "CID", default_value = "1")]
    pub cid: String,
    /// Scan number to send
    #[arg(long, value_name = "SN", default_value = "1")]
    pub sn: String,
    /// Protocol: 1 has frames, 0 is bare rows
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub proto: u8,
    /// Count the rows instead of writing them; print the sums to stderr
    #[arg(long)]
    pub discard: bool,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The folder; files outside it are never read, and compressed ones, pipes and links that lead out are refused
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Address to listen at. Whoever reaches it can read every file of DIR
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Port to listen at; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// Speak TLS (gpfdists://) with the server.crt, server.key and root.crt of a folder; who has no certificate by
    /// root.crt gets nothing
    #[arg(long, value_name = "FOLDER")]
    pub ssl: Option<PathBuf>,
}

fn variable(written: &str) -> Result<(String, String), String> {
    match written.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// `name` or `schema.name`, each perhaps in double quotes.
fn table(written: &str) -> Result<crate::table::TableName, String> {
    use crate::table::{Ident, TableName};
    let mut is_inside = false;
    let dot = written.char_indices().find(|&(_, char)| {
        is_inside ^= char == '"';
        char == '.' && !is_inside
    });
    let (schema, table) = dot.map_or(("public", written), |(at, _)| (&written[..at], &written[at + 1..]));
    let is_name = |name: &str| {
        let bare = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let is_whole = bare.map_or(!name.contains(['"', '.']), |bare| !bare.replace("\"\"", "").contains('"'));
        is_whole && !bare.unwrap_or(name).is_empty() && !name.contains(char::is_control)
    };
    if !is_name(schema) || !is_name(table) {
        return Err("write it as name or schema.name".to_owned());
    }
    Ok(TableName { schema: Ident::from_written(schema), table: Ident::from_written(table) })
}

/// Milliseconds since 1970. Seconds would silently mean January 1970, and load the whole topic again.
fn moment(written: &str) -> Result<i64, String> {
    const YEAR_1973_MS: i64 = 100_000_000_000;
    match written.parse() {
        Ok(0) => Ok(0),
        Ok(ms @ 1..YEAR_1973_MS) => Err(format!("{ms} ms is in the early 1970s; if these are seconds, write {ms}000")),
        Ok(ms @ YEAR_1973_MS..) => Ok(ms),
        _ => Err("it must be a number of milliseconds since 1970".to_owned()),
    }
}
