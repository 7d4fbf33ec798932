// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A table of arrival times by the hash of a bucket's name. A million buckets do not fit into a processor's cache, and each
//! look at memory costs more than all arithmetic; `HashMap` looks at two places, this at one. It is small because nothing
//! is removed but in one pass over all of it.

/// The keyed hash of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) u64, pub(super) u64);

/// Open addressing with linear probing; the length is a power of two, and at least an eighth of it is free.
#[derive(Default)]
pub(super) struct Table {
    places: Vec<Place>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Place {
    id: Id,
    /// `FREE` where there is no bucket.
    tat_us: i64,
}

const FREE: i64 = i64::MIN;
const EMPTY: Place = Place { id: Id(0, 0), tat_us: FREE };
const SMALLEST: usize = 8;

impl Table {
    pub(super) fn get(&self, id: Id) -> Option<i64> {
        let tat_us = self.places.get(self.find(id)?)?.tat_us;
        (tat_us != FREE).then_some(tat_us)
    }

    /// Puts the arrival time of `id`; says whether it was not there.
    pub(super) fn put(&mut self, id: Id, tat_us: i64) -> bool {
        if (self.len + 1) * 8 > self.places.len() * 7 {
            self.rebuild((self.places.len() * 2).max(SMALLEST), |_| true);
        }
        let Some(at) = self.find(id) else { return false };
        let new = self.places[at].tat_us == FREE;
        self.len += usize::from(new);
        self.places[at] = Place { id, tat_us: tat_us.max(FREE + 1) };
        new
    }

    /// Removes what is full at `now_us`, and gives back the memory that this leaves free; says how many there were.
    pub(super) fn sweep(&mut self, now_us: i64) -> usize {
        let live = |place: &Place| place.tat_us > now_us;
        let (before, left) = (self.len, self.places.iter().filter(|place| live(place)).count());
        if left < before {
            self.rebuild((left * 8 / 7 + 1).next_power_of_two().max(SMALLEST), live);
        }
        before - left
    }

    /// The place of `id`, or the free one where it belongs.
    fn find(&self, id: Id) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = usize::try_from(id.1 & mask as u64).ok()?;
        while self.places[at].tat_us != FREE && self.places[at].id != id {
            at = (at + 1) & mask;
        }
        Some(at)
    }

    fn rebuild(&mut self, length: usize, stays: impl Fn(&Place) -> bool) {
        let before = std::mem::replace(&mut self.places, vec![EMPTY; length]);
        self.len = 0;
        for place in before.into_iter().filter(|place| place.tat_us != FREE && stays(place)) {
            if let Some(at) = self.find(place.id) {
                self.places[at] = place;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names whose hashes want the same place, among others.
    fn ids() -> impl Iterator<Item = Id> {
        (0..5_000).map(|n| Id(n, if n % 5 == 0 { 7 } else { n.wrapping_mul(0x9E37_79B9_7F4A_7C15) }))
    }

    #[test]
    fn what_was_put_is_there_and_nothing_else() {
        let mut table = Table::default();
        assert_eq!(table.get(Id(0, 0)), None);
        for (n, id) in (0..).zip(ids()) {
            assert!(table.put(id, n), "{n}");
            assert!(!table.put(id, n + 1), "{n}");
        }
        for (n, id) in (0..).zip(ids()) {
            assert_eq!(table.get(id), Some(n + 1));
            assert_eq!(table.get(Id(id.0 + 5_000, id.1)), None);
        }
        assert_eq!((table.len, table.places.len()), (5_000, 8_192));
    }

    #[test]
    fn a_sweep_removes_what_is_full_and_gives_memory_back() {
        let mut table = Table::default();
        for (n, id) in (0..).zip(ids()) {
            table.put(id, n);
        }
        assert_eq!(table.sweep(-1), 0);
        assert_eq!((table.sweep(3_999), table.len, table.places.len()), (4_000, 1_000, 2_048));
        for (n, id) in (0..).zip(ids()) {
            assert_eq!(table.get(id), (n > 3_999).then_some(n), "{n}");
        }
        assert_eq!((table.sweep(5_000), table.len, table.places.len()), (1_000, 0, SMALLEST));
    }

    /// Where nothing was removed nothing is moved, and what was made smaller takes another bucket at once.
    #[test]
    fn a_sweep_moves_no_more_than_it_must() {
        let mut table = Table::default();
        (0..7).for_each(|n| assert!(table.put(Id(0, n), 5)));
        assert_eq!((table.sweep(0), table.places.len()), (0, 8));
        assert!(table.put(Id(0, 7), 1));
        assert_eq!((table.sweep(1), table.len, table.places.len()), (1, 7, 16));
    }

    #[test]
    fn at_least_an_eighth_stays_free() {
        let mut table = Table::default();
        for (n, id) in ids().enumerate() {
            table.put(id, 1);
            assert!((n + 1) * 8 <= table.places.len() * 7 && table.places.len() < 16.max(n * 8 / 7 * 2 + 4), "{n}");
        }
    }

    #[test]
    fn a_time_before_all_times_is_one() {
        let mut table = Table::default();
        assert!(table.put(Id(1, 1), i64::MIN));
        assert_eq!(table.get(Id(1, 1)), Some(i64::MIN + 1));
    }
}
