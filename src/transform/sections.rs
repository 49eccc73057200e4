//! A look at a binary module's sections before the runtime reads them: it reserves memory for as many entries as a section
//! says it has, and 22 bytes may say a million.
//!
//! The layout is that of the WebAssembly core specification 2.0, "Binary Format", "Modules": `\0asm`, a version, then
//! sections of an id, a size in LEB128, and so many bytes; all but three kinds of which begin with a count, in LEB128 too.

/// Ids of sections that begin with no count: custom, start, data count.
const UNCOUNTED: [u8; 3] = [0, 8, 12];

/// The first section that claims more entries than it has bytes; each takes one at least. What is no section is the
/// runtime's to tell.
pub fn overstated(module: &[u8]) -> Option<String> {
    let mut rest = module.strip_prefix(b"\0asm")?.get(4..)?;
    while let Some((id, behind)) = rest.split_first() {
        let (size, behind) = leb128(behind)?;
        let section = &behind[..behind.len().min(size)];
        rest = &behind[section.len()..];
        if UNCOUNTED.contains(id) {
            continue;
        }
        let (count, entries) = leb128(section)?;
        if count > entries.len() {
            return Some(format!("section {id} claims {count} entries and has {} bytes", entries.len()));
        }
    }
    None
}

/// An unsigned number of at most 32 bits, and what comes behind it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let number = bytes[..length].iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    Some((number, &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
    }

    #[test]
    fn a_count_that_no_section_can_hold_is_found() {
        let types: &[u8] = b"\x01\x04\x01\x60\0\0";
        let custom: &[u8] = b"\0\x03\xff\xff\x7f";
        assert_eq!(overstated(&module(&[custom, types])), None);
        let imports: &[u8] = b"\x02\x0a\xff\x84\x3a\0\0\x02i\x02\xfbq";
        assert_eq!(
            overstated(&module(&[types, imports])).as_deref(),
            Some("section 2 claims 950911 entries and has 7 bytes")
        );
        // cut off: the section ends with the file
        assert!(overstated(&module(&[b"\x03\xff\x01\xff\x7f\0"])).is_some());
    }

    #[test]
    fn what_is_no_module_is_left_to_the_runtime() {
        for bytes in [&b""[..], b"(module)", b"\0asm", b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(overstated(bytes), None);
        }
    }
}
