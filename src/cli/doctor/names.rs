//! Whether the names of brokers, database and registry resolve here, and what segments would make of this machine's own.

use std::net::IpAddr;

use super::report::{Check, Verdict};
use super::{Case, net};

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Broker,
    Database,
    Registry,
    /// Where segments call.
    Loader,
}

impl Of {
    fn word(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Database => "database",
            Self::Registry => "schema registry",
            Self::Loader => "this loader",
        }
    }
}

/// A name and what came of it.
struct Named {
    of: Of,
    name: String,
    resolved: Result<Vec<IpAddr>, String>,
}

pub fn check(case: &Case) -> Check {
    let job = &case.job;
    let mut names: Vec<(Of, String)> = Vec::new();
    let brokers = net::addresses(&job.source.brokers);
    names.extend(brokers.into_iter().map(|(host, _)| (Of::Broker, host)));
    if !job.connection.host.starts_with('/') {
        names.push((Of::Database, job.connection.host.clone()));
    }
    let urls = job.registry_settings().into_iter().flatten().flat_map(|settings| settings.urls);
    names.extend(urls.filter_map(|url| net::host_of(&url)).map(|host| (Of::Registry, host)));
    names.push((Of::Loader, case.host.clone()));
    let mut known = Vec::new();
    names.retain(|name| {
        let is_new = !known.contains(name);
        known.push(name.clone());
        is_new
    });
    let hosts: Vec<String> = names.iter().map(|(_, host)| host.clone()).collect();
    let resolved = net::resolve(&hosts);
    let named = names.into_iter().zip(resolved).map(|((of, name), resolved)| Named { of, name, resolved });
    judge(&named.collect::<Vec<_>>())
}

fn judge(all: &[Named]) -> Check {
    let mut check = Check::new("names");
    let broker_resolves = all.iter().any(|named| named.of == Of::Broker && named.resolved.is_ok());
    let of = |of| all.iter().filter(move |named| named.of == of);
    for named in all {
        let (word, name) = (named.of.word(), &named.name);
        match &named.resolved {
            // no name at all
            Ok(_) if name.parse::<IpAddr>().is_ok() => {}
            Ok(addresses) => {
                let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                check.say(Verdict::Ok, format!("{word} {name} is {}", shown.join(", ")));
            }
            Err(why) => {
                let verdict = match named.of {
                    // segments do, each for itself
                    Of::Loader => Verdict::Ok,
                    Of::Broker if broker_resolves => Verdict::Warning,
                    _ => Verdict::Failed,
                };
                check.say(verdict, format!("{word} {name} does not resolve here: {why}"));
                if verdict != Verdict::Ok {
                    check
                        .advise(format!("correct {name} in the file, or have this machine know it: DNS or /etc/hosts"));
                }
            }
        }
    }
    let is_here =
        |named: &Named| named.resolved.as_ref().is_ok_and(|all| !all.is_empty() && all.iter().all(IpAddr::is_loopback));
    if let Some(loader) = of(Of::Loader).find(|loader| is_here(loader))
        && of(Of::Database).any(|database| database.resolved.is_ok() && !is_here(database))
    {
        let name = &loader.name;
        check.say(Verdict::Warning, format!("{name}, where segments are to call, is an address of this machine alone"));
        check.advise("give --gpfdist-host an address of this machine that every segment host can reach");
    }
    if check.found.is_empty() {
        check.say(Verdict::Ok, "all servers are given as addresses");
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(of: Of, name: &str, addresses: &[&str]) -> Named {
        let resolved: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let resolved = if resolved.is_empty() { Err("no such host".to_owned()) } else { Ok(resolved) };
        Named { of, name: name.to_owned(), resolved }
    }

    fn judged(all: &[Named]) -> (Verdict, String) {
        let check = judge(all);
        (check.verdict, [check.found, check.advice].concat().join(" | "))
    }

    #[test]
    fn one_broker_is_enough_and_a_database_is_needed() {
        let good = || named(Of::Database, "mdw", &["10.0.0.1"]);
        let brokers = || [named(Of::Broker, "k1", &[]), named(Of::Broker, "k2", &["10.0.0.7"])];
        let [lost, found] = brokers();
        assert_eq!(judged(&[lost, found, good()]).0, Verdict::Warning);
        let (verdict, text) = judged(&[named(Of::Broker, "k1", &[]), good()]);
        assert_eq!(verdict, Verdict::Failed);
        assert!(
            text.starts_with("broker k1 does not resolve here: no such host | database mdw is 10.0.0.1 | "),
            "{text}"
        );
        assert_eq!(judged(&[named(Of::Database, "mdw", &[])]).0, Verdict::Failed);
        assert_eq!(judged(&[good(), named(Of::Loader, "etl1", &[])]).0, Verdict::Ok);
    }

    #[test]
    fn a_loader_on_the_loopback_address_is_told_where_segments_are_elsewhere() {
        let loader = || named(Of::Loader, "etl1", &["127.0.1.1"]);
        let (verdict, text) = judged(&[named(Of::Database, "mdw", &["10.0.0.1"]), loader()]);
        assert_eq!(verdict, Verdict::Warning);
        assert!(text.contains("give --gpfdist-host an address"), "{text}");
        assert_eq!(judged(&[named(Of::Database, "127.0.0.1", &["127.0.0.1"]), loader()]).0, Verdict::Ok);
        let all = judged(&[named(Of::Database, "127.0.0.1", &["127.0.0.1"])]);
        assert_eq!(all, (Verdict::Ok, "all servers are given as addresses".to_owned()));
    }
}
