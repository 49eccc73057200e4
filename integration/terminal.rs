//! What a load looks like on a terminal: one live line instead of one a batch, and a calm record at the end.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::flow::Flow;
use crate::harness::{executable, poll, postgres, signal};

/// The live line's parts, in the order of their worth: the last may be cut on a narrow terminal.
const LIVE: [&str; 4] = [" rows/s  ", " MB/s │ lag ", " of 1 segments", " │ batch "];

#[test]
fn a_live_line_instead_of_one_a_batch() {
    let flow = Flow::new(postgres(), "terminal", 1);
    let job = flow.job().commit("MINIMAL_INTERVAL: 500").text();
    let dir = std::env::temp_dir().join(crate::harness::unique("terminal"));
    std::fs::create_dir(&dir).unwrap();
    let (file, seen, pid) = (dir.join("job.yaml"), dir.join("seen"), dir.join("pid"));
    std::fs::write(&file, job).unwrap();
    let load = format!(
        "stty cols 80; echo $$ >{}; exec env --default-signal=INT {} load {} --gpfdist-host 127.0.0.1 --gpfdist-port 0 --log-dir {}",
        pid.display(),
        executable().display(),
        file.display(),
        dir.display()
    );
    let ((), next) = flow.stream(0, 2000, || {
        // `script` is the terminal
        let mut terminal = Command::new("script");
        terminal.args(["-q", "-f", "-e", "-c", &load]).arg(&seen).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut terminal = terminal.spawn().unwrap();
        let text = || String::from_utf8_lossy(&std::fs::read(&seen).unwrap_or_default()).into_owned();
        let is_live = || {
            let text = text();
            LIVE[..3].iter().all(|part| text.contains(part)).then_some(())
        };
        let live = poll(Duration::from_secs(60), is_live);
        assert!(live.is_some(), "no live line: {}", text());
        assert!(!text().contains("/sec\r\n"), "a line a batch: {}", text());
        signal(std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap(), "INT");
        let ended = poll(Duration::from_secs(60), || terminal.try_wait().unwrap());
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {}", text());
        let text = text();
        let (_, after) = text.rsplit_once("Job finished").unwrap();
        assert!(after.contains("offsets committed with the rows") && after.contains("JOB_STOPPED"), "{text}");
    });
    let job = flow.job();
    flow.load(&job).expect_code(0);
    flow.expect(&[(0, 0..next)]);
    drop(std::fs::remove_dir_all(&dir));
}
