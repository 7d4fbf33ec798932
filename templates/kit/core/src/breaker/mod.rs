// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The circuit breaker: stops asking an upstream that says it is asked too much, or that fails. A pure state machine:
//! [`Breaker::ask`] before a request, [`Breaker::tell`] after it; the time comes with each call.
//!
//! Invariants, which a model check holds against random schedules:
//! - nothing passes while it is open, and it is never open for less than what the upstream asked for (up to
//!   [`Settings::longest_us`]: an upstream that asks for a year is asked again after an hour);
//! - when its time is over, exactly one request goes out as a probe. The probe holds a lease: when its caller goes away the
//!   slot is free ([`Breaker::release`]), and when nobody hears of it again, the lease ends by itself;
//! - only that probe's success closes it;
//! - an answer to a request that was let out in an older generation changes nothing;
//! - a clock that jumps cannot wedge it: after a jump back it waits for its whole time once more (and a second) at most.

mod level;
mod map;

pub use level::AppSettings;
pub use map::{Breakers, Denied, LevelSettings, Permit, View, Who};

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// It opens after this many answers "too many requests" without a success between them.
    pub throttles: u32,
    /// It opens at once when the upstream asks for at least this long a wait.
    pub long_us: i64,
    /// It opens after this many failures without a success between them.
    pub failures: u32,
    /// It stays open for this long where the upstream says nothing, twice as long after each probe that is told the same.
    pub base_us: i64,
    /// It is open for at least this long.
    pub shortest_us: i64,
    /// It is open for at most this long, whatever the upstream asks for.
    pub longest_us: i64,
    /// A probe of which nothing is heard for this long counts no more, and another may go out.
    pub probe_us: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            throttles: 3,
            long_us: 60_000_000,
            failures: 5,
            base_us: 5_000_000,
            shortest_us: 1_000_000,
            longest_us: 3_600_000_000,
            probe_us: 30_000_000,
        }
    }
}

/// A clock that is read before a lock is taken may seem to go back by this much.
const SKEW_US: i64 = 1_000_000;

/// Whether a request may go out. The number is the generation, which the answer is told with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Yes.
    Pass(u64),
    /// Yes, and it alone decides what comes next.
    Probe(u64),
    /// No.
    Deny {
        /// Microseconds until asking again is worth it.
        retry_after_us: i64,
    },
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream answered and did not complain of the number of requests: a success, and also a no that is about the
    /// request or its credential.
    Fine,
    /// Too many requests.
    Throttled {
        /// The wait that the upstream asks for, if it says.
        retry_after_us: Option<i64>,
    },
    /// The upstream answered, and says with it that its limit is all but used up: it is left alone before it has to say no.
    Spent {
        /// The wait after which there is room again.
        retry_after_us: i64,
    },
    /// The upstream failed, or did not answer.
    Failed,
}

/// Whose limit an upstream speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThrottleScope {
    /// It does not say.
    #[default]
    Unsaid,
    /// That of this connection: its account, its shop, its workspace. It says nothing about others.
    Account,
    /// That of the owner's app, whoever it acts for.
    App,
}

/// Why a breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too many requests.
    Throttled,
    /// The upstream failed.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Counts since the last success.
    Closed { throttles: u32, failures: u32 },
    /// Until `until_us`, which is never more than `for_us` away.
    Open { until_us: i64, for_us: i64 },
    /// One request is out; its lease ends at `until_us`.
    Probing { until_us: i64 },
}

/// One breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// Grows with each change of state.
    generation: u64,
    /// Probes in a row that were told "too many requests".
    streak: u32,
    cause: Cause,
    seed: u64,
}

impl Breaker {
    /// A closed breaker. `seed` spreads the times for which it opens, so that replicas do not come back in step.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let state = State::Closed { throttles: 0, failures: 0 };
        Self { settings, state, generation: 0, streak: 0, cause: Cause::Failed, seed }
    }

    /// May a request go out at `now_us`? Whoever gets a yes must tell or release.
    pub fn ask(&mut self, now_us: i64) -> Ask {
        let wait_us = self.wait_us(now_us);
        match &mut self.state {
            State::Closed { .. } => return Ask::Pass(self.generation),
            State::Open { until_us, .. } | State::Probing { until_us } if wait_us > 0 => {
                // The clock has jumped back. Made up for once: else every call would begin the time anew. Not for less than a
                // second, by which callers that read the clock before they got here overtake each other.
                if until_us.saturating_sub(now_us) > wait_us.saturating_add(SKEW_US) {
                    *until_us = now_us.saturating_add(wait_us);
                }
                // A probe is mostly over long before its lease.
                let probing = matches!(self.state, State::Probing { .. });
                let retry_after_us = if probing { wait_us.min(self.settings.shortest_us) } else { wait_us };
                return Ask::Deny { retry_after_us };
            }
            State::Open { .. } | State::Probing { .. } => {}
        }
        self.enter(State::Probing { until_us: now_us.saturating_add(self.settings.probe_us.max(1)) });
        Ask::Probe(self.generation)
    }

    /// What came of the request that was let out in `generation`. Whether that opened the breaker from being closed.
    pub fn tell(&mut self, generation: u64, verdict: Verdict, now_us: i64) -> bool {
        if generation != self.generation {
            return false;
        }
        match (&mut self.state, verdict) {
            (State::Open { .. }, _) => false,
            (State::Closed { throttles, failures }, Verdict::Fine) => {
                (*throttles, *failures) = (0, 0);
                false
            }
            (State::Closed { throttles, .. }, Verdict::Throttled { retry_after_us }) => {
                *throttles = throttles.saturating_add(1);
                let long = retry_after_us.is_some_and(|asked| asked >= self.settings.long_us);
                let opens = long || *throttles >= self.settings.throttles;
                if opens {
                    self.open(Cause::Throttled, retry_after_us, now_us);
                }
                opens
            }
            (State::Closed { failures, .. }, Verdict::Failed) => {
                *failures = failures.saturating_add(1);
                let opens = *failures >= self.settings.failures;
                if opens {
                    self.open(Cause::Failed, None, now_us);
                }
                opens
            }
            (State::Closed { .. }, Verdict::Spent { retry_after_us }) => {
                self.open(Cause::Throttled, Some(retry_after_us), now_us);
                true
            }
            (State::Probing { .. }, Verdict::Spent { retry_after_us }) => {
                self.streak = 0;
                self.open(Cause::Throttled, Some(retry_after_us), now_us);
                false
            }
            (State::Probing { .. }, Verdict::Fine) => {
                self.streak = 0;
                self.enter(State::Closed { throttles: 0, failures: 0 });
                false
            }
            (State::Probing { .. }, Verdict::Throttled { retry_after_us }) => {
                self.streak = self.streak.saturating_add(1);
                self.open(Cause::Throttled, retry_after_us, now_us);
                false
            }
            (State::Probing { .. }, Verdict::Failed) => {
                self.streak = 0;
                self.open(Cause::Failed, None, now_us);
                false
            }
        }
    }

    /// Nothing will be told of the request of `generation`: its caller went away. If it was the probe, the next request is
    /// one.
    pub fn release(&mut self, generation: u64) {
        if generation == self.generation && matches!(self.state, State::Probing { .. }) {
            self.state = State::Open { until_us: i64::MIN, for_us: 0 };
        }
    }

    /// Opens it without counting, if it is closed and was when the request of `generation` went out.
    pub fn trip(&mut self, generation: u64, cause: Cause, retry_after_us: Option<i64>, now_us: i64) {
        if generation == self.generation && !self.is_open() {
            self.open(cause, retry_after_us, now_us);
        }
    }

    /// The present generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Microseconds for which it would say no; 0 if it would say yes.
    pub fn wait_us(&self, now_us: i64) -> i64 {
        // Never longer than the whole time: `until_us` was set on a clock that may have jumped back since.
        let (until_us, longest_us) = match self.state {
            State::Closed { .. } => return 0,
            State::Open { until_us, for_us } => (until_us, for_us),
            State::Probing { until_us } => (until_us, self.settings.probe_us.max(1)),
        };
        until_us.saturating_sub(now_us).clamp(0, longest_us)
    }

    /// Why it is open; `None` when it is closed.
    pub fn cause(&self) -> Option<Cause> {
        self.is_open().then_some(self.cause)
    }

    /// Whether it is open or waits for its probe.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Whether it is like new: it can be forgotten.
    pub fn is_idle(&self) -> bool {
        self.state == State::Closed { throttles: 0, failures: 0 }
    }

    fn open(&mut self, cause: Cause, retry_after_us: Option<i64>, now_us: i64) {
        let Settings { base_us, shortest_us, longest_us, .. } = self.settings;
        let longest_us = longest_us.max(1);
        let backoff = base_us.max(0).saturating_mul(1_i64 << self.streak.min(30)).min(longest_us);
        let asked = retry_after_us.unwrap_or(0).clamp(0, longest_us);
        // Upward only: to come back early is what it is there to prevent. As wide as the back-off, not as the wait that was
        // asked for: three seconds on top of an hour spread replicas well enough.
        let jitter = self.roll(backoff);
        let for_us = asked.max(backoff).saturating_add(jitter).clamp(shortest_us.clamp(1, longest_us), longest_us);
        self.cause = cause;
        self.enter(State::Open { until_us: now_us.saturating_add(for_us), for_us });
    }

    fn enter(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }

    /// A number from 0 to `most`.
    fn roll(&mut self, most: i64) -> i64 {
        let roll = next(&mut self.seed) % (most.max(0).unsigned_abs() + 1);
        i64::try_from(roll).unwrap_or(0)
    }
}

/// SplitMix64 (Steele, Lea and Flood): good enough to spread times, and the same on every target.
pub(crate) fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::next;

    /// From the generator's published reference implementation.
    #[test]
    fn times_are_spread_by_splitmix() {
        let mut seed = 1_234_567;
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([(); 3].map(|()| next(&mut seed)), expected);
        assert_eq!(next(&mut 0), 0xe220_a839_7b1d_cdaf);
    }
}
