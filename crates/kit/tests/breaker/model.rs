//! The breaker against random schedules: many requests out at once, answered late, in any order, or never; times that fall
//! on the very microsecond of a change. A second, naive description of what is right (`Model`) goes along and never looks
//! inside.
//!
//! `cargo test -p kit --test breaker model`; `BREAKER_STEPS` raises the number of steps (a soak takes 10^9).

use kit::breaker::{Ask, Breaker, Breakers, LevelSettings, Permit, Settings, ThrottleScope, Verdict, Who};

const SECOND: i64 = 1_000_000;

fn steps() -> u64 {
    std::env::var("BREAKER_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_000)
}

/// xorshift64*: not the generator that the breaker has.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

/// A request that is out: the generation, whether it is a probe, and in which era it went out.
#[derive(Clone, Copy)]
struct Out {
    generation: u64,
    probe: bool,
    era: u64,
}

/// What is right, without generations: an era begins whenever the breaker opens or closes.
struct Model {
    settings: Settings,
    era: u64,
    /// Open since, at least until, at most until.
    open: Option<(i64, i64)>,
    /// The probe that counts, and the end of its lease.
    probe: Option<(u64, i64)>,
    throttles: u32,
    failures: u32,
    streak: u32,
    opens: u64,
    probes: u64,
    late: u64,
}

impl Model {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            era: 0,
            open: None,
            probe: None,
            throttles: 0,
            failures: 0,
            streak: 0,
            opens: 0,
            probes: 0,
            late: 0,
        }
    }

    fn asked(&mut self, answer: Ask, now: i64) -> Option<Out> {
        match (answer, self.open, self.probe) {
            (Ask::Pass(generation), None, _) => Some(Out { generation, probe: false, era: self.era }),
            (Ask::Pass(_), Some(_), _) => panic!("it passed while open"),
            (Ask::Probe(_), None, _) => panic!("a probe while closed"),
            (Ask::Probe(generation), Some((least, _)), probe) => {
                assert!(now >= least, "a probe {} early", least - now);
                assert!(probe.is_none_or(|(_, lease)| now >= lease), "a second probe");
                self.probe = Some((generation, now + self.settings.probe_us));
                self.probes += 1;
                Some(Out { generation, probe: true, era: self.era })
            }
            (Ask::Deny { .. }, None, _) => panic!("denied while closed"),
            (Ask::Deny { retry_after_us }, Some(_), Some((_, lease))) => {
                assert!(now < lease, "wedged: the lease is over");
                assert!(retry_after_us > 0 && retry_after_us <= self.settings.shortest_us);
                None
            }
            (Ask::Deny { retry_after_us }, Some((_, most)), None) => {
                assert!(now < most, "wedged: its time is over");
                assert!(retry_after_us > 0 && now + retry_after_us <= most);
                None
            }
        }
    }

    fn open(&mut self, asked: Option<i64>, now: i64) {
        let Settings { base_us, shortest_us, longest_us, .. } = self.settings;
        let backoff = (0..self.streak).fold(base_us, |wait, _| (wait * 2).min(longest_us)).min(longest_us);
        let wait = asked.unwrap_or(0).clamp(0, longest_us).max(backoff);
        let (least, most) = (wait.clamp(shortest_us, longest_us), (wait + backoff).clamp(shortest_us, longest_us));
        (self.open, self.probe) = (Some((now + least, now + most)), None);
        (self.era, self.opens) = (self.era + 1, self.opens + 1);
    }

    fn told(&mut self, out: Out, verdict: Verdict, now: i64) {
        if out.probe {
            // Only the probe that counts, whatever else is out.
            if self.probe.is_none_or(|(generation, _)| generation != out.generation) {
                self.late += 1;
                return;
            }
            match verdict {
                Verdict::Fine => {
                    (self.open, self.probe) = (None, None);
                    (self.throttles, self.failures, self.streak) = (0, 0, 0);
                    self.era += 1;
                }
                Verdict::Throttled { retry_after_us } => {
                    self.streak += 1;
                    self.open(retry_after_us, now);
                }
                Verdict::Spent { retry_after_us } => {
                    self.streak = 0;
                    self.open(Some(retry_after_us), now);
                }
                Verdict::Failed => {
                    self.streak = 0;
                    self.open(None, now);
                }
            }
            return;
        }
        if out.era != self.era {
            self.late += 1;
            return;
        }
        match verdict {
            Verdict::Fine => (self.throttles, self.failures) = (0, 0),
            Verdict::Throttled { retry_after_us } => {
                self.throttles += 1;
                if self.throttles == self.settings.throttles || retry_after_us.unwrap_or(0) >= self.settings.long_us {
                    self.open(retry_after_us, now);
                }
            }
            Verdict::Spent { retry_after_us } => self.open(Some(retry_after_us), now),
            Verdict::Failed => {
                self.failures += 1;
                if self.failures == self.settings.failures {
                    self.open(None, now);
                }
            }
        }
    }

    fn released(&mut self, out: Out, now: i64) {
        if self.probe.is_some_and(|(generation, _)| out.probe && generation == out.generation) {
            (self.open, self.probe) = (Some((now.min(self.open.unwrap().0), now)), None);
        }
    }
}

#[test]
fn a_breaker_holds_its_invariants_in_random_schedules() {
    let (mut opens, mut probes, mut late, mut schedules, mut done) = (0, 0, 0, 0_u64, 0_u64);
    while done < steps() {
        let mut dice = Dice(schedules * 2 + 0x9e37_79b9);
        schedules += 1;
        let settings = Settings {
            throttles: 1 + u32::try_from(dice.roll(4)).unwrap(),
            failures: 1 + u32::try_from(dice.roll(5)).unwrap(),
            base_us: dice.pick(&[0, 1, SECOND, 5 * SECOND, 5_000 * SECOND]),
            probe_us: dice.pick(&[SECOND, 30 * SECOND]),
            ..Settings::default()
        };
        let (mut breaker, mut model) = (Breaker::new(settings, dice.roll(u64::MAX)), Model::new(settings));
        let (mut out, mut now): (Vec<Out>, i64) = (Vec::new(), 0);
        for _ in 0..200 {
            done += 1;
            match dice.roll(8) {
                0..=2 => out.extend(model.asked(breaker.ask(now), now)),
                3..=5 if !out.is_empty() => {
                    let which = usize::try_from(dice.roll(out.len() as u64)).unwrap();
                    let one = out.swap_remove(which);
                    let asked =
                        dice.pick(&[None, Some(0), Some(SECOND), Some(59 * SECOND), Some(60 * SECOND), Some(-7)]);
                    let asked = if dice.roll(50) == 0 { Some(i64::MAX) } else { asked };
                    let throttled = Verdict::Throttled { retry_after_us: asked };
                    let spent = Verdict::Spent { retry_after_us: asked.unwrap_or(0) };
                    let mut verdict = dice.pick(&[Verdict::Fine, throttled, throttled, Verdict::Failed]);
                    if verdict == Verdict::Fine && dice.roll(8) == 0 {
                        verdict = spent;
                    }
                    model.told(one, verdict, now);
                    breaker.tell(one.generation, verdict, now);
                }
                6 if !out.is_empty() => {
                    let one = out.swap_remove(0);
                    model.released(one, now);
                    breaker.release(one.generation);
                }
                _ => {
                    // Often to the very moment of a change, or one microsecond off it.
                    let wait = breaker.wait_us(now);
                    let step = dice.pick(&[0, 1, wait, wait + 1, (wait - 1).max(0), SECOND, 31 * SECOND]);
                    now += step;
                }
            }
            assert_eq!(breaker.is_open(), model.open.is_some());
        }
        // No wedge, whatever is still out: after the longest time and a lease, a probe goes out, and closes it.
        now += settings.longest_us + settings.probe_us;
        if let Ask::Probe(generation) = breaker.ask(now) {
            breaker.tell(generation, Verdict::Fine, now);
        }
        assert!(!breaker.is_open() && matches!(breaker.ask(now), Ask::Pass(_)), "wedged");
        (opens, probes, late) = (opens + model.opens, probes + model.probes, late + model.late);
    }
    println!("{schedules} schedules, {done} steps, {opens} opens, {probes} probes, {late} late answers");
    assert!(opens > done / 100 && probes > done / 200 && late > done / 200, "the schedules are dull");
}

/// With a clock that jumps either way, nothing is promised about how long; that it never panics and never wedges is.
#[test]
fn a_breaker_comes_back_from_any_jump_of_its_clock() {
    let mut dice = Dice(42);
    for _ in 0..steps() / 200 {
        let settings = Settings { throttles: 1, ..Settings::default() };
        let mut breaker = Breaker::new(settings, dice.roll(u64::MAX));
        let mut now = 0_i64;
        for _ in 0..20 {
            let jump = dice.pick(&[0, SECOND, 3_600 * SECOND, -SECOND, -3_600 * SECOND, i64::MAX, i64::MIN / 2]);
            now = now.saturating_add(jump);
            match breaker.ask(now) {
                Ask::Pass(generation) | Ask::Probe(generation) => match dice.roll(3) {
                    0 => breaker.release(generation),
                    1 => drop(breaker.tell(generation, Verdict::Throttled { retry_after_us: Some(jump) }, now)),
                    _ => {}
                },
                Ask::Deny { retry_after_us } => assert!((1..=settings.longest_us).contains(&retry_after_us)),
            }
        }
        now = now.min(i64::MAX / 2);
        // From here on the clock goes on as it should: an hour and a lease later it is right again.
        breaker.ask(now);
        let end = now + settings.longest_us + settings.probe_us + 4 * SECOND;
        match breaker.ask(end) {
            Ask::Pass(_) => {}
            Ask::Probe(generation) => drop(breaker.tell(generation, Verdict::Fine, end)),
            Ask::Deny { retry_after_us } => panic!("wedged for {retry_after_us}"),
        }
        assert!(matches!(breaker.ask(end), Ask::Pass(_)));
    }
}

/// Both levels and the bound on their number, with permits that live across everything.
#[test]
fn many_breakers_at_two_levels_never_probe_twice_never_grow_and_never_wedge() {
    let (mut done, mut seed, mut untracked) = (0_u64, 0_u64, 0_u64);
    while done < steps() / 4 {
        seed += 1;
        let mut dice = Dice(seed * 2 + 1);
        let settings = LevelSettings { capacity: 4, ..LevelSettings::default() };
        let all = Breakers::new(settings, dice.roll(u64::MAX));
        let mut now = 0;
        let mut out: Vec<(u64, bool, Permit)> = Vec::new();
        for _ in 0..200 {
            done += 1;
            match dice.roll(4) {
                0 => {
                    let n = dice.roll(8);
                    let (tenant, own_app) = (format!("t{n}"), n < 3);
                    let who = Who { integration: "crm", tenant: &tenant, account: "one", own_app };
                    let open = all.open(now);
                    let mine = |view: &&kit::breaker::View| match &view.account {
                        Some(_) => view.tenant.as_deref() == Some(&tenant),
                        None => view.tenant.as_deref() == own_app.then_some(tenant.as_str()),
                    };
                    let barred = open.iter().filter(mine).any(|view| view.retry_after_us > 0);
                    match all.ask(&who, now) {
                        Ok(permit) => {
                            assert!(!barred, "it passed while open");
                            assert_eq!(permit.is_probe(), open.iter().any(|view| mine(&view)));
                            out.push((n, permit.is_probe(), permit));
                        }
                        Err(denied) => {
                            assert!(barred && denied.retry_after_us > 0);
                        }
                    }
                }
                1 | 2 if !out.is_empty() => {
                    let which = usize::try_from(dice.roll(out.len() as u64)).unwrap();
                    let (_, _, permit) = out.swap_remove(which);
                    let throttled =
                        Verdict::Throttled { retry_after_us: dice.pick(&[None, Some(5), Some(70 * SECOND)]) };
                    let spent = Verdict::Spent { retry_after_us: 70 * SECOND };
                    let verdict =
                        dice.pick(&[Verdict::Fine, Verdict::Fine, throttled, throttled, Verdict::Failed, spent]);
                    match dice.roll(5) {
                        0 => drop(permit),
                        _ => drop(permit.tell(
                            verdict,
                            dice.pick(&[ThrottleScope::Unsaid, ThrottleScope::Account, ThrottleScope::App]),
                            now,
                        )),
                    }
                }
                _ => now += dice.pick(&[0, SECOND, 5 * SECOND, 31 * SECOND, 71 * SECOND]),
            }
            let (accounts, apps) = all.kept();
            assert!(accounts <= 4 && apps <= 5, "{accounts} {apps}");
        }
        out.clear();
        now += settings.breaker.longest_us;
        for n in 0..8 {
            let tenant = format!("t{n}");
            let who = Who { integration: "crm", tenant: &tenant, account: "one", own_app: n < 3 };
            let permit = all.ask(&who, now).unwrap_or_else(|denied| panic!("wedged: {denied:?}"));
            permit.tell(Verdict::Fine, ThrottleScope::Unsaid, now);
        }
        assert_eq!((all.open(now), all.kept().0), (Vec::new(), 0));
        untracked += all.untracked();
    }
    assert!(untracked > 0);
}
