//! What the doctor found, as people and programs read it: a line or more for each check as it is made, or one document
//! of JSON at the end.

use serde::Serialize;

use super::super::{Exit, console};
use crate::line;
use crate::units;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// An earlier one failed, without which it says nothing.
    Skipped,
    /// A load would run, and somebody should look at it.
    Warning,
    /// A load would not run, or soon end.
    Failed,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Skipped => "\x1b[2m",
            Self::Warning => "\x1b[33m",
            Self::Failed => "\x1b[31m",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What there is, with the names of things; some lines.
    pub found: Vec<String>,
    /// What to do about it.
    pub advice: Vec<String>,
}

impl Check {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: vec![found.into()], advice: Vec::new() }
    }

    /// One of which no line says anything yet, and all is well.
    pub fn new(name: &'static str) -> Self {
        Self { name, verdict: Verdict::Ok, found: Vec::new(), advice: Vec::new() }
    }

    pub fn skipped(name: &'static str, because: &str) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::ok(name, because) }
    }

    /// Errors of the stages are one line: what is wrong, then what to do.
    pub fn failed(name: &'static str, error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        let (found, advice) = text.split_once("; ").map_or((text.as_str(), None), |(found, rest)| (found, Some(rest)));
        Self {
            name,
            verdict: Verdict::Failed,
            found: vec![found.to_owned()],
            advice: advice.map(str::to_owned).into_iter().collect(),
        }
    }

    /// Another line; the worst of all lines is the verdict.
    pub fn say(&mut self, verdict: Verdict, found: impl Into<String>) {
        self.found.push(found.into());
        if worse(verdict, self.verdict) {
            self.verdict = verdict;
        }
    }

    pub fn advise(&mut self, advice: impl Into<String>) {
        let advice = advice.into();
        if !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    pub fn has_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

fn worse(one: Verdict, other: Verdict) -> bool {
    let rank = |verdict| match verdict {
        Verdict::Ok => 0,
        Verdict::Skipped => 1,
        Verdict::Warning => 2,
        Verdict::Failed => 3,
    };
    rank(one) > rank(other)
}

/// All checks so far.
#[derive(Debug, Default)]
pub struct Report {
    pub checks: Vec<Check>,
    pub is_json: bool,
    pub in_color: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    checks: Vec<Entry<'a>>,
    verdict: Verdict,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    verdict: Verdict,
    found: String,
    advice: Option<String>,
}

/// Columns that the longest name takes, and the longest verdict.
const WIDTHS: (usize, usize) = (10, 8);

impl Report {
    /// Adds a check, and shows it to people.
    ///
    /// # Errors
    /// Standard output takes nothing.
    pub fn add(&mut self, check: Check) -> Result<(), Exit> {
        if !self.is_json {
            console::print(&self.lines(&check))?;
        }
        self.checks.push(check);
        Ok(())
    }

    /// Adds checks that could not be made, because of one that failed.
    ///
    /// # Errors
    /// As [`Report::add`].
    pub fn skip(&mut self, names: &[&'static str], because: &str) -> Result<(), Exit> {
        let because = format!("{because} failed");
        names.iter().try_for_each(|name| self.add(Check::skipped(name, &because)))
    }

    /// Whether a check of this name has failed, or was skipped for one that has.
    pub fn lacks(&self, name: &str) -> bool {
        let found = self.checks.iter().find(|check| check.name == name);
        found.is_some_and(|check| matches!(check.verdict, Verdict::Failed | Verdict::Skipped))
    }

    pub fn verdict(&self) -> Verdict {
        let told = self.checks.iter().map(|check| check.verdict).filter(|verdict| *verdict != Verdict::Skipped);
        told.reduce(|one, other| if worse(other, one) { other } else { one }).unwrap_or(Verdict::Ok)
    }

    /// The last line, or the document.
    pub fn end(&self) -> String {
        if self.is_json { self.json() } else { self.summary() }
    }

    fn lines(&self, check: &Check) -> String {
        let word = format!("{:width$}", check.verdict.word(), width = WIDTHS.1);
        let word = if self.in_color { format!("{}{word}\x1b[0m", check.verdict.color()) } else { word };
        let margin = " ".repeat(WIDTHS.0 + WIDTHS.1 + 4);
        let found = check.found.iter().map(|text| line::escaped(text).into_owned());
        let advice = check.advice.iter().map(|text| format!("→ {}", line::escaped(text)));
        let text: Vec<String> = found.chain(advice).collect();
        format!("{:width$}  {word}  {}\n", check.name, text.join(&format!("\n{margin}")), width = WIDTHS.0)
    }

    fn summary(&self) -> String {
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count() as u64;
        let counts = [
            (count(Verdict::Failed), "failed"),
            (count(Verdict::Skipped), "skipped"),
            (count(Verdict::Warning), "with a warning"),
        ];
        let told: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        let all = units::counted(self.checks.len() as u64, "check");
        let told = if told.is_empty() { "all well".to_owned() } else { told.join(", ") };
        format!("\n{all}: {told}; nothing was loaded, and nothing is left behind\n")
    }

    fn json(&self) -> String {
        let text = |lines: &[String]| lines.join("\n");
        let entry = |check: &Check| Entry {
            name: check.name,
            verdict: check.verdict,
            found: text(&check.found),
            advice: (!check.advice.is_empty()).then(|| text(&check.advice)),
        };
        let document = Document { checks: self.checks.iter().map(entry).collect(), verdict: self.verdict() };
        let json = serde_json::to_string_pretty(&document).expect("names and texts are JSON");
        json + "\n"
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn report(is_json: bool) -> Report {
        let mut segments = Check::new("segments");
        segments.say(Verdict::Ok, "segments 0–3 (sdw1) fetched from http://etl1:8080");
        segments.say(Verdict::Failed, "segment 4 (sdw2) could not: connection refused");
        segments.advise("give --gpfdist-host an address that every segment host can reach");
        let mut disk = Check::new("disk");
        disk.say(Verdict::Warning, "3.00MB are free in /var/log\u{1b}[2J");
        let checks = vec![
            Check::ok("file", "orders.yaml"),
            Check::failed(
                "topic",
                "topic \"order\" does not exist on k:1, which has 2 topics; did you mean \"orders\"?",
            ),
            Check::skipped("offsets", "topic failed"),
            segments,
            disk,
        ];
        Report { checks, is_json, in_color: false }
    }

    #[test]
    fn what_people_read() {
        let report = report(false);
        let lines: String = report.checks.iter().map(|check| report.lines(check)).collect();
        expect![[r#"
            file        ok        orders.yaml
            topic       FAILED    topic "order" does not exist on k:1, which has 2 topics
                                  → did you mean "orders"?
            offsets     skipped   topic failed
            segments    FAILED    segments 0–3 (sdw1) fetched from http://etl1:8080
                                  segment 4 (sdw2) could not: connection refused
                                  → give --gpfdist-host an address that every segment host can reach
            disk        warning   3.00MB are free in /var/log\u{1b}[2J

            5 checks: 2 failed, 1 skipped, 1 with a warning; nothing was loaded, and nothing is left behind
        "#]]
        .assert_eq(&(lines + &report.end()));
    }

    #[test]
    fn what_programs_read() {
        expect![[r#"
            {
              "checks": [
                {
                  "name": "file",
                  "verdict": "ok",
                  "found": "orders.yaml",
                  "advice": null
                },
                {
                  "name": "topic",
                  "verdict": "failed",
                  "found": "topic \"order\" does not exist on k:1, which has 2 topics",
                  "advice": "did you mean \"orders\"?"
                },
                {
                  "name": "offsets",
                  "verdict": "skipped",
                  "found": "topic failed",
                  "advice": null
                },
                {
                  "name": "segments",
                  "verdict": "failed",
                  "found": "segments 0–3 (sdw1) fetched from http://etl1:8080\nsegment 4 (sdw2) could not: connection refused",
                  "advice": "give --gpfdist-host an address that every segment host can reach"
                },
                {
                  "name": "disk",
                  "verdict": "warning",
                  "found": "3.00MB are free in /var/log\u001b[2J",
                  "advice": null
                }
              ],
              "verdict": "failed"
            }
        "#]]
        .assert_eq(&report(true).end());
    }

    #[test]
    fn a_warning_is_no_failure_and_a_skip_no_verdict() {
        let mut report = Report::default();
        assert_eq!((report.verdict(), report.end().contains("0 checks: all well")), (Verdict::Ok, true));
        report.checks = vec![Check::ok("a", "x"), Check::skipped("b", "y")];
        assert_eq!(report.verdict(), Verdict::Ok);
        assert!(report.lacks("b") && !report.lacks("a") && !report.lacks("c"));
        let mut warning = Check::new("c");
        warning.say(Verdict::Warning, "z");
        warning.say(Verdict::Ok, "z");
        report.checks.push(warning);
        assert_eq!(report.verdict(), Verdict::Warning);
    }
}
