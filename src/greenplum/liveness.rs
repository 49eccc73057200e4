//! How fast a loader that acts no more, and a database that answers no more, are found out. Safety does not rest on it.

use std::time::Duration;

/// One length of time, from which the others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness(Duration);

impl Liveness {
    /// More than a busy machine delays a loader, less than a user waits for its successor.
    pub const SILENCE: Duration = Duration::from_secs(15);

    /// A loader that was silent for so long may be succeeded. All loaders of a job should have the same.
    pub fn of(silence: Duration) -> Self {
        Self(silence)
    }

    /// See [`Liveness::of`].
    pub fn silence(self) -> Duration {
        self.0
    }

    /// How often the control session acts: seven beats fit into the silence.
    pub fn beat(self) -> Duration {
        self.0 * 2 / 15
    }

    /// When a claimant gives up on a holder that neither acts nor falls silent: a take-over is told within twice the
    /// silence.
    pub fn claim(self) -> Duration {
        self.0 * 5 / 3
    }

    /// How long the database may leave a control session without an answer until it is taken for lost: beside seven
    /// beats, the time that TCP itself needs to notice.
    pub fn answer(self) -> Duration {
        self.0 * 2
    }

    /// Of TCP: when an idle connection is probed, and how often then. It takes whole seconds.
    pub fn keepalive(self) -> (Duration, Duration) {
        let least = Duration::from_secs(1);
        ((self.0 * 2 / 3).max(least), (self.0 / 3).max(least))
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self(Self::SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_a_take_over_is_told_within_half_a_minute() {
        let [beat, claim, answer] =
            [Liveness::beat, Liveness::claim, Liveness::answer].map(|of| of(Liveness::default()).as_secs());
        assert_eq!((beat, claim, answer), (2, 25, 30));
        assert_eq!(Liveness::default().keepalive(), (Duration::from_secs(10), Duration::from_secs(5)));
    }

    #[test]
    fn short_ones_keep_their_proportions() {
        let short = Liveness::of(Duration::from_secs(2));
        assert!(
            short.beat() * 7 < short.silence() && short.claim() > short.silence() && short.answer() > short.claim()
        );
        assert_eq!(short.keepalive().1, Duration::from_secs(1));
    }
}
