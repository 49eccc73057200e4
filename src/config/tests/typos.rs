//! Whatever is done to a file, it is answered: a mistyped key with the right one, garbage without a panic.

use proptest::prelude::*;

use super::*;

const REFERENCE: &str = include_str!("../reference.yaml");

/// Keys of the reference that are ours, each with where it begins. Below MAPPING and PROPERTIES they are the user's.
fn keys() -> Vec<(usize, &'static str)> {
    let mut keys = Vec::new();
    let (mut at, mut foreign) = (0, None);
    for line in REFERENCE.split_inclusive('\n') {
        let text = line.trim_start_matches([' ', '-']);
        let indent = line.len() - text.len();
        let key = text.split(':').next().unwrap();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        foreign = foreign.filter(|&parent| indent > parent || text.trim().is_empty());
        if is_key && foreign.is_none() {
            keys.push((at + indent, key));
        }
        if ["MAPPING", "PROPERTIES"].contains(&key) {
            foreign = Some(indent);
        }
        at += line.len();
    }
    keys
}

/// So many cases; what failed is printed, and kept in no file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// One slip of the fingers.
fn mistyped(key: &str, slip: u8, place: usize, letter: char) -> String {
    let mut letters: Vec<char> = key.chars().collect();
    let place = place % letters.len();
    match slip {
        0 => drop(letters.remove(place)),
        1 => letters.insert(place, letter),
        2 => letters[place] = letter,
        _ if place > 0 => letters.swap(place - 1, place),
        _ => letters = key.to_lowercase().chars().collect(),
    }
    letters.into_iter().collect()
}

#[test]
fn the_reference_has_all_of_them() {
    let keys = keys();
    assert_eq!(keys.len(), 72, "{keys:?}");
}

/// The one complaint about the reference with one key replaced.
fn answer(at: usize, key: &str, typed: &str) -> Result<(), String> {
    let text = format!("{}{typed}{}", &REFERENCE[..at], &REFERENCE[at + key.len()..]);
    let said = complaints(&text);
    let is_right = said.lines().count() == 1
        && said.contains(&format!("unknown key `{typed}`"))
        && said.contains(&format!("(did you mean `{key}`?)"));
    if is_right { Ok(()) } else { Err(format!("{key} as {typed}: {said}")) }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_mistyped_key_is_one_mistake_with_the_right_key(
        which in 0..1000usize, slip in 0..4u8, place in 0..32usize, letter in "[A-Z]",
    ) {
        let keys = keys();
        let (at, key) = keys[which % keys.len()];
        let typed = mistyped(key, slip, place, letter.chars().next().unwrap());
        prop_assume!(typed != key && !keys.iter().any(|(_, other)| *other == typed));
        prop_assert_eq!(answer(at, key, &typed), Ok(()));
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        answered(bytes, &Variables::new());
    }

    #[test]
    fn anything_like_yaml_is_answered(text in "([A-Z&*!|>%@#'\"?,:{}\\[\\]<. \t\n\r0-9é-]|: |- |\n  |\n    |\\{\\{A\\}\\}|---\n){0,80}") {
        answered(text.clone().into_bytes(), &Variables::new());
        answered(text.into_bytes(), &[("A".to_owned(), "b: [c".to_owned())].into());
    }

    #[test]
    fn a_broken_reference_is_answered(cuts in proptest::collection::vec((0..REFERENCE.len(), 0..40usize, "[A-Z\\[{:'\"#&*|>-]?"), 1..4)) {
        let mut bytes = REFERENCE.as_bytes().to_vec();
        for (at, length, put) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, put.into_bytes());
        }
        answered(bytes, &Variables::new());
    }
}

/// A job, or problems that stand inside the file and can be drawn.
fn answered(bytes: Vec<u8>, variables: &Variables) {
    let Err(refusal) = parse(Path::new("orders.yaml"), bytes, variables) else { return };
    assert!(!refusal.problems.is_empty());
    for problem in &refusal.problems {
        assert!(refusal.text.get(problem.span.clone()).is_some(), "{problem:?} is not in the file");
    }
    assert_eq!(render(&refusal, false, false).lines().count(), refusal.problems.len());
    for with_color in [false, true] {
        assert!(!render(&refusal, true, with_color).is_empty());
    }
}
