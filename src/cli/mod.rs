//! The command line: one file a subcommand. What is typed becomes what is meant here, and nothing below sees `argv`.

use clap::{Parser, Subcommand};

use crate::line;

mod args;
pub mod bench;
mod callback;
pub mod check;
pub mod console;
pub mod convert;
pub mod doctor;
pub mod dryrun;
#[cfg(test)]
mod effects;
mod files;
mod help;
pub mod init;
pub mod load;
pub mod migrate;
mod passwords;
pub mod plot;
pub mod replay;
mod sample;
pub mod segment;
pub mod serve;
pub mod shadow;
mod trial;
mod tried;
mod verify;

pub use args::{
    BenchArgs, BenchTo, CheckArgs, ConvertArgs, DoctorArgs, DryrunArgs, EndIs, FileArgs, GpfdistArgs, HelpArgs,
    InitArgs, InitFormat, LoadArgs, LogArgs, MigrateArgs, ReplayArgs, SegmentArgs, ServeArgs, Which,
};

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
    /// Measure how fast a job's records become rows on segments, with nothing loaded
    #[command(long_about = args::BENCH)]
    Bench(BenchArgs),
    /// Validate a job file and show the SQL it would run, without loading
    Dryrun(DryrunArgs),
    /// Check everything that a load needs, in order, and say what to do
    #[command(long_about = args::DOCTOR)]
    Doctor(DoctorArgs),
    /// Write a job file from what a topic, its registry and the table are like
    Init(InitArgs),
    /// Go on where the original gpkafka stopped: show that from its history table, and begin there
    Migrate(MigrateArgs),
    /// Rewrite a job file of version 1 or 2 as version 3
    Convert(ConvertArgs),
    /// Obfuscate a password for a job file: nobody reads it in passing, but anybody with this program can
    #[command(long_about = args::SHADOW)]
    Shadow,
    /// Read rows from a loader as one Greenplum segment would, and write them to stdout
    Segment(SegmentArgs),
    /// Serve the files of a folder to external tables, as Greenplum's gpfdist does; read-only
    Serve(ServeArgs),
    /// Print the version
    Version,
    /// Print this message, the help of a subcommand, or with `config` all that a job file can say
    Help(HelpArgs),
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
        Command::Bench(args) => bench::run(&args),
        Command::Dryrun(args) => dryrun::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Shadow => shadow::run(),
        Command::Segment(args) => segment::run(&args),
        Command::Serve(args) => serve::run(&args),
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
                  bench    Measure how fast a job's records become rows on segments, with nothing loaded
                  dryrun   Validate a job file and show the SQL it would run, without loading
                  doctor   Check everything that a load needs, in order, and say what to do
                  init     Write a job file from what a topic, its registry and the table are like
                  migrate  Go on where the original gpkafka stopped: show that from its history table, and begin
                           there
                  convert  Rewrite a job file of version 1 or 2 as version 3
                  shadow   Obfuscate a password for a job file: nobody reads it in passing, but anybody with this
                           program can
                  segment  Read rows from a loader as one Greenplum segment would, and write them to stdout
                  serve    Serve the files of a folder to external tables, as Greenplum's gpfdist does; read-only
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
    }

    #[test]
    fn the_help_of_load() {
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
                      --takeover-after <SECONDS>    Seconds for which another load of the job must have been silent
                                                    before this one takes its place. All loads of a job should say
                                                    the same; the database, too, is taken for lost if it gives no
                                                    answer for twice as long [default: 15]
                      --profile                     Show at the end where the time went, and which stage holds the
                                                    load up
                      --debug-port <PORT>           Serve health and metrics on this port of the loopback address
                      --memory <MIB>                Memory for everything in flight, in MiB [default: 512]
                      --segment-program <PATH>      Executable that a PostgreSQL server runs to read rows [default:
                                                    this one]
                      --gpfdist-host <HOST>         Address of this machine that every segment host can reach
                                                    [default: this machine's host name]
                      --gpfdist-port <PORT>         Port for segments; 0 takes any free one [default: 8080, or the
                                                    next free one]
                      --config <FILE>               Take the gpfdist host, port and certificate (TLS to segments)
                                                    from the Gpfdist part of a gpss.json file
                  -l, --log-dir <DIR>               Directory of the log file gpkafka_<date>.log [default:
                                                    $HOME/gpAdminLogs]
                      --verbose                     Show debug lines too
                      --color                       Colour the levels of log lines
                      --csv-log                     Write log lines as CSV: time, pid, level, message
                  -h, --help                        Print help (see more with '--help')
            "#]],
        );
    }

    #[test]
    fn the_help_of_doctor() {
        help_of(
            "doctor",
            &expect![[r#"
            Check everything that a load needs, in order, and say what to do

            Usage: doctor [OPTIONS] <FILE>

            Arguments:
              <FILE>  The job file (YAML, version 1, 2 or 3)

            Options:
              -p, --property <VAR=VALUE>    Value of a {{var}} of the file; may be repeated
                  --name <NAME>             Name of the job in log lines; the history does not depend on it
                  --json                    Print one document of JSON at the end: checks with name, verdict
                                            (ok, warning, failed, skipped), found and advice
                  --memory <MIB>            Memory for everything in flight, in MiB [default: 512]
                  --segment-program <PATH>  Executable that a PostgreSQL server runs to read rows [default: this
                                            one]
                  --gpfdist-host <HOST>     Address of this machine that every segment host can reach [default:
                                            this machine's host name]
                  --gpfdist-port <PORT>     Port for segments; 0 takes any free one [default: 8080, or the next
                                            free one]
                  --config <FILE>           Take the gpfdist host, port and certificate (TLS to segments) from
                                            the Gpfdist part of a gpss.json file
              -l, --log-dir <DIR>           Directory in which a load would write its log [default:
                                            $HOME/gpAdminLogs]
              -h, --help                    Print help (see more with '--help')
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
    fn the_help_of_bench() {
        help_of(
            "bench",
            &expect![[r#"
                Measure how fast a job's records become rows on segments, with nothing loaded

                Usage: bench [OPTIONS] <FILE>

                Arguments:
                  <FILE>  The job file (YAML, version 1, 2 or 3)

                Options:
                  -p, --property <VAR=VALUE>    Value of a {{var}} of the file; may be repeated
                      --name <NAME>             Name of the job in log lines; the history does not depend on it
                      --to <WHERE>              Where rows go: clients that read as segments do and throw them away,
                                                without a database; a SELECT count(*) over the external table; or
                                                the job's own statements, as one batch that is rolled back, so
                                                without the commits that MAX_ROW and MINIMAL_INTERVAL make of a load
                                                [default: discard] [possible values: discard, count, table]
                      --segments <LIST>         How many clients read at once, numbers parted by commas; of --to
                                                discard only: a database has the segments that it has [default:
                                                1,2,4]
                      --partitions <LIST>       How many of the topic's partitions are read, the first ones, numbers
                                                parted by commas [default: all]
                      --rounds <N>              How often each is measured; the median counts [default: 3]
                      --rows <N>                Read so many records at most, the oldest, as even from all
                                                partitions as these allow
                      --json <FILE>             Write all results to this file as JSON, times in seconds
                      --svg <FILE>              Draw rows/s against segments into this file as SVG
                      --memory <MIB>            Memory for everything in flight, in MiB [default: 512]
                      --segment-program <PATH>  Executable that a PostgreSQL server runs to read rows [default: this
                                                one]
                      --gpfdist-host <HOST>     Address of this machine that every segment host can reach [default:
                                                this machine's host name]
                      --gpfdist-port <PORT>     Port for segments; 0 takes any free one [default: 8080, or the next
                                                free one]
                      --config <FILE>           Take the gpfdist host, port and certificate (TLS to segments) from
                                                the Gpfdist part of a gpss.json file
                  -h, --help                    Print help (see more with '--help')
            "#]],
        );
    }

    #[test]
    fn lists_are_numbers_parted_by_commas() {
        let lists = |words: &[&str]| match Cli::try_parse_from([&["gpkafka", "bench", "a.yaml"], words].concat()) {
            Ok(Cli { command: Command::Bench(args) }) => (args.segments, args.partitions),
            other => panic!("{other:?}"),
        };
        assert_eq!(lists(&[]), (vec![], vec![]));
        assert_eq!(lists(&["--segments", "4,1,2", "--partitions", "3"]), (vec![4, 1, 2], vec![3]));
        assert_eq!(lists(&["--segments=1,2", "--segments", "8"]), (vec![1, 2, 8], vec![]));
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
    fn the_help_of_serve() {
        help_of(
            "serve",
            &expect![[r#"
                Serve the files of a folder to external tables, as Greenplum's gpfdist does; read-only

                Usage: serve [OPTIONS] <DIR>

                Arguments:
                  <DIR>  The folder; files outside it are never read, and compressed ones, pipes and links that lead
                         out are refused

                Options:
                      --host <ADDRESS>  Address to listen at. Whoever reaches it can read every file of DIR
                                        [default: 127.0.0.1]
                      --port <PORT>     Port to listen at; 0 takes any free one [default: 8080]
                      --ssl <FOLDER>    Speak TLS (gpfdists://) with the server.crt, server.key and root.crt of a
                                        folder; who has no certificate by root.crt gets nothing
                  -h, --help            Print help
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
            &["gpkafka", "bench"],
            &["gpkafka", "bench", "a.yaml", "--to", "nowhere"],
            &["gpkafka", "bench", "a.yaml", "--segments", "0"],
            &["gpkafka", "bench", "a.yaml", "--segments", "1,two"],
            &["gpkafka", "bench", "a.yaml", "--segments", ""],
            &["gpkafka", "bench", "a.yaml", "--segments", "1,,2"],
            &["gpkafka", "bench", "a.yaml", "--partitions", "1;2"],
            &["gpkafka", "bench", "a.yaml", "--partitions", "-1"],
            &["gpkafka", "bench", "a.yaml", "--rounds", "0"],
            &["gpkafka", "bench", "a.yaml", "--rows", "0"],
            &["gpkafka", "doctor"],
            &["gpkafka", "doctor", "a.yaml", "--memory", "1"],
            &["gpkafka", "segment"],
            &["gpkafka", "serve"],
            &["gpkafka", "serve", ".", "--host", "etl1"],
            &["gpkafka", "convert"],
            &["gpkafka", "convert", "a.yaml", "--force"],
            &["gpkafka", "help", "config", "--v3", "--table"],
            &["gpkafka", "shadow", "secret"],
        ] {
            assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
