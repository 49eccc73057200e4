//! Writing SQL text: literals, and the names that are filled into the statements of `sql/`.

/// A string literal; sessions have `standard_conforming_strings` on, so a backslash is itself.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Fills `{name}` marks in one pass, so that what is filled in is never taken for a mark itself.
pub(super) fn fill(template: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut text = String::with_capacity(template.len() + 128);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}').expect("every mark in sql/ is closed");
        let name = &rest[open + 1..close];
        let (_, value) = values.iter().find(|(known, _)| *known == name).expect("every mark in sql/ is filled");
        text.push_str(&rest[..open]);
        text.push_str(&value.to_string());
        rest = &rest[close + 1..];
    }
    text.push_str(rest);
    text
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
