//! Two threads that look after the world while batches run: `kafka` polls the main queue and looks for new partitions,
//! `holder` keeps the control session acting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::threads::Stop;
use crate::greenplum::{Error, Holder};
use crate::kafka::{Consumer, Event};

/// How often the topic is asked for new partitions: three times inside the 30 s that are promised.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(10);

/// How long a look may take: a topic that is missing is believed to be gone only after 10 s.
const LOOK_WAIT: Duration = Duration::from_secs(15);

/// How long a thread's last word waits for who listens.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The longest these threads go without looking at the wish to end.
const WAIT: Duration = Duration::from_millis(100);

/// What they see.
#[derive(Debug)]
pub enum Seen {
    /// Partitions that the assignment lacks.
    NewPartitions(Vec<i32>),
    /// The topic is not what it was: deleted, or made anew under the same name.
    TopicChanged,
    /// Something about the brokers that passes, for the log.
    Kafka(Event),
    /// The control session has acted.
    Beat,
    /// The claim is gone.
    HolderLost(Error),
}

/// What the `kafka` thread owns.
pub struct KafkaWatch {
    pub consumer: Arc<Consumer>,
    pub assigned: BTreeSet<i32>,
    /// Id of the topic when the attempt began, where the broker has ids.
    pub topic_id: Option<String>,
    /// Whether a new partition would be ours.
    pub wants: Box<dyn Fn(i32) -> bool + Send>,
    pub seen: Sender<Seen>,
    pub stop: Stop,
}

impl KafkaWatch {
    /// Polls until told to stop.
    ///
    /// # Blocks
    /// For as long as the attempt lasts.
    pub fn run(mut self) {
        let mut look_at = Instant::now() + LOOK_FOR_PARTITIONS;
        while !self.stop.is_asked() {
            if let Some(event) = self.consumer.poll(WAIT) {
                tell(&self.seen, Seen::Kafka(event));
            }
            if Instant::now() >= look_at {
                self.look();
                look_at = Instant::now() + LOOK_FOR_PARTITIONS;
            }
        }
    }

    /// A full channel loses it; the next look finds it again.
    fn tell_changed(&self) {
        tell(&self.seen, Seen::TopicChanged);
    }

    /// A broker that does not answer is no news: the next look may do better.
    fn look(&mut self) {
        let topic = match self.consumer.topic(LOOK_WAIT) {
            Ok(topic) => topic,
            Err(error) if error.is_passing() => return,
            Err(_) => return self.tell_changed(),
        };
        if topic.id.is_some() && self.topic_id.is_some() && topic.id != self.topic_id {
            return self.tell_changed();
        }
        let new: Vec<i32> = topic
            .partitions
            .into_iter()
            .filter(|partition| !self.assigned.contains(partition) && (self.wants)(*partition))
            .collect();
        if !new.is_empty() && tell(&self.seen, Seen::NewPartitions(new.clone())) {
            self.assigned.extend(new);
        }
    }
}

/// When the history is pruned for the first time, and then again and again: by then a short load has ended.
const PRUNE: Duration = Duration::from_secs(600);

/// Keeps the control session acting until told to stop or until it is gone; prunes the job's history now and then.
///
/// # Blocks
/// For as long as the attempt lasts.
pub fn hold(mut holder: Holder, seen: &Sender<Seen>, stop: &Stop) {
    let beat = holder.liveness().beat();
    let (mut beat_at, mut prune_at) = (Instant::now() + beat, Instant::now() + PRUNE);
    while !stop.is_asked() {
        std::thread::park_timeout(WAIT);
        if Instant::now() < beat_at {
            continue;
        }
        if let Err(error) = holder.beat() {
            // the last thing that this thread has to say; who does not listen by then is ending
            drop(seen.send_timeout(Seen::HolderLost(error), LAST_WORD));
            return;
        }
        tell(seen, Seen::Beat);
        if Instant::now() >= prune_at {
            // what keeps it from being done now may not do so the next time; a lost session is told by the next beat
            drop(holder.prune());
            prune_at = Instant::now() + PRUNE;
        }
        beat_at = Instant::now() + beat;
    }
}

/// Whether there was room for the news. What is lost so is seen again by the next look, or told by the next statement.
fn tell(seen: &Sender<Seen>, news: Seen) -> bool {
    seen.try_send(news).is_ok()
}
