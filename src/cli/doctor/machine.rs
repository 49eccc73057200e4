//! The checks of this machine: room for the log, and memory for what is in flight.

use std::path::{Path, PathBuf};

use super::super::Exit;
use super::super::console::default_log_dir;
use super::Case;
use super::database::Database;
use super::report::{Check, Report, Verdict};
use crate::units;

/// Log lines of years, and room for others who write there.
const FREE_MIN: u64 = 256 << 20;

/// What a process takes beside its `--memory`, as the README has it.
const BESIDE: u64 = 64 << 20;

/// What is larger is no limit but the word for none.
const LIMIT_MAX: u64 = 1 << 60;

/// Names of the checks, in order.
const NAMES: [&str; 2] = ["disk", "memory"];

pub fn examine(case: &Case, _: &mut Database, report: &mut Report) -> Result<(), Exit> {
    report.add(disk(case.log_dir.as_deref()))?;
    report.add(memory(case.memory_bytes as u64 + BESIDE, &Memory::now()))
}

/// Where the log goes: a folder that is asked for must take it, the usual one is done without.
fn disk(asked: Option<&Path>) -> Check {
    let Some(dir) = asked.map(Path::to_owned).or_else(default_log_dir) else {
        return Check::ok(NAMES[0], "there is no HOME, so no log file is written");
    };
    // it is made by the first load
    let there = dir.ancestors().find(|dir| dir.exists()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    let refused = match there.is_dir() {
        true => rustix::fs::access(&there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).err(),
        false => Some(rustix::io::Errno::NOTDIR),
    };
    let mut check = Check::new(NAMES[0]);
    if let Some(error) = refused {
        let verdict = if asked.is_some() { Verdict::Failed } else { Verdict::Warning };
        check.say(verdict, format!("no log file can be written in {}: {error}", dir.display()));
        check.advise("name another --log-dir");
        return check;
    }
    let Ok(stat) = rustix::fs::statvfs(&there) else {
        return Check::ok(NAMES[0], format!("the log goes to {}", dir.display()));
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let verdict = if free < FREE_MIN { Verdict::Warning } else { Verdict::Ok };
    check.say(verdict, format!("{} are free where the log goes, {}", units::bytes(free), dir.display()));
    if verdict != Verdict::Ok {
        check.advise("make room there, or name another --log-dir: rows never go through files, log lines do");
    }
    check
}

/// Of this machine, or of the part of it that this process is kept in; bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    total: Option<u64>,
    available: Option<u64>,
}

impl Memory {
    fn now() -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        let machine = Self::of_machine(&read(Path::new("/proc/meminfo")).unwrap_or_default());
        let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
        folders(&groups).iter().filter_map(|folder| Self::of_group(folder, &read)).fold(machine, Self::least)
    }

    /// From `/proc/meminfo`.
    fn of_machine(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kbytes| kbytes << 10)
        };
        Self { total: field("MemTotal"), available: field("MemAvailable") }
    }

    /// From a folder of the control groups, of either version; `None` where it has no limit.
    fn of_group(folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<Self> {
        let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
        let limit =
            number("memory.max").or_else(|| number("memory.limit_in_bytes")).filter(|limit| *limit < LIMIT_MAX)?;
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes")).unwrap_or(0);
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        // pages of files go when somebody needs the room
        let files = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok()).unwrap_or(0);
        Some(Self { total: Some(limit), available: Some(limit.saturating_sub(used.saturating_sub(files))) })
    }

    fn least(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self { total: least(self.total, other.total), available: least(self.available, other.available) }
    }
}

/// The folders in which the limits of this process are, each with those above it.
fn folders(groups: &str) -> Vec<PathBuf> {
    let root = |controllers: &str| match controllers {
        "" => Some(Path::new("/sys/fs/cgroup")),
        some if some.split(',').any(|controller| controller == "memory") => Some(Path::new("/sys/fs/cgroup/memory")),
        _ => None,
    };
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let Some(root) = root(controllers) else { continue };
        let own: PathBuf = root.join(path.trim_start_matches('/')).components().collect();
        folders.extend(own.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned));
    }
    folders
}

fn memory(needed: u64, memory: &Memory) -> Check {
    let mut check = Check::new(NAMES[1]);
    let shown = units::bytes(needed);
    match *memory {
        Memory { total: Some(total), .. } if total < needed => {
            let text = format!("a load may take {shown}, and all there is here is {}", units::bytes(total));
            check.say(Verdict::Failed, text);
            check.advise("give a smaller --memory: a load that takes more than there is gets killed");
        }
        Memory { available: Some(available), .. } if available < needed => {
            let text = format!("a load may take {shown}, and only {} are available now", units::bytes(available));
            check.say(Verdict::Warning, text);
            check.advise("give a smaller --memory, or end what else runs here");
        }
        Memory { available: Some(available), .. } => {
            check.say(Verdict::Ok, format!("a load may take {shown} of the {} available", units::bytes(available)));
        }
        Memory { available: None, .. } => {
            check.say(Verdict::Ok, format!("a load may take {shown}; this system does not tell what is available"));
        }
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_least_of_machine_and_groups() {
        let machine = Memory::of_machine("MemTotal:        8000 kB\nMemFree: 1 kB\nMemAvailable:    6000 kB\n");
        assert_eq!(machine, Memory { total: Some(8000 << 10), available: Some(6000 << 10) });
        let read = |path: &Path| match path.to_str().unwrap() {
            "/a/memory.max" => Some("4096000\n".to_owned()),
            "/a/memory.current" => Some("1000\n".to_owned()),
            "/a/memory.stat" => Some("anon 5\ninactive_file 400\n".to_owned()),
            "/b/memory.max" => Some("max\n".to_owned()),
            "/c/memory.limit_in_bytes" => Some("9223372036854771712\n".to_owned()),
            _ => None,
        };
        let group = Memory::of_group(Path::new("/a"), &read).unwrap();
        assert_eq!(group, Memory { total: Some(4_096_000), available: Some(4_095_400) });
        for folder in ["/b", "/c", "/d"] {
            assert_eq!(Memory::of_group(Path::new(folder), &read), None);
        }
        assert_eq!(machine.least(group), Memory { total: Some(4_096_000), available: Some(4_095_400) });
    }

    #[test]
    fn a_limit_may_stand_in_any_folder_above() {
        let shown = |groups| folders(groups).iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        assert_eq!(shown("0::/a/b\n"), ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]);
        assert_eq!(shown("5:cpu:/x\n4:memory:/\n"), ["/sys/fs/cgroup/memory"]);
        assert_eq!(shown("nonsense"), [""; 0]);
    }

    #[test]
    fn too_little_memory_fails_and_too_little_now_warns() {
        let judged = |total, available| memory(100, &Memory { total, available }).verdict;
        assert_eq!(judged(Some(99), Some(99)), Verdict::Failed);
        assert_eq!(judged(Some(200), Some(99)), Verdict::Warning);
        assert_eq!(judged(Some(200), Some(100)), Verdict::Ok);
        assert_eq!(judged(None, None), Verdict::Ok);
    }

    #[test]
    fn a_log_needs_a_folder_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(disk(Some(&folder.path().join("new/deep"))).verdict, Verdict::Ok);
        assert!(!folder.path().join("new").exists());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(disk(Some(&file.join("x"))).verdict, Verdict::Failed);
    }
}
