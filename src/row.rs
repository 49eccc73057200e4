//! Rows between decoding and encoding: fields as slices of one flat buffer that is reused record after record.

/// The rows that one record became, usually one. A field is NULL or bytes; NULL is not the empty string.
///
/// Built field by field: [`Rows::extend`] adds bytes to the open field, [`Rows::end_field`] or [`Rows::null`] closes
/// it, [`Rows::end_row`] closes the row. Nothing is allocated once the buffers are warm.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    bytes: Vec<u8>,
    /// End of each field in `bytes`, and whether it is NULL.
    fields: Vec<(usize, bool)>,
    /// End of each row in `fields`.
    rows: Vec<usize>,
}

impl Rows {
    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.rows.clear();
    }

    /// Adds bytes to the field that is open.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Closes the open field; without any [`Rows::extend`] it is the empty string.
    pub fn end_field(&mut self) {
        self.fields.push((self.bytes.len(), false));
    }

    /// Adds a whole field.
    pub fn field(&mut self, bytes: &[u8]) {
        self.extend(bytes);
        self.end_field();
    }

    /// Adds a NULL field.
    pub fn null(&mut self) {
        self.fields.push((self.bytes.len(), true));
    }

    /// Closes the row.
    pub fn end_row(&mut self) {
        self.rows.push(self.fields.len());
    }

    /// How many rows are closed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is closed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many fields the row that is being built has so far.
    pub fn open_fields(&self) -> usize {
        self.fields.len() - self.rows.last().copied().unwrap_or(0)
    }

    /// The rows, each an iterator over its fields; `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = Option<&[u8]>>> {
        (0..self.rows.len()).map(|row| {
            let first = if row == 0 { 0 } else { self.rows[row - 1] };
            (first..self.rows[row]).map(|field| self.at(field))
        })
    }

    fn at(&self, field: usize) -> Option<&[u8]> {
        let from = if field == 0 { 0 } else { self.fields[field - 1].0 };
        let (to, is_null) = self.fields[field];
        (!is_null).then(|| &self.bytes[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_the_empty_string() {
        let mut rows = Rows::default();
        rows.field(b"a");
        rows.null();
        rows.end_row();
        rows.end_field();
        rows.extend(b"b");
        rows.extend(b"c");
        rows.end_field();
        rows.end_row();
        let seen: Vec<Vec<Option<&[u8]>>> = rows.iter().map(Iterator::collect).collect();
        assert_eq!(seen, [vec![Some(&b"a"[..]), None], vec![Some(&b""[..]), Some(&b"bc"[..])]]);
    }
}
