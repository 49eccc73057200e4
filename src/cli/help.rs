//! `gpkafka help`: of the program, of a subcommand, or of the job file.

use clap::CommandFactory as _;

use super::{Cli, Exit, HelpArgs, console};
use crate::config::{REFERENCE, REFERENCE_V3, table};

/// What stands below the reference of version 2.
const MORE: &str = "\n# The same file in version 3: gpkafka help config --v3\n\
    # All keys of all versions, and what becomes of each: gpkafka help config --table\n";

/// Prints what was asked for.
///
/// # Errors
/// 64 for a topic that there is no help of.
pub fn run(args: &HelpArgs) -> Result<(), Exit> {
    console::print(&text(args).map_err(Exit::usage)?)
}

fn text(args: &HelpArgs) -> Result<String, String> {
    let topic = args.topic.as_deref().unwrap_or_default();
    if (args.v3 || args.table) && topic != "config" {
        return Err("--v3 and --table belong to `gpkafka help config`".to_owned());
    }
    let mut command = Cli::command();
    match topic {
        "" => Ok(command.render_long_help().to_string()),
        "config" if args.table => Ok(table()),
        "config" if args.v3 => Ok(REFERENCE_V3.to_owned()),
        "config" => Ok(format!("{REFERENCE}{MORE}")),
        name => {
            command.build();
            let help = command.find_subcommand_mut(name).map(|command| command.render_long_help().to_string());
            help.ok_or_else(|| format!("there is no help of {name}: it is no subcommand, nor `config`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(topic: &str, v3: bool, table: bool) -> Result<String, String> {
        let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
        text(&HelpArgs { topic, v3, table })
    }

    #[test]
    fn each_topic_has_its_help() {
        for (topic, v3, table, has) in [
            ("", false, false, "Commands:"),
            ("load", false, false, "Usage: gpkafka load"),
            ("shadow", false, false, "obfuscation and no encryption"),
            ("config", false, false, "KAFKA:"),
            ("config", true, false, "version: v3"),
            ("config", false, true, "KAFKA.INPUT.SOURCE.TOPIC"),
        ] {
            let text = of(topic, v3, table).unwrap();
            assert!(text.contains(has), "{topic}: {text}");
        }
        assert_eq!(
            of("lode", false, false).unwrap_err(),
            "there is no help of lode: it is no subcommand, nor `config`"
        );
        assert!(of("load", true, false).is_err());
    }
}
