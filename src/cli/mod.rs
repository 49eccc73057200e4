//! The command line: one file a subcommand. What is typed becomes what is meant here, and nothing below sees `argv`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::line;

pub mod check;
pub mod console;
pub mod convert;
pub mod dryrun;
#[cfg(test)]
mod effects;
mod files;
mod help;
pub mod init;
pub mod load;
pub mod migrate;
mod passwords;
pub mod replay;
pub mod segment;
pub mod shadow;

/// Exit code where the command line or a file is wrong: `EX_USAGE`.
pub const EXIT_USAGE: u8 = 64;

/// Exit code where something failed while running.
pub const EXIT_FAILED: u8 = 1;

/// Why a command ends without success. `main` prints it and exits with the code.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    /// What to print to stderr, one or more whole lines; empty where it was printed already.
    pub text: String,
}

impl Exit {
    /// Something that needed a server, or that failed while running.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self { code: EXIT_FAILED, text: format!("gpkafka: {}", line::escaped(&error.to_string())) }
    }

    /// Something that can be known without any server.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self { code: EXIT_USAGE, text: format!("gpkafka: {error}") }
    }
}

/// Loads Kafka topics into Greenplum: in parallel, exactly once.
#[derive(Debug, Parser)]
#[command(name = "gpkafka", version, max_term_width = 110, propagate_version = false, disable_help_subcommand = true)]
#[command(after_help = "A job is described in a YAML file; files of the original gpkafka run unchanged.\n\
    Exit codes: 0 done, 1 failed while running or for want of a server, 64 wrong use or a wrong file.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a topic into a table until interrupted, or up to its end
    Load(LoadArgs),
    /// Load dead letters again, after a fix; those that are refused again stay
    Replay(ReplayArgs),
    /// Show what a job has committed, and how far it is behind
    Check(CheckArgs),
    /// Validate a job file and show the SQL it would run, without loading
    Dryrun(DryrunArgs),
    /// Write a job file from what a topic, its registry and the table are like
    Init(InitArgs),
    /// Go on where the original gpkafka stopped: show that from its history table, and begin there
    Migrate(MigrateArgs),
    /// Rewrite a job file of version 1 or 2 as version 3
    Convert(ConvertArgs),
    /// Obfuscate a password for a job file: nobody reads it in passing, but anybody with this program can
    #[command(long_about = SHADOW)]
    Shadow,
    /// Read rows from a loader as one Greenplum segment would, and write them to stdout
    Segment(SegmentArgs),
    /// Print the version
    Version,
    /// Print this message, the help of a subcommand, or with `config` all that a job file can say
    Help(HelpArgs),
}

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
    /// Take the gpfdist host and port from the Gpfdist part of a gpss.json file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("reset").multiple(false))]
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
    /// Memory for everything in flight, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..))]
    pub memory: u32,
    /// Serve health and metrics on this port of the loopback address
    #[arg(long, value_name = "PORT")]
    pub debug_port: Option<u16>,
    /// Executable that a PostgreSQL server runs to read rows [default: this one]
    #[arg(long, value_name = "PATH")]
    pub segment_program: Option<PathBuf>,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// An SQL condition over the columns of the dead-letter table (partition, offset and row in double quotes): only
    /// those for which it is true
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// Memory for everything in flight, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..))]
    pub memory: u32,
    /// Executable that a PostgreSQL server runs to read rows [default: this one]
    #[arg(long, value_name = "PATH")]
    pub segment_program: Option<PathBuf>,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Which commits to show: the newest of each partition, or all
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    pub show_commit_history: Which,
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
    /// Ask the servers too: EXPLAIN what each batch writes, look up the topic
    #[arg(long)]
    pub connect: bool,
    #[command(flatten)]
    pub gpfdist: GpfdistArgs,
}

/// What `shadow` is worth, in its own help.
const SHADOW: &str = "Obfuscate a password for a job file\n\n\
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

/// Runs what was typed.
///
/// # Errors
/// What to print and the code to exit with.
pub fn run(cli: Cli) -> Result<(), Exit> {
    match cli.command {
        Command::Load(args) => load::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dryrun(args) => dryrun::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Shadow => shadow::run(),
        Command::Segment(args) => segment::run(&args),
        Command::Help(args) => help::run(&args),
        Command::Version => console::print(&format!("gpkafka {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use expect_test::{Expect, expect};

    use super::*;

    fn help_of(subcommand: &str, expected: &Expect) {
        let mut command = Cli::command().term_width(100);
        let shown = match subcommand {
            "" => command.render_help(),
            _ => command.find_subcommand_mut(subcommand).unwrap().render_help(),
        };
        expected.assert_eq(&shown.to_string());
    }

    #[test]
    fn the_help() {
        help_of(
            "",
            &expect![[r#"
                Loads Kafka topics into Greenplum: in parallel, exactly once

                Usage: gpkafka <COMMAND>

                Commands:
                  load     Load a topic into a table until interrupted, or up to its end
                  replay   Load dead letters again, after a fix; those that are refused again stay
                  check    Show what a job has committed, and how far it is behind
                  dryrun   Validate a job file and show the SQL it would run, without loading
                  init     Write a job file from what a topic, its registry and the table are like
                  migrate  Go on where the original gpkafka stopped: show that from its history table, and begin
                           there
                  convert  Rewrite a job file of version 1 or 2 as version 3
                  shadow   Obfuscate a password for a job file: nobody reads it in passing, but anybody with this
                           program can
                  segment  Read rows from a loader as one Greenplum segment would, and write them to stdout
                  version  Print the version
                  help     Print this message, the help of a subcommand, or with `config` all that a job file can
                           say

                Options:
                  -h, --help     Print help
                  -V, --version  Print version

                A job is described in a YAML file; files of the original gpkafka run unchanged.
                Exit codes: 0 done, 1 failed while running or for want of a server, 64 wrong use or a wrong file.
            "#]],
        );
        help_of(
            "load",
            &expect![[r#"
            Load a topic into a table until interrupted, or up to its end

            Usage: load [OPTIONS] <FILE>

            Arguments:
              <FILE>  The job file (YAML, version 1, 2 or 3)

            Options:
              -p, --property <VAR=VALUE>        Value of a {{var}} of the file; may be repeated
                  --name <NAME>                 Name of the job in log lines; the history does not depend on it
                  --quit-at-eof                 Stop at the offsets that are the ends of the partitions when the
                                                load starts
                  --force-reset-earliest        Forget the stored offsets; start from the oldest record still in
                                                the topic
                  --force-reset-latest          Forget the stored offsets; start with records produced from now
                                                on
                  --force-reset-timestamp <MS>  Forget the stored offsets; start from the first record at or
                                                after a time (milliseconds since 1970)
                  --partition                   Show the offsets of each partition with each batch
                  --skip-explain                Skip the EXPLAIN of what each batch writes, at the start
                  --memory <MIB>                Memory for everything in flight, in MiB [default: 512]
                  --debug-port <PORT>           Serve health and metrics on this port of the loopback address
                  --segment-program <PATH>      Executable that a PostgreSQL server runs to read rows [default:
                                                this one]
                  --gpfdist-host <HOST>         Address of this machine that every segment host can reach
                                                [default: this machine's host name]
                  --gpfdist-port <PORT>         Port for segments; 0 takes any free one [default: 8080, or the
                                                next free one]
                  --config <FILE>               Take the gpfdist host and port from the Gpfdist part of a
                                                gpss.json file
              -l, --log-dir <DIR>               Directory of the log file gpkafka_<date>.log [default:
                                                $HOME/gpAdminLogs]
                  --verbose                     Show debug lines too
                  --color                       Colour the levels of log lines
                  --csv-log                     Write log lines as CSV: time, pid, level, message
              -h, --help                        Print help
        "#]],
        );
    }

    #[test]
    fn the_help_of_what_writes_files() {
        help_of(
            "convert",
            &expect![[r#"
            Rewrite a job file of version 1 or 2 as version 3

            Usage: convert [OPTIONS] <FILE>

            Arguments:
              <FILE>  The job file (YAML, version 1 or 2)

            Options:
              -o, --output <OUT>          Where to write the new file [default: stdout]
                  --force                 Overwrite an output file that exists
              -p, --property <VAR=VALUE>  Value of a {{var}} of the file, to check it with; the variable stays
                                          in the new file
              -h, --help                  Print help
        "#]],
        );
        help_of(
            "init",
            &expect![[r#"
            Write a job file from what a topic, its registry and the table are like

            Usage: init [OPTIONS] --brokers <BROKERS> --topic <TOPIC> --host <HOST> --user <ROLE> --database <NAME> --table <TABLE>

            Options:
                  --brokers <BROKERS>  Kafka brokers, HOST:PORT parted by commas
                  --topic <TOPIC>      The topic to look at
                  --host <HOST>        Host of the database; its password comes from PGPASSWORD or ~/.pgpass and
                                       is never written
                  --port <PORT>        Port of the database [default: 5432]
                  --user <ROLE>        The role that loads
                  --database <NAME>    The database
                  --table <TABLE>      The table, which need not exist yet: [SCHEMA.]NAME, in double quotes
                                       where capitals matter
                  --format <FORMAT>    Format of the messages [default: auto] [possible values: auto, csv,
                                       delimited, json, jsonl, avro, protobuf, binary]
                  --registry <URL>     URL of the schema registry, for messages that begin with a schema's id
                  --records <N>        How many messages to look at, the newest [default: 1000]
              -o, --output <FILE>      Where to write the job file [default: stdout]
                  --create-table       Print the statement that makes the table, for a table that does not
                                       exist; it is not run. Needs -o, since stdout is the statement's then
                  --force              Overwrite an output file that exists
              -h, --help               Print help
        "#]],
        );
    }

    #[test]
    fn the_help_of_segment() {
        help_of(
            "segment",
            &expect![[r#"
                Read rows from a loader as one Greenplum segment would, and write them to stdout

                Usage: segment [OPTIONS] <URL>...

                Arguments:
                  <URL>...  Where to read: the LOCATION of an external table, gpfdist:// or http://; without a path
                            only whether a loader answers there

                Options:
                      --segment-id <N>     Content id to act as [default: 0]
                      --segment-count <N>  Segments of the cluster [default: 1]
                      --xid <XID>          Transaction id to send [default: probe-0000000001]
                      --cid <CID>          Command id to send [default: 1]
                      --sn <SN>            Scan number to send [default: 1]
                      --proto <N>          Protocol: 1 has frames, 0 is bare rows [default: 1]
                      --discard            Count the rows instead of writing them; print the sums to stderr
                  -h, --help               Print help
            "#]],
        );
    }

    #[test]
    fn wrong_use_is_refused() {
        for words in [
            &["gpkafka"][..],
            &["gpkafka", "lode"],
            &["gpkafka", "load"],
            &["gpkafka", "load", "a.yaml", "b.yaml"],
            &["gpkafka", "load", "a.yaml", "--force-reset-earliest", "--force-reset-latest"],
            &["gpkafka", "load", "a.yaml", "--force-reset-timestamp=-1"],
            &["gpkafka", "load", "a.yaml", "--force-reset-timestamp", "1790000000"],
            &["gpkafka", "load", "a.yaml", "--force-reset-timestamp", "yesterday"],
            &["gpkafka", "load", "a.yaml", "--gpfdist-port", "65536"],
            &["gpkafka", "load", "a.yaml", "--gpfdist-host", "http://etl1"],
            &["gpkafka", "load", "a.yaml", "--gpfdist-host", "etl1:8080"],
            &["gpkafka", "load", "a.yaml", "--gpfdist-host", " "],
            &["gpkafka", "load", "a.yaml", "-p", "novalue"],
            &["gpkafka", "segment"],
            &["gpkafka", "convert"],
            &["gpkafka", "convert", "a.yaml", "--force"],
            &["gpkafka", "help", "config", "--v3", "--table"],
            &["gpkafka", "shadow", "secret"],
        ] {
            assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
