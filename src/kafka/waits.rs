//! librdkafka's waits, by the monotonic clock. It waits until a time of day (`cnd_timedwait`; its issue 2145): where
//! somebody sets the wall clock back by an hour, its threads, and ours that wait for it, would stand still for an hour. So
//! this function takes the place of the C library's in the whole program: it waits for as long as it was to be when the
//! wait began.
#![allow(unsafe_code, reason = "it takes the place of a function of the C library")]

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

/// `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Timespec {
    seconds: c_long,
    nanos: c_long,
}

/// `pthread_cond_clockwait`: a condition, a mutex, a clock, and when by that clock the wait is over.
type ClockWait = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int, *const Timespec) -> c_int;
/// `cnd_timedwait`: the same by the wall clock.
type TimedWait = unsafe extern "C" fn(*mut c_void, *mut c_void, *const Timespec) -> c_int;

const REALTIME: c_int = 0;
const MONOTONIC: c_int = 1;
const NANOS: c_long = 1_000_000_000;

const ETIMEDOUT: c_int = 110;
/// As glibc numbers them in `threads.h`.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;
const THRD_TIMEDOUT: c_int = 4;

unsafe extern "C" {
    fn clock_gettime(clock: c_int, now: *mut Timespec) -> c_int;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// What the C library has: glibc waits by any clock from 2.30 on; with an older one all stays as it was.
#[derive(Clone, Copy)]
enum Native {
    Clock(ClockWait),
    Timed(TimedWait),
}

fn native() -> Native {
    /// `RTLD_DEFAULT`, and `RTLD_NEXT`: the library's, not the one below.
    const ANY: *mut c_void = std::ptr::null_mut();
    const NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);
    static NATIVE: OnceLock<Native> = OnceLock::new();
    *NATIVE.get_or_init(|| {
        // SAFETY: the names are C strings, and the functions that bear them have these signatures.
        unsafe {
            let find = |handle, name: &CStr| dlsym(handle, name.as_ptr());
            let clock = find(ANY, c"pthread_cond_clockwait");
            if !clock.is_null() {
                return Native::Clock(transmute::<*mut c_void, ClockWait>(clock));
            }
            let timed = find(NEXT, c"cnd_timedwait");
            assert!(
                !timed.is_null(),
                "this program is linked to a C library of its own, which has no waits to take from"
            );
            Native::Timed(transmute::<*mut c_void, TimedWait>(timed))
        }
    })
}

fn now(clock: c_int) -> Timespec {
    let mut now = Timespec::default();
    // SAFETY: a place to write to; both clocks are there on every Linux.
    unsafe { clock_gettime(clock, &raw mut now) };
    now
}

/// The same moment by the monotonic clock.
fn monotonic(until: Timespec, wall: Timespec, monotonic: Timespec) -> Timespec {
    let nanos = monotonic.nanos + until.nanos - wall.nanos;
    let seconds =
        until.seconds.saturating_sub(wall.seconds).saturating_add(monotonic.seconds + nanos.div_euclid(NANOS));
    Timespec { seconds: seconds.max(0), nanos: nanos.rem_euclid(NANOS) }
}

/// Takes the place of the C library's function of this name. Its conditions and mutexes are those of POSIX under other
/// names (glibc, `nptl/cnd_timedwait.c`).
///
/// # Safety
/// As C11 has it: a condition, a mutex that the caller holds, a moment.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(condition: *mut c_void, mutex: *mut c_void, until: *const Timespec) -> c_int {
    // SAFETY: promised by the caller; a moment is copied.
    unsafe {
        match native() {
            Native::Clock(wait) => {
                let until = monotonic(*until, now(REALTIME), now(MONOTONIC));
                match wait(condition, mutex, MONOTONIC, &raw const until) {
                    0 => THRD_SUCCESS,
                    ETIMEDOUT => THRD_TIMEDOUT,
                    _ => THRD_ERROR,
                }
            }
            Native::Timed(wait) => wait(condition, mutex, until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: c_long, nanos: c_long) -> Timespec {
        Timespec { seconds, nanos }
    }

    #[test]
    fn a_time_of_day_becomes_one_of_the_monotonic_clock() {
        let day = 1_800_000_000;
        let moved = |until, wall| {
            let moment = monotonic(until, wall, at(50, 900_000_000));
            (moment.seconds, moment.nanos)
        };
        assert_eq!(moved(at(day, 300_000_000), at(day, 200_000_000)), (51, 0));
        assert_eq!(moved(at(day + 7, 0), at(day, 950_000_000)), (56, 950_000_000));
        // over already
        assert_eq!(moved(at(day, 0), at(day, 1)), (50, 899_999_999));
        assert_eq!(moved(at(day, 0), at(day + 100, 0)).0, 0);
        assert_eq!(moved(at(c_long::MAX, 0), at(day, 0)).0, c_long::MAX - day + 50);
    }
}
