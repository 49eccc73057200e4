//! What the ledger says, against the topic as it is now: positions are inside it, nothing expired unread, and it is still
//! the same topic. Pure.

use std::collections::BTreeMap;

use super::{Findings, Part};
use crate::kafka::Watermarks;
use crate::line::excerpt;
use crate::units::counted;

/// Holds every partition of the ledger, and every one of the topic that the job is to load, against each other.
/// `topic_id` and `marks` are the topic's, read after the ledger.
pub fn check(
    parts: &BTreeMap<i32, Part>,
    topic_id: Option<&str>,
    marks: &BTreeMap<i32, Watermarks>,
    is_wanted: &dyn Fn(i32) -> bool,
    findings: &mut Findings,
) {
    let wrong_before = findings.count();
    let mut waiting = 0;
    for (partition, part) in parts {
        let mut wrong = |text: String| findings.wrong(format!("partition {partition}: {text}"));
        let next = part.next;
        if let (Some(stored), Some(found)) = (part.topic_id.as_deref(), topic_id)
            && stored != found
        {
            let stored = excerpt(stored, 40);
            wrong(format!(
                "it was loaded of topic id {stored}, and the topic's is {found}: it was deleted and made anew"
            ));
            continue;
        }
        match marks.get(partition) {
            None => wrong("the topic has no such partition, and the ledger does".to_owned()),
            Some(Watermarks { high, .. }) if next > *high => {
                wrong(format!("the ledger ends at offset {next}, and the topic at {high}"));
            }
            Some(Watermarks { low, .. }) if next < *low => wrong(format!(
                "the ledger ends at offset {next}, and the topic begins at {low}: {} expired before they were read",
                counted(low.abs_diff(next), "offset")
            )),
            Some(Watermarks { high, .. }) => waiting += high.abs_diff(next),
        }
    }
    for (partition, Watermarks { low, high }) in marks.iter().filter(|(partition, _)| is_wanted(**partition)) {
        if !parts.contains_key(partition) {
            waiting += high.abs_diff(*low);
            if *low > 0 {
                findings.unproved.push(format!(
                    "partition {partition}: whether anything was at its offsets before {low}: they expired before its first commit"
                ));
            }
        }
    }
    if topic_id.is_none() || parts.values().any(|part| part.topic_id.is_none()) {
        findings.unproved.push("whether it is still the same topic: brokers or ledger have no id of it".to_owned());
    }
    if findings.count() == wrong_before {
        findings.proved.push(format!(
            "topic: all positions are inside it, and nothing expired unread; {} to be read",
            counted(waiting, "offset") + if waiting == 1 { " is" } else { " are" }
        ));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::tests::{lines, load, proved};
    use super::*;

    fn expect_told(topic_id: Option<&str>, marks: &[(i32, i64, i64)], expected: &Expect) {
        let (parts, _) = proved(&[load(0, 1, 0), load(1, 1, 5)]);
        let marks = marks.iter().map(|&(partition, low, high)| (partition, Watermarks { low, high })).collect();
        let mut findings = Findings::default();
        check(&parts, topic_id, &marks, &|partition| partition < 9, &mut findings);
        expected.assert_eq(&lines(&findings));
    }

    #[test]
    fn positions_are_inside_the_topic_or_it_is_told() {
        expect_told(
            Some("id"),
            &[(0, 0, 10), (1, 15, 20), (2, 7, 9), (9, 9, 90)],
            &expect![[r#"
                + topic: all positions are inside it, and nothing expired unread; 7 offsets are to be read
                ? partition 2: whether anything was at its offsets before 7: they expired before its first commit
            "#]],
        );
        expect_told(
            Some("id"),
            &[(0, 0, 9), (1, 16, 20)],
            &expect![[r#"
                ! partition 0: the ledger ends at offset 10, and the topic at 9
                ! partition 1: the ledger ends at offset 15, and the topic begins at 16: 1 offset expired before they were read
            "#]],
        );
        expect_told(
            None,
            &[(0, 0, 11)],
            &expect![[r#"
                ! partition 1: the topic has no such partition, and the ledger does
                ? whether it is still the same topic: brokers or ledger have no id of it
            "#]],
        );
        expect_told(
            Some("new"),
            &[(0, 0, 0), (1, 0, 0)],
            &expect![[r#"
                ! partition 0: it was loaded of topic id id, and the topic's is new: it was deleted and made anew
                ! partition 1: it was loaded of topic id id, and the topic's is new: it was deleted and made anew
            "#]],
        );
    }
}
