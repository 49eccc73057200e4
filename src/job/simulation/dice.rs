//! Chance that repeats itself from its seed.

/// Xorshift: good enough to choose what happens next.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed) | 1)
    }

    /// From 0 to `sides` − 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// One time in so many.
    pub fn is_one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    /// An index into so many.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }

    /// From 0 to `below` − 1, as an offset is counted.
    pub fn offset(&mut self, below: u64) -> i64 {
        i64::try_from(self.roll(below)).unwrap()
    }
}

/// Splitmix64: neighbours go far apart.
pub fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
