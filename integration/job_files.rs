//! What is done with job files alone, no server asked: rewritten as version 3, explained, their passwords hidden or taken
//! from elsewhere.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Loader;

/// A job of version 1, with a comment, a variable, and a key that version 3 does not have.
const JOB: &str = "# nightly
DATABASE: d
USER: u
HOST: h
PORT: 5432
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: b
      TOPIC: {{topic}}   # of the day
    COLUMNS:
      - NAME: a
        TYPE: int
    FORMAT: csv
    LOCAL_PORT: 8100
  OUTPUT:
    TABLE: t
";

#[test]
fn a_converted_file_runs_the_same_statements() {
    let converted = Loader::with_job("convert", JOB).run().expect_code(0);
    let text = &converted.stdout;
    assert!(text.contains("    topic: {{topic}}  # of the day\n") && text.contains("    # nightly\n"), "{text}");
    assert!(converted.stderr.ends_with("job.yaml:15:5: LOCAL_PORT is left out, for which version 3 has no key (start the load with `--gpfdist-port`)\n"), "{}", converted.stderr);
    let dryrun = |job: &str| {
        Loader::with_job("dryrun", job).args(["-p", "topic=x", "--gpfdist-port", "8100"]).run().expect_code(0)
    };
    assert_eq!(dryrun(text).stdout, dryrun(JOB).stdout);
    let again = Loader::with_job("convert", text).run().expect_code(64);
    again.expect_text("the file is of version 3 already");
    let kept = Loader::with_job("convert", JOB);
    let place = kept.job_path();
    kept.args(["-o", place.to_str().unwrap()])
        .run()
        .expect_code(64)
        .expect_text("may not take the place of the old one");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), JOB);
    let other = place.with_file_name("other.yaml");
    std::fs::write(&other, "precious").unwrap();
    let write = |more: &[&str]| {
        let words = ["-o", other.to_str().unwrap()];
        Loader::with_job("convert", JOB).args(words).args(more.iter().copied()).run()
    };
    write(&[]).expect_code(64).expect_text("other.yaml exists already").expect_text("--force");
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    write(&["--force"]).expect_code(0);
    assert_eq!(&std::fs::read_to_string(&other).unwrap(), text);
}

/// All that the tests of job files have: people's own files, examples of every format, every key, in every version.
#[test]
fn every_sample_is_clean() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let files = ["samples", "every_key"].map(|folder| config.join(folder)).map(|folder| folder.read_dir().unwrap());
    let files = files.into_iter().flatten().map(|file| file.unwrap().path());
    let mut versions = BTreeMap::<_, usize>::new();
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "yaml")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let variables = ["port=5432", "region=emea"].into_iter();
        let variables =
            variables.filter(|given| text.contains(&format!("{{{{{}}}}}", given.split_once('=').unwrap().0)));
        let dryrun = Loader::with_job("dryrun", &text).args(variables.flat_map(|given| ["-p", given])).run();
        assert_eq!((dryrun.code, dryrun.stderr.as_str()), (0, ""), "{}", file.display());
        // what is said of keys that have no effect here, and of no others
        let warnings = dryrun.stdout.lines().filter(|line| line.starts_with("-- warning: "));
        for warning in warnings {
            assert!(
                ["ENCRYPTION", "POLL"].iter().any(|key| warning.contains(&format!("{key} has no effect"))),
                "{warning}"
            );
        }
        assert!(dryrun.stdout.contains("-- each batch") || dryrun.stdout.contains("--connect looks them up"));
        let version = text.lines().find(|line| line.to_lowercase().starts_with("version:")).unwrap_or("VERSION: 1");
        *versions.entry(version.to_lowercase()).or_default() += 1;
    }
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["version: 1", "version: 2", "version: v3"]);
    assert!(versions.values().sum::<usize>() > 50, "{versions:?}");
}

#[test]
fn the_help_of_job_files_is_a_job_file() {
    for flags in [&[][..], &["--v3"]] {
        let help = Loader::command(["help", "config"].iter().chain(flags).copied()).run().expect_code(0);
        Loader::with_job("dryrun", &help.stdout).run().expect_code(0).expect_text("-- each batch");
    }
    Loader::command(["help", "config", "--table"]).run().expect_code(0).expect_text("KAFKA.INPUT.SOURCE.BROKERS");
    Loader::command(["help", "lode"]).run().expect_code(64);
}

#[test]
fn a_hidden_password_is_one_for_a_job_file() {
    let mut shadow = Command::new(env!("CARGO_BIN_EXE_gpkafka"));
    let mut shadow = shadow.arg("shadow").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shadow.stdin.take().unwrap(), b"s3cret\n").unwrap();
    let hidden = String::from_utf8(shadow.wait_with_output().unwrap().stdout).unwrap();
    assert!(hidden.starts_with("SHADOW:") && !hidden.contains("s3cret"), "{hidden}");
    let dryrun = |password: &str| {
        let job = JOB.replace("HOST", &format!("PASSWORD: {}\nHOST", password.trim()));
        Loader::with_job("dryrun", &job).args(["-p", "topic=x"])
    };
    dryrun(&hidden).run().expect_code(0).expect_no_text("s3cret");
    dryrun("SHADOW:ABCDEFGH").run().expect_code(64).expect_text("(run `gpkafka shadow` and put what it prints here)");
    dryrun("${LOADER_PASSWORD}").run().expect_code(64).expect_text("${LOADER_PASSWORD}");
    dryrun("${LOADER_PASSWORD}").env("LOADER_PASSWORD", "s3cret").run().expect_code(0).expect_no_text("s3cret");
}

#[test]
fn a_password_file_that_others_can_read_is_left_aside() {
    let dryrun = || Loader::with_job("dryrun", JOB).args(["-p", "topic=x"]);
    let loader = dryrun();
    let file = loader.job_path().with_file_name("passwords");
    std::fs::write(&file, "h:5432:d:u:s3cret\n").unwrap();
    let file_name = file.to_str().unwrap();
    for (mode, is_told) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let outcome = dryrun().env("PGPASSFILE", file_name).run().expect_code(0).expect_no_text("s3cret");
        assert_eq!(outcome.text().contains("run `chmod 0600` on it"), is_told, "{}", outcome.text());
    }
    drop(loader);
}
