//! How fast decode is; nothing yet.

fn main() {}
