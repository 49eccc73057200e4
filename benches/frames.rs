//! How fast frames is; nothing yet.

fn main() {}
