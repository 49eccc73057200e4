//! The README, taken at its word: its first load is run, its flags are there, its table of files is true.

use crate::case::Case;
use crate::harness::{Loader, on_each_database};

const README: &str = include_str!("../README.md");

/// The text of the fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// `gpkafka` command lines of its shell blocks, without comments.
fn command_lines() -> Vec<Vec<&'static str>> {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let words = |line: &'static str| line.split('#').next().unwrap_or_default().split_whitespace().skip(1).collect();
    lines.filter(|line| line.starts_with("gpkafka ")).map(words).collect()
}

on_each_database! {
    fn the_first_load_works_as_written(db) {
        let case = Case::new(db, "readme", 2);
        let create = blocks("sql")[0].replace("TABLE orders", &format!("TABLE {}.orders", case.schema));
        db.execute(&create);
        case.topic.produce(0, ["1,Ada,10.00"]);
        case.topic.produce(1, ["2,\"Babbage, Charles\",0.99"]);
        let (_, rest) = blocks("yaml")[0].split_once("VERSION:").unwrap();
        let yaml = format!("VERSION:{rest}").replace("kafka1.example.com:9092", "$BROKERS");
        let yaml = yaml.replace("TOPIC: orders", "TOPIC: $TOPIC").replace("TABLE: orders", "SCHEMA: $SCHEMA\n    TABLE: orders");
        let job = case.job(&yaml);
        for words in command_lines().into_iter().filter(|words| words.contains(&"orders.yaml")) {
            let flags = words[1..].iter().copied().filter(|word| *word != "orders.yaml");
            let loader = if words[0] == "load" { Loader::load(&job) } else { Loader::with_job(words[0], &job) };
            let mut run = loader.args(flags).start();
            if words == ["load", "orders.yaml"] {
                run.wait_for_text(crate::harness::SOON, "gpkafka job has started");
                run.signal("INT");
            }
            run.wait(crate::harness::SOON).expect_code(0);
        }
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.orders ORDER BY id"), ["1|Ada|10.00|1.90", "2|Babbage, Charles|0.99|0.19"]);
    }
}

#[test]
fn its_flags_exist() {
    let help = ["load", "replay", "check", "bench", "dryrun", "doctor", "segment", "serve", "migrate", "help"]
        .map(|name| Loader::command(["help", name]).run().stdout)
        .concat();
    let is_flag = |word: &&str| word.starts_with("--") && word[2..].starts_with(|char: char| char.is_ascii_lowercase());
    let flags = README.split(|char: char| char.is_whitespace() || char == '`').filter(is_flag);
    let foreign = ["--locked", "--path", "--bench", "--full", "--seeds", "--real-timeouts"];
    for flag in flags.map(|flag| flag.trim_end_matches([',', '.', ';', ':', ')'])) {
        let stem = flag.trim_end_matches('…');
        assert!(foreign.contains(&flag) || help.contains(stem), "{flag} is in the README and not in any --help");
    }
    for words in command_lines() {
        Loader::command([words[0], "--help"]).run().expect_code(0);
    }
}

#[test]
fn its_other_blocks_fit_into_the_first_file() {
    let [first, fields, merge, letters] = blocks("yaml")[..] else { panic!("the README has other blocks of YAML") };
    let part = |from: &str, to: &str| {
        let rest = &first[first.find(from).unwrap()..];
        rest[..rest.find(to).unwrap()].to_owned()
    };
    let with_fields = first.replace(&part("    VALUE:", "    ERROR_LIMIT"), &format!("{fields}\n"));
    let with_merge = first.replace(&part("  OUTPUT:", "  COMMIT:"), &format!("{merge}\n"));
    let columns =
        "{NAME: name, TYPE: text}, {NAME: city, TYPE: text}, {NAME: lsn, TYPE: bigint}, {NAME: op, TYPE: text}";
    let with_merge = with_merge.replace(
        &part("      COLUMNS:", "      FORMAT:"),
        &format!("      COLUMNS: [{{NAME: id, TYPE: int}}, {columns}]\n"),
    );
    let outcome = Loader::with_job("dryrun", &with_fields.replace(&part("    MAPPING:", "  COMMIT:"), "")).run();
    outcome.expect_code(0).expect_text("\"first_item\" jsonb");
    let (limit, table) = letters.split_once("  DEAD_LETTER:").unwrap();
    let with_letters = first.replace("    ERROR_LIMIT: 10\n", limit.split_once("  INPUT:\n").unwrap().1);
    let with_letters = with_letters.replace("  COMMIT:", &format!("  DEAD_LETTER:{}\n  COMMIT:", table.trim_end()));
    Loader::with_job("dryrun", &with_letters).run().expect_code(0).expect_text("\"dead_letters\"");
    Loader::with_job("dryrun", &with_merge).run().expect_code(0).expect_text("DELETE FROM \"public\".\"customers\"");
}

#[test]
fn the_rust_version_is_the_manifests() {
    let manifest = include_str!("../Cargo.toml");
    let version = manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(README.contains(&format!("version {version} or later")), "the README names another Rust than {version}");
}
