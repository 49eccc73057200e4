//! Lets a test stop this program at a fail point: it says that it stands there, and goes on when it is told to.
//!
//! `GPKAFKA_STAND_AT=POINT:N:FOLDER` makes the thread that passes the fail point POINT for the Nth time write the file
//! `FOLDER/at` and wait for `FOLDER/go`. With `:pass` behind it, it says so and goes on at once.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// Does nothing where the variable is not set.
///
/// # Panics
/// It is not written as said above.
pub fn arm() {
    let Ok(wanted) = std::env::var("GPKAFKA_STAND_AT") else { return };
    let parts: Vec<&str> = wanted.split(':').collect();
    let (point, number, folder, passes) = match parts[..] {
        [point, number, folder] => (point, number, folder, false),
        [point, number, folder, "pass"] => (point, number, folder, true),
        _ => panic!("GPKAFKA_STAND_AT={wanted}: it is POINT:N:FOLDER"),
    };
    let number: u32 = number.parse().expect("N is a number");
    let (folder, passed) = (folder.to_owned(), AtomicU32::new(0));
    let stand = move || {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 != number {
            return;
        }
        let folder = Path::new(&folder);
        std::fs::write(folder.join("at"), "").expect("the folder is writable");
        while !passes && !folder.join("go").exists() {
            std::thread::park_timeout(LOOK);
        }
    };
    fail::cfg_callback(point, stand).expect("a name of a fail point");
}
