//! The matrix: where a loader is when something befalls it, and what that is.

/// What befalls a loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; another loader follows.
    Kill,
    /// SIGSTOP; another loader takes over and loads everything; SIGCONT.
    Stop,
    /// Its connections to the database are reset.
    DatabaseReset,
    /// They stay, and nothing comes through any more.
    DatabaseHole,
    /// Its connections to the brokers are reset.
    KafkaReset,
    /// One segment's connection to it is reset.
    SegmentReset,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::Kill, Self::Stop, Self::DatabaseReset, Self::DatabaseHole, Self::KafkaReset, Self::SegmentReset];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP, successor, SIGCONT",
            Self::DatabaseReset => "database reset",
            Self::DatabaseHole => "database black-holed",
            Self::KafkaReset => "Kafka reset",
            Self::SegmentReset => "one segment reset",
        }
    }
}

/// How a test knows that a loader is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It stands at this fail point, passed so many times each batch (by each segment, if `by_segments`), and in the
    /// first batch so many times before the one that is meant.
    Stands { at: &'static str, by_segments: bool, before: u32 },
    /// It has just passed it, and goes on.
    Passes { at: &'static str },
    /// The wire to the database has carried its COMMIT and keeps the reply.
    CommitSent,
    /// The wire to the segments has carried half of one's bytes, and keeps the others.
    HalfServed,
}

/// Where a loader is.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub words: &'static str,
    pub mark: Mark,
    /// It may come again with the next batch.
    pub each_batch: bool,
    pub scene: Setting,
}

/// What goes on there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A load to the end of the topic.
    Load,
    /// It is told to end by SIGINT once it has committed.
    Shutdown,
    /// Everything was loaded and truncated; the load resets its history.
    Reset,
}

const fn stands(words: &'static str, at: &'static str) -> Point {
    let mark = Mark::Stands { at, by_segments: false, before: 0 };
    Point { words, mark, each_batch: true, scene: Setting::Load }
}

const fn once(words: &'static str, at: &'static str) -> Point {
    Point { each_batch: false, ..stands(words, at) }
}

const fn by_segments(words: &'static str, at: &'static str, before: u32) -> Point {
    Point { mark: Mark::Stands { at, by_segments: true, before }, ..stands(words, at) }
}

/// In the order of a load.
pub const POINTS: [Point; 17] = [
    once("after config", "after-config"),
    once("after take-over", "after-claim"),
    once("after ledger read", "after-ledger-read"),
    stands("mid fetch", "mid-fetch"),
    stands("mid decode", "mid-decode"),
    stands("after BEGIN", "after-begin"),
    by_segments("INSERT sent, no segment served", "segment-asks", 0),
    Point { mark: Mark::HalfServed, ..stands("half of the bytes served to one segment", "") },
    by_segments("all but one segment finished", "segment-ends", 1),
    Point { mark: Mark::Passes { at: "segment-served" }, ..by_segments("all served, no reply", "segment-served", 1) },
    stands("INSERT reply received", "insert-replied"),
    stands("after the row check", "before-ledger-append"),
    stands("after ledger append", "after-ledger-append"),
    Point { mark: Mark::CommitSent, ..stands("COMMIT sent, no reply", "") },
    stands("COMMIT reply received, state not updated", "after-commit"),
    Point { scene: Setting::Shutdown, ..once("during shutdown", "mid-shutdown") },
    Point { scene: Setting::Reset, ..once("during reset", "before-commit") },
];

impl Point {
    /// At which passing of its fail point it is met, a different batch's with each seed.
    pub fn number(&self, seed: u32, segments: u32) -> u32 {
        let batch = if self.each_batch { seed % 3 } else { 0 };
        match self.mark {
            Mark::Stands { by_segments: true, before, .. } => batch * segments + (1 + before).min(segments),
            Mark::Passes { .. } => (batch + 1) * segments,
            _ => batch + 1,
        }
    }
}
