//! The proof of a job, for `check --verify`: its ledger is a chain whose accounts add up. Row by row, so that no more
//! than a few numbers a partition are in memory. What stands against the topic is in `topic`, what against the target
//! in `table`. Pure.
//!
//! | rule | of each partition |
//! |---|---|
//! | numbers | each row's is one more than that of the row before it |
//! | spans | each begins where the one before it ends; only a skip or a reset moves the position without reading |
//! | sums | those of [`Account`] |
//! | topic | its id changes at a reset alone |
//! | beginning | the first row is the first there was, or so many are kept that older ones were pruned |

pub mod table;
pub mod topic;

use std::collections::BTreeMap;

use crate::greenplum::{Account, Chain, Kind, LedgerRow};
use crate::line::excerpt;
use crate::units::counted;

/// What is wrong may be wrong a million times; more lines than these nobody reads.
const WRONG_MAX: usize = 50;

/// What a proof comes to, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub proved: Vec<String>,
    /// What does not hold.
    pub wrong: Vec<String>,
    /// What could not be looked at, and why.
    pub unproved: Vec<String>,
    /// Beside those of `wrong`.
    pub wrong_more: u64,
}

impl Findings {
    pub fn wrong(&mut self, line: String) {
        match self.wrong.len() < WRONG_MAX {
            true => self.wrong.push(line),
            false => self.wrong_more += 1,
        }
    }

    /// How many things do not hold.
    pub fn count(&self) -> u64 {
        self.wrong.len() as u64 + self.wrong_more
    }
}

/// What the ledger says of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number of the first row that is there, and where it begins.
    pub first_seq: i64,
    pub first: i64,
    pub last_seq: i64,
    pub next: i64,
    /// The furthest position that it ever had.
    pub furthest: i64,
    pub topic_id: Option<String>,
    /// Sums of all rows.
    pub account: Account,
    /// Offsets that had expired before they were read.
    pub skipped: i64,
    /// Behind the first row: where that is one, it only says where the job begins.
    pub resets: u64,
    /// The first row is a reset: somebody else may have loaded what lies before it.
    pub begins_by_reset: bool,
    /// Rows without accounts.
    pub unaccounted: u64,
    /// Since the last reset: what became of the offsets, and which have been read, in order.
    pub life: Account,
    pub stretches: Vec<(i64, i64)>,
}

impl Part {
    /// Whether all is known that this program ever loaded of it, and each offset was loaded once.
    pub fn is_whole(&self) -> bool {
        self.first_seq == 1 && self.resets == 0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Proof {
    parts: BTreeMap<i32, Part>,
    findings: Findings,
    rows: u64,
}

impl Proof {
    /// Takes the next row, in the order of partition and number.
    pub fn take(&mut self, row: &LedgerRow) {
        self.rows += 1;
        let partition = row.partition;
        let part = self.parts.entry(partition).or_insert_with(|| begin(row));
        let mut wrong = |text: String| self.findings.wrong(format!("partition {partition}: {text}"));
        let what = format!("commit {} (batch {} of loader {})", row.seq, row.batch, excerpt(&row.instance, 40));
        let (Some(kind), None) = (row.kind(), row.foreign()) else {
            wrong(format!("{what}: {}, which no gpkafka has written", row.foreign().unwrap_or_default()));
            part.go_on(row);
            return;
        };
        if row.seq != part.last_seq + 1 {
            let text = match row.seq - part.last_seq {
                2 => format!("commit {} is missing, before {what}", row.seq - 1),
                3.. => format!("commits {} to {} are missing, before {what}", part.last_seq + 1, row.seq - 1),
                _ => format!("{what} is there twice"),
            };
            wrong(text);
        }
        if row.first != part.next {
            wrong(format!("{what} begins at offset {}, and the one before it ends at {}", row.first, part.next));
        }
        if kind != Kind::Reset && row.next <= row.first {
            wrong(format!("{what} ends at offset {}, where it begins or before", row.next));
        }
        if let (Some(before), Some(id)) = (part.topic_id.as_ref().filter(|_| kind != Kind::Reset), &row.topic_id)
            && before != id
        {
            let [id, before] = [id, before].map(|id| excerpt(id, 40));
            wrong(format!(
                "{what} is of topic id {id}, and the one before it of {before}, without a reset between them"
            ));
        }
        if let Some(Err(cause)) = row.account.map(|account| account.check(kind, row.first, row.next)) {
            wrong(format!("{what}: {cause}"));
        }
        part.count(row, kind);
        part.go_on(row);
    }

    /// What the rows were, and what they prove.
    pub fn end(self, findings: &mut Findings) -> BTreeMap<i32, Part> {
        let Self { parts, findings: found, rows } = self;
        let has_broken = found.count() > 0;
        findings.wrong_more += found.wrong_more;
        found.wrong.into_iter().for_each(|line| findings.wrong(line));
        let kept = i64::from(Chain::KEPT);
        let mut is_cut = false;
        for (partition, part) in parts.iter().filter(|(_, part)| part.first_seq != 1) {
            let there = part.last_seq - part.first_seq + 1;
            if part.first_seq > 1 && there >= kept {
                findings.unproved.push(format!(
                    "partition {partition}: what was committed before offset {}: older commits than {kept} are pruned",
                    part.first
                ));
            } else {
                is_cut = true;
                findings.wrong(format!(
                    "partition {partition}: its history begins with commit {}, at offset {}; gpkafka prunes none of the newest {kept}",
                    part.first_seq, part.first
                ));
            }
        }
        let unaccounted: u64 = parts.values().map(|part| part.unaccounted).sum();
        if unaccounted > 0 {
            findings.unproved.push(format!(
                "the sums of {} by an earlier gpkafka, which kept no accounts",
                counted(unaccounted, "commit")
            ));
        }
        if !has_broken && !is_cut {
            let (rows, partitions) = (counted(rows, "commit"), counted(parts.len() as u64, "partition"));
            findings.proved.push(format!("ledger: {rows} of {partitions} join without a gap, and all sums hold"));
        }
        parts
    }
}

/// Numbers that no ledger of ours has are bent to such as one could have: with these nothing overflows.
fn begin(row: &LedgerRow) -> Part {
    let (first_seq, first) = (LedgerRow::bent(row.seq).max(1), LedgerRow::bent(row.first));
    Part {
        first_seq,
        first,
        last_seq: first_seq - 1,
        next: first,
        furthest: first,
        topic_id: None,
        account: Account::default(),
        skipped: 0,
        resets: 0,
        begins_by_reset: row.kind() == Some(Kind::Reset),
        unaccounted: 0,
        life: Account::default(),
        stretches: Vec::new(),
    }
}

impl Part {
    fn count(&mut self, row: &LedgerRow, kind: Kind) {
        let account = row.account.unwrap_or_else(|| {
            self.unaccounted += 1;
            Account { rows: None, inserted: row.inserted, ..Account::default() }
        });
        match kind {
            Kind::Load => match self.stretches.last_mut().filter(|(_, next)| *next == row.first) {
                Some((_, next)) => *next = row.next,
                None => self.stretches.push((row.first, row.next)),
            },
            Kind::Skip => self.skipped = self.skipped.saturating_add(row.next - row.first),
            Kind::Reset => {
                self.resets += u64::from(row.seq > 1);
                self.life = Account::default();
                self.stretches.clear();
            }
        }
        self.account += account;
        self.life += account;
    }

    fn go_on(&mut self, row: &LedgerRow) {
        self.last_seq = LedgerRow::bent(row.seq);
        self.next = LedgerRow::bent(row.next);
        self.furthest = self.furthest.max(self.next);
        self.topic_id = row.topic_id.clone().or(self.topic_id.take());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Ten offsets, eight records of a row each, of which seven came through.
    pub fn load(partition: i32, seq: i64, first: i64) -> LedgerRow {
        let account = Account {
            records: 9,
            holes: 1,
            decoded: 8,
            refused: 1,
            dropped: 0,
            rows: Some(8),
            inserted: 7,
            rejected: 1,
            filtered: 0,
        };
        LedgerRow { account: Some(account), inserted: 7, ..moved(partition, seq, Kind::Load, first, first + 10) }
    }

    pub fn moved(partition: i32, seq: i64, kind: Kind, first: i64, next: i64) -> LedgerRow {
        LedgerRow {
            partition,
            seq,
            kind: kind.as_str().to_owned(),
            first,
            next,
            topic_id: Some("id".to_owned()),
            batch: seq,
            instance: "x".to_owned(),
            inserted: 0,
            account: Some(Account::default()),
        }
    }

    pub fn proved(rows: &[LedgerRow]) -> (BTreeMap<i32, Part>, Findings) {
        let (mut proof, mut findings) = (Proof::default(), Findings::default());
        rows.iter().for_each(|row| proof.take(row));
        (proof.end(&mut findings), findings)
    }

    pub fn lines(findings: &Findings) -> String {
        let of = |head: &str, lines: &[String]| lines.iter().map(|line| format!("{head} {line}\n")).collect::<String>();
        of("+", &findings.proved) + &of("!", &findings.wrong) + &of("?", &findings.unproved)
    }

    /// Partition 0 is loaded, resumed behind what expired, and reset; partition 4 is loaded.
    fn whole() -> Vec<LedgerRow> {
        vec![
            load(0, 1, 0),
            load(0, 2, 10),
            moved(0, 3, Kind::Skip, 20, 50),
            load(0, 4, 50),
            moved(0, 5, Kind::Reset, 60, 15),
            load(0, 6, 15),
            load(0, 7, 25),
            load(4, 1, 30),
        ]
    }

    fn expect_told(change: impl FnOnce(&mut Vec<LedgerRow>), expected: &Expect) {
        let mut rows = whole();
        change(&mut rows);
        expected.assert_eq(&lines(&proved(&rows).1));
    }

    #[test]
    fn a_whole_chain_is_proved_and_summed() {
        let (parts, findings) = proved(&whole());
        expect![[r#"
            + ledger: 8 commits of 2 partitions join without a gap, and all sums hold
        "#]]
        .assert_eq(&lines(&findings));
        let part = &parts[&0];
        assert_eq!((part.first, part.next, part.furthest, part.skipped, part.resets), (0, 35, 60, 30, 1));
        assert_eq!((part.account.inserted, part.life.inserted, &part.stretches[..]), (35, 14, &[(15, 35)][..]));
        assert!(!part.is_whole() && parts[&4].is_whole());
        // a skip parts what is read
        assert_eq!(proved(&whole()[..4]).0[&0].stretches, [(0, 20), (50, 60)]);
    }

    #[test]
    fn each_rule_that_is_broken_has_its_line() {
        expect_told(
            |rows| drop(rows.remove(1)),
            &expect![[r#"
                ! partition 0: commit 2 is missing, before commit 3 (batch 3 of loader x)
                ! partition 0: commit 3 (batch 3 of loader x) begins at offset 20, and the one before it ends at 10
            "#]],
        );
        expect_told(
            |rows| drop(rows.drain(1..5)),
            &expect![[r#"
                ! partition 0: commits 2 to 5 are missing, before commit 6 (batch 6 of loader x)
                ! partition 0: commit 6 (batch 6 of loader x) begins at offset 15, and the one before it ends at 10
            "#]],
        );
        expect_told(
            |rows| drop(rows.remove(0)),
            &expect![[r#"
                ! partition 0: its history begins with commit 2, at offset 10; gpkafka prunes none of the newest 20000
            "#]],
        );
        expect_told(
            |rows| rows.insert(1, load(0, 1, 10)),
            &expect![[r#"
                ! partition 0: commit 1 (batch 1 of loader x) is there twice
                ! partition 0: commit 2 (batch 2 of loader x) begins at offset 10, and the one before it ends at 20
            "#]],
        );
        expect_told(
            |rows| rows[1].next = 10,
            &expect![[r#"
                ! partition 0: commit 2 (batch 2 of loader x) ends at offset 10, where it begins or before
                ! partition 0: commit 2 (batch 2 of loader x): offsets 10 to 10 are 0, but 9 records and 1 holes are counted
                ! partition 0: commit 3 (batch 3 of loader x) begins at offset 20, and the one before it ends at 10
            "#]],
        );
        expect_told(
            |rows| rows[7].account.as_mut().unwrap().inserted = 8,
            &expect![[r#"
                ! partition 4: commit 1 (batch 1 of loader x): 8 rows were sent, but 8 inserted, 1 rejected and 0 filtered are counted
            "#]],
        );
        expect_told(
            |rows| rows[2].account.as_mut().unwrap().records = 1,
            &expect![[r#"
                ! partition 0: commit 3 (batch 3 of loader x): a skip loads nothing, but 1 records are counted
            "#]],
        );
        expect_told(
            |rows| rows[1].kind = "lode".to_owned(),
            &expect![[r#"
                ! partition 0: commit 2 (batch 2 of loader x): kind is "lode", which no gpkafka has written
            "#]],
        );
        expect_told(
            |rows| rows[3].topic_id = Some("other".to_owned()),
            &expect![[r#"
                ! partition 0: commit 4 (batch 4 of loader x) is of topic id other, and the one before it of id, without a reset between them
            "#]],
        );
    }

    #[test]
    fn numbers_that_no_ledger_has_are_told_and_overflow_nothing() {
        for (change, said) in [
            ((|row| row.seq = i64::MIN) as fn(&mut LedgerRow), "seq is -9223372036854775808"),
            (|row| row.next = i64::MAX, "next is 9223372036854775807"),
            (|row| row.first = -1, "first is -1"),
            (|row| row.account.as_mut().unwrap().filtered = i64::MAX, "filtered is 9223372036854775807"),
        ] {
            let mut rows = whole();
            change(&mut rows[1]);
            let told = lines(&proved(&rows).1);
            assert!(told.contains(&format!("{said}, which no gpkafka has written\n")), "{told}");
        }
    }

    #[test]
    fn a_reset_may_change_the_topic_and_brokers_may_tell_no_id() {
        let mut rows = whole();
        rows[1].topic_id = None;
        rows[4..7].iter_mut().for_each(|row| row.topic_id = Some("new".to_owned()));
        assert_eq!(proved(&rows).1.wrong, [""; 0]);
    }

    #[test]
    fn what_was_pruned_or_not_counted_is_said() {
        let kept = i64::from(Chain::KEPT);
        let mut rows: Vec<_> = (0..kept).map(|at| load(3, 5 + at, 100 + at * 10)).collect();
        rows[0].account = None;
        let (parts, findings) = proved(&rows);
        expect![[r#"
            + ledger: 20,000 commits of 1 partition join without a gap, and all sums hold
            ? partition 3: what was committed before offset 100: older commits than 20000 are pruned
            ? the sums of 1 commit by an earlier gpkafka, which kept no accounts
        "#]]
        .assert_eq(&lines(&findings));
        assert_eq!((parts[&3].account.inserted, parts[&3].account.rows), (7 * kept, None));
    }

    #[test]
    fn lines_are_bounded() {
        let rows: Vec<_> = (0..200).map(|at| load(0, 1 + at * 2, 1 + at * 10)).collect();
        let findings = proved(&rows).1;
        assert_eq!((findings.wrong.len(), findings.count()), (WRONG_MAX, 199));
    }
}
