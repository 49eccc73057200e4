//! Who hears of a job's end: a command, a webhook; and what becomes of those that do not work.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::case::Case;
use crate::harness::{Job, Loader, Outcome, SOON, User, directory, on_each_database, postgres, wait_for, wait_until};

fn alerting(case: &Case<'_>, lines: &[&str]) -> Job {
    lines.iter().fold(case.job_into("rows", "id int"), |job, line| job.around("ALERT", line))
}

fn case_with_table(name: &str) -> Case<'static> {
    let case = Case::new(postgres(), name, 1);
    case.table("rows (id int)", "id");
    case
}

fn load(job: &Job) -> Outcome {
    Loader::load(&job.text()).args(["--quit-at-eof", "--name", "nightly"]).run()
}

on_each_database! {
    fn a_command_hears_how_the_job_has_ended(db) {
        let case = Case::new(db, "alert", 1);
        let dir = directory("alert", User::current());
        let command = "COMMAND: 'echo \"$GPSSJOB_NAME|$GPSSJOB_STATUS|$GPSSJOB_DETAIL\" > said; echo heard; echo too >&2'";
        let job = alerting(&case, &[command, &format!("WORKDIR: {}", dir.display())]);
        let said = || std::fs::read_to_string(dir.join("said")).unwrap();
        let outcome = load(&job).expect_code(1);
        outcome.expect_text("ALERT.COMMAND: heard").expect_text("ALERT.COMMAND: too");
        assert!(said().starts_with("nightly|JOB_ERROR|") && said().contains("does not exist"), "{}", said());
        case.table("rows (id int)", "id");
        case.topic.produce(0, ["1"]);
        load(&job).expect_code(0).expect_calm(case.announced).expect_text("ALERT.COMMAND: heard");
        assert_eq!(said(), "nightly|JOB_STOPPED|\n");
    }
}

#[test]
fn a_command_that_fails_or_is_not_there_changes_nothing() {
    let case = case_with_table("alertfails");
    for (line, words) in [
        ("COMMAND: exit 3", "ALERT.COMMAND failed: exit status: 3; the load itself has ended as told"),
        ("COMMAND: /no/such/command", "ALERT.COMMAND failed: exit status: 127"),
    ] {
        load(&alerting(&case, &[line])).expect_code(0).expect_text(words);
    }
    load(&alerting(&case, &["COMMAND: 'true'", "WORKDIR: /no/such/dir"]))
        .expect_code(0)
        .expect_text("ALERT.COMMAND could not be run in /no/such/dir");
}

#[test]
fn a_command_that_takes_too_long_goes_with_all_that_it_has_started() {
    let case = case_with_table("alerttime");
    let dir = directory("alerttime", User::current());
    let command = "COMMAND: 'sleep 600 & echo $! > child; wait'";
    let job = alerting(&case, &[command, "TIMEOUT: 2s", &format!("WORKDIR: {}", dir.display())]);
    load(&job).expect_code(0).expect_text("ALERT.COMMAND did not end within TIMEOUT and was killed");
    let child = std::fs::read_to_string(dir.join("child")).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    // who is dead and not yet buried is dead
    wait_until(SOON, "the command's child to end", || {
        std::fs::read_to_string(&stat)
            .map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    });
}

#[test]
fn a_command_hears_of_each_failure_that_is_retried() {
    let case = Case::new(postgres(), "alertretry", 1);
    let job = alerting(&case, &["COMMAND: echo heard $GPSSJOB_STATUS"]).around("SCHEDULE", "MAX_RETRIES: 1");
    let outcome = load(&job.around("SCHEDULE", "RETRY_INTERVAL: 10ms")).expect_code(1);
    assert_eq!(outcome.text().matches("ALERT.COMMAND: heard JOB_ERROR").count(), 2, "{}", outcome.text());
}

/// Answers one request with this status, and gives its head and body back.
fn answer(listener: &TcpListener, status: &str) -> (String, serde_json::Value) {
    listener.set_nonblocking(true).unwrap();
    let (mut stream, _) = wait_for(SOON, "the webhook's call", || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (head, body) = request(&mut stream);
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    (head, serde_json::from_str(&body).unwrap())
}

fn request(stream: &mut TcpStream) -> (String, String) {
    let mut text = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        text.extend_from_slice(&bytes[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length == Some(body.len()) {
            return (head.to_owned(), body.to_owned());
        }
        assert!(count > 0, "the request ended early: {whole}");
    }
}

#[test]
fn a_webhook_is_told_as_json() {
    let case = case_with_table("webhook");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let job = alerting(&case, &[&format!("WEBHOOK: http://{address}/hook/secret")]);
    for (status, is_calm) in [("204 No Content", true), ("500 Internal Server Error", false)] {
        let (outcome, (head, body)) = std::thread::scope(|scope| {
            let told = scope.spawn(|| answer(&listener, status));
            (load(&job).expect_code(0), told.join().unwrap())
        });
        assert!(head.starts_with("POST /hook/secret HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        assert_eq!(
            (&body["job"], &body["status"], &body["detail"]),
            (&"nightly".into(), &"JOB_STOPPED".into(), &"".into())
        );
        let time: jiff::Timestamp = body["time"].as_str().unwrap().parse().unwrap();
        assert!(jiff::Timestamp::now().duration_since(time) < Duration::from_secs(600).try_into().unwrap());
        match is_calm {
            true => drop(outcome.expect_calm(&[])),
            false => drop(
                outcome
                    .expect_text(&format!("ALERT.WEBHOOK http://{address} was told and answered 500"))
                    .expect_no_text("secret"),
            ),
        }
    }
    drop(listener);
    load(&job)
        .expect_code(0)
        .expect_text(&format!("ALERT.WEBHOOK http://{address} was not told:"))
        .expect_no_text("secret");
}
