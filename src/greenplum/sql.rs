//! Writing SQL text: literals, and the names that are filled into the statements of `sql/`.

/// A string literal; sessions have `standard_conforming_strings` on, so a backslash is itself.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A template of `sql/` parted at its `{name}` marks.
pub(super) enum Piece<'t> {
    Own(&'t str),
    Mark(&'t str),
}

/// The pieces of a template, in order.
pub(super) fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}').expect("every mark in sql/ is closed");
        pieces.extend([Piece::Own(&rest[..open]), Piece::Mark(&rest[open + 1..close])]);
        rest = &rest[close + 1..];
    }
    pieces.push(Piece::Own(rest));
    pieces
}

/// Fills `{name}` marks in one pass, so that what is filled in is never taken for a mark itself.
pub(super) fn fill(template: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut text = String::with_capacity(template.len() + 128);
    for piece in pieces(template) {
        match piece {
            Piece::Own(own) => text.push_str(own),
            Piece::Mark(name) => text.push_str(&value_of(values, name).to_string()),
        }
    }
    text
}

/// What a mark is filled with.
pub(super) fn value_of<T: Copy>(values: &[(&str, T)], name: &str) -> T {
    values.iter().find(|(known, _)| *known == name).expect("every mark in sql/ is filled").1
}

/// The name nearest to `wanted`, where one is near enough to be meant.
pub(super) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wanted.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_marks() {
        let table = "{column}";
        assert_eq!(fill("a {table} b {column}", &[("table", &table), ("column", &1)]), "a {column} b 1");
    }

    #[test]
    fn literals_end_where_they_should() {
        assert_eq!(literal(r"it's \N"), r"'it''s \N'");
    }

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("Orders", ["orders_old", "orders", "x"]), Some("orders"));
        assert_eq!(nearest("expences", ["cust_id", "expenses"]), Some("expenses"));
        assert_eq!(nearest("qqq", ["cust_id", "expenses"]), None);
    }
}
