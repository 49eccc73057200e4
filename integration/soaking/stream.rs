//! A producer that never rests, until it is told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::flow::record;
use crate::harness::Producer;

/// What is written to each partition, and how often.
const RECORDS: i64 = 20;
const TICK: Duration = Duration::from_millis(50);

/// What it and those who watch it share.
pub struct Stream {
    topic: String,
    partitions: AtomicUsize,
    /// Records that were written, by partition.
    written: Mutex<Vec<i64>>,
    is_over: AtomicBool,
}

impl Stream {
    pub fn new(topic: &str, partitions: usize) -> Self {
        let written = Mutex::new(vec![0; partitions]);
        Self { topic: topic.to_owned(), partitions: partitions.into(), written, is_over: false.into() }
    }

    /// Writes until somebody says that it is over, and then waits until the broker has everything.
    pub fn write(&self, producer: &Producer) {
        while !self.is_over.load(Ordering::Relaxed) {
            for partition in 0..self.partitions() {
                let number = i32::try_from(partition).unwrap();
                let first = self.written.lock().unwrap()[partition];
                for sequence in first..first + RECORDS {
                    producer.send(&self.topic, number, None, Some(record(number, sequence, 0).as_bytes()));
                }
                self.written.lock().unwrap()[partition] += RECORDS;
            }
            std::thread::park_timeout(TICK);
        }
        producer.flush();
    }

    /// There are so many partitions from now on.
    pub fn grow_to(&self, partitions: usize) {
        self.written.lock().unwrap().resize(partitions, 0);
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    pub fn partitions(&self) -> usize {
        self.partitions.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> Vec<i64> {
        self.written.lock().unwrap().clone()
    }

    /// Ends it when what comes back is dropped, however that happens.
    pub fn ending(&self) -> impl Drop + '_ {
        struct Ending<'a>(&'a AtomicBool);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Ending(&self.is_over)
    }
}
