// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Ids of calls, in the form of a ULID: 48 bits of time, 48 of the process, 32 of a counter. They are in the order of time, so
//! that an index of them grows at its end and a day is a range of it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::ports::{Rng, RngError};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PROCESS_BITS: u32 = 48;
const COUNTER_BITS: u32 = 32;

/// Makes the ids of one process.
pub(crate) struct CallIds {
    process: u128,
    next: AtomicU32,
}

impl CallIds {
    pub(crate) fn new(rng: &dyn Rng) -> Result<Self, RngError> {
        let mut bytes = [0; 6];
        rng.fill(&mut bytes)?;
        let process = bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        Ok(Self { process, next: AtomicU32::new(0) })
    }

    /// The id of a call that begins now.
    pub(crate) fn next(&self, at_ms: i64) -> String {
        let counter = u128::from(self.next.fetch_add(1, Ordering::Relaxed));
        encode(time(at_ms) | self.process << COUNTER_BITS | counter)
    }
}

/// The id before all ids of calls that began at `at_ms` or later.
pub(crate) fn first_at(at_ms: i64) -> String {
    encode(time(at_ms))
}

fn time(at_ms: i64) -> u128 {
    let ms = u128::from(at_ms.clamp(0, (1 << 48) - 1).unsigned_abs());
    ms << (PROCESS_BITS + COUNTER_BITS)
}

fn encode(number: u128) -> String {
    (0..26).rev().map(|digit| char::from(ALPHABET[(number >> (5 * digit)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            buffer.fill(0xFF);
            Ok(())
        }
    }

    #[test]
    fn an_id_begins_with_the_time_as_a_ulid_does() {
        // The example of the ULID specification: 1469918176385 is 01ARYZ6S41.
        let ids = CallIds::new(&Fixed).unwrap();
        assert_eq!(ids.next(1_469_918_176_385), "01ARYZ6S41ZZZZZZZZZW000000");
        assert_eq!(ids.next(1_469_918_176_385), "01ARYZ6S41ZZZZZZZZZW000001");
        assert_eq!(first_at(1_469_918_176_385), "01ARYZ6S410000000000000000");
    }

    #[test]
    fn ids_are_in_the_order_of_time() {
        let ids = CallIds::new(&Fixed).unwrap();
        let made: Vec<String> = [0, 1, 1, 1_000, 1_800_000_000_000].map(|at| ids.next(at)).to_vec();
        assert!(made.is_sorted());
        assert!(made[2] < first_at(2) && first_at(2) < made[3]);
    }
}
