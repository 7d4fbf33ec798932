//! One breaker, to the microsecond.

use kit::breaker::{Ask, Breaker, Cause, Settings, Verdict};

const SECOND: i64 = 1_000_000;

/// Without jitter, so that every time is exact: the base is nothing.
const EXACT: Settings = Settings {
    throttles: 3,
    long_us: 60 * SECOND,
    failures: 5,
    base_us: 0,
    shortest_us: SECOND,
    longest_us: 3_600 * SECOND,
    probe_us: 30 * SECOND,
};

fn throttled(seconds: i64) -> Verdict {
    Verdict::Throttled { retry_after_us: Some(seconds * SECOND) }
}

const UNSAID: Verdict = Verdict::Throttled { retry_after_us: None };

/// Asks, must be let through, and tells.
fn once(breaker: &mut Breaker, verdict: Verdict, now_us: i64) -> bool {
    match breaker.ask(now_us) {
        Ask::Pass(generation) | Ask::Probe(generation) => breaker.tell(generation, verdict, now_us),
        Ask::Deny { retry_after_us } => panic!("denied for {retry_after_us}"),
    }
}

fn open(settings: Settings, seconds: i64) -> Breaker {
    let mut breaker = Breaker::new(settings, 7);
    assert!(once(&mut breaker, throttled(seconds), 0));
    breaker
}

fn probe(breaker: &mut Breaker, now_us: i64) -> u64 {
    match breaker.ask(now_us) {
        Ask::Probe(generation) => generation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_third_throttle_in_a_row_opens_it_for_as_long_as_was_asked() {
    let mut breaker = Breaker::new(EXACT, 7);
    assert_eq!([0, 1, 2].map(|now| once(&mut breaker, throttled(47), now)), [false, false, true]);
    assert_eq!(breaker.ask(2), Ask::Deny { retry_after_us: 47 * SECOND });
    assert_eq!(breaker.ask(47 * SECOND + 1), Ask::Deny { retry_after_us: 1 });
    assert!(matches!(breaker.ask(47 * SECOND + 2), Ask::Probe(_)));
}

#[test]
fn a_success_begins_the_count_anew_and_so_does_any_other_no() {
    let mut breaker = Breaker::new(EXACT, 7);
    for _ in 0..10 {
        assert!(!once(&mut breaker, UNSAID, 0) && !once(&mut breaker, UNSAID, 0));
        assert!(!once(&mut breaker, Verdict::Fine, 0));
        assert!(breaker.is_idle());
    }
}

/// A clock that seems to go back by a second was only read before another.
#[test]
fn a_clock_that_is_a_second_behind_moves_no_end() {
    for (behind, end) in [(SECOND, 70 * SECOND), (SECOND + 1, 69 * SECOND - 1)] {
        let mut breaker = Breaker::new(EXACT, 7);
        assert!(once(&mut breaker, throttled(60), 10 * SECOND));
        assert_eq!(breaker.ask(10 * SECOND - behind), Ask::Deny { retry_after_us: 60 * SECOND });
        assert_eq!(breaker.wait_us(end - 1), 1, "{behind}");
        assert_eq!(breaker.wait_us(end), 0, "{behind}");
    }
}

#[test]
fn a_minute_asked_for_once_opens_it_and_less_does_not() {
    let mut breaker = Breaker::new(EXACT, 7);
    assert!(!once(&mut breaker, Verdict::Throttled { retry_after_us: Some(60 * SECOND - 1) }, 0));
    let mut breaker = Breaker::new(EXACT, 7);
    assert!(once(&mut breaker, throttled(60), 0));
    assert_eq!((breaker.cause(), breaker.wait_us(0)), (Some(Cause::Throttled), 60 * SECOND));
}

#[test]
fn the_fifth_failure_in_a_row_opens_it_and_throttles_between_do_not_begin_anew() {
    let mut breaker = Breaker::new(EXACT, 7);
    let verdicts = [Verdict::Failed, UNSAID, Verdict::Failed, UNSAID, Verdict::Failed, Verdict::Failed];
    assert!(verdicts.iter().all(|verdict| !once(&mut breaker, *verdict, 0)));
    assert!(once(&mut breaker, Verdict::Failed, 0));
    assert_eq!((breaker.cause(), breaker.wait_us(0)), (Some(Cause::Failed), SECOND));
}

#[test]
fn a_good_answer_that_says_the_limit_is_used_up_opens_it_at_once_and_again_after_each_probe() {
    let spent = |seconds: i64| Verdict::Spent { retry_after_us: seconds * SECOND };
    let mut breaker = Breaker::new(Settings { base_us: 5 * SECOND, ..EXACT }, 7);
    assert!(once(&mut breaker, spent(60), 0));
    assert_eq!(breaker.cause(), Some(Cause::Throttled));
    assert!((60 * SECOND..=65 * SECOND).contains(&breaker.wait_us(0)));
    let mut breaker = Breaker::new(EXACT, 7);
    assert!(once(&mut breaker, spent(60), 0));
    let mut now = 60 * SECOND;
    for seconds in [60, 1, 300] {
        // The probe went well, and there is still no room.
        assert!(!once(&mut breaker, spent(seconds), now));
        assert_eq!(breaker.wait_us(now), seconds * SECOND);
        now += seconds * SECOND;
    }
    once(&mut breaker, Verdict::Fine, now);
    assert!(breaker.is_idle());
}

/// A longer wait each time is for an upstream that goes on refusing.
#[test]
fn a_probe_that_goes_well_ends_the_growth_of_waits_also_when_the_limit_is_used_up() {
    let settings = Settings { base_us: SECOND, shortest_us: 1, ..EXACT };
    let mut breaker = open(settings, 60);
    let mut now = 100 * SECOND;
    for _ in 0..5 {
        once(&mut breaker, UNSAID, now);
        now += breaker.wait_us(now);
    }
    once(&mut breaker, Verdict::Spent { retry_after_us: 0 }, now);
    assert!((SECOND..=2 * SECOND).contains(&breaker.wait_us(now)));
}

#[test]
fn what_an_upstream_asks_is_held_between_a_second_and_an_hour() {
    for (asked, expected) in [(Some(0), SECOND), (Some(-5), SECOND), (Some(i64::MIN), SECOND), (None, SECOND)] {
        let mut breaker = Breaker::new(Settings { throttles: 1, ..EXACT }, 7);
        assert!(once(&mut breaker, Verdict::Throttled { retry_after_us: asked }, 0));
        assert_eq!(breaker.wait_us(0), expected, "{asked:?}");
    }
    for year in [365 * 86_400 * SECOND, i64::MAX] {
        let mut breaker = Breaker::new(EXACT, 7);
        assert!(once(&mut breaker, Verdict::Throttled { retry_after_us: Some(year) }, 0));
        assert_eq!(breaker.wait_us(0), 3_600 * SECOND);
    }
}

#[test]
fn each_throttled_probe_doubles_the_time_and_jitter_only_adds_to_it() {
    let settings = Settings { base_us: 5 * SECOND, throttles: 1, ..EXACT };
    for seed in 0..200 {
        let (mut breaker, mut now) = (Breaker::new(settings, seed), 0);
        for streak in 0..15 {
            once(&mut breaker, UNSAID, now);
            let least = ((5 * SECOND) << streak).min(3_600 * SECOND);
            let wait = breaker.wait_us(now);
            assert!((least..=(2 * least).min(3_600 * SECOND)).contains(&wait), "{streak}: {wait}");
            now += wait;
        }
    }
}

#[test]
fn jitter_is_as_wide_as_the_back_off_however_long_the_wait_is() {
    let settings = Settings { base_us: 5 * SECOND, ..EXACT };
    let waits: Vec<i64> = (0..2_000)
        .map(|seed| {
            let mut breaker = Breaker::new(settings, seed);
            once(&mut breaker, throttled(600), 0);
            breaker.wait_us(0)
        })
        .collect();
    assert!(waits.iter().all(|wait| (600 * SECOND..=605 * SECOND).contains(wait)));
    let spread = waits.iter().max().unwrap() - waits.iter().min().unwrap();
    assert!(spread > 49 * SECOND / 10, "{spread}");
}

#[test]
fn one_probe_goes_out_and_its_success_closes_it() {
    let mut breaker = open(EXACT, 60);
    let generation = probe(&mut breaker, 60 * SECOND);
    for now in [60 * SECOND, 61 * SECOND, 89 * SECOND] {
        assert_eq!(breaker.ask(now), Ask::Deny { retry_after_us: SECOND }, "at most a second: it may soon be over");
    }
    assert!(!breaker.tell(generation, Verdict::Fine, 61 * SECOND));
    assert!(breaker.is_idle() && matches!(breaker.ask(61 * SECOND), Ask::Pass(_)));
}

#[test]
fn a_probe_that_fails_opens_it_for_the_base() {
    let mut breaker = open(Settings { base_us: SECOND, ..EXACT }, 60);
    let mut now = breaker.wait_us(0);
    for _ in 0..5 {
        let generation = probe(&mut breaker, now);
        breaker.tell(generation, UNSAID, now);
        now += breaker.wait_us(now);
    }
    let generation = probe(&mut breaker, now);
    breaker.tell(generation, Verdict::Failed, now);
    assert!((SECOND..=2 * SECOND).contains(&breaker.wait_us(now)));
    assert_eq!(breaker.cause(), Some(Cause::Failed));
}

#[test]
fn a_probe_whose_caller_left_frees_the_slot_at_once() {
    let mut breaker = open(EXACT, 60);
    let first = probe(&mut breaker, 60 * SECOND);
    breaker.release(first);
    let second = probe(&mut breaker, 60 * SECOND);
    assert!(second > first);
    // Whatever the first one still says is of no weight.
    assert!(!breaker.tell(first, Verdict::Fine, 61 * SECOND));
    breaker.release(first);
    assert!(matches!(breaker.ask(61 * SECOND), Ask::Deny { .. }));
}

#[test]
fn a_probe_of_which_nothing_is_heard_gives_way_to_another_at_the_end_of_its_lease() {
    let mut breaker = open(EXACT, 60);
    let first = probe(&mut breaker, 60 * SECOND);
    assert_eq!(breaker.ask(90 * SECOND - 1), Ask::Deny { retry_after_us: 1 });
    let second = probe(&mut breaker, 90 * SECOND);
    breaker.tell(first, Verdict::Fine, 91 * SECOND);
    assert!(breaker.is_open(), "the first one came too late");
    breaker.tell(second, Verdict::Fine, 91 * SECOND);
    assert!(breaker.is_idle());
}

#[test]
fn answers_to_requests_of_an_older_generation_change_nothing() {
    let mut breaker = Breaker::new(EXACT, 7);
    let Ask::Pass(old) = breaker.ask(0) else { panic!("closed") };
    once(&mut breaker, throttled(60), 0);
    for verdict in [Verdict::Fine, throttled(3_000), Verdict::Failed] {
        assert!(!breaker.tell(old, verdict, 1));
        assert_eq!(breaker.wait_us(1), 60 * SECOND - 1, "{verdict:?}");
    }
    let generation = probe(&mut breaker, 60 * SECOND);
    breaker.tell(old, Verdict::Fine, 60 * SECOND);
    assert!(breaker.is_open());
    breaker.tell(generation, Verdict::Fine, 60 * SECOND);
    breaker.tell(old, throttled(3_000), 61 * SECOND);
    assert!(breaker.is_idle());
}

#[test]
fn a_clock_that_jumps_back_makes_it_wait_once_more_at_most() {
    for back in [2 * SECOND, 3_600 * SECOND, i64::MAX / 4] {
        let mut breaker = Breaker::new(EXACT, 7);
        once(&mut breaker, throttled(60), 0);
        assert_eq!(breaker.ask(-back), Ask::Deny { retry_after_us: 60 * SECOND }, "{back}");
        assert_eq!(breaker.ask(60 * SECOND - back - 1), Ask::Deny { retry_after_us: 1 }, "{back}");
        probe(&mut breaker, 60 * SECOND - back);
        // The probe's lease neither.
        assert!(matches!(breaker.ask(-2 * back), Ask::Deny { .. }));
        probe(&mut breaker, 30 * SECOND - 2 * back);
    }
}

#[test]
fn callers_that_overtake_each_other_do_not_shorten_the_time() {
    let mut breaker = open(EXACT, 60);
    for now in 1..1_000 {
        assert_eq!(breaker.ask(now - 500), Ask::Deny { retry_after_us: (60 * SECOND - now + 500).min(60 * SECOND) });
    }
    assert_eq!(breaker.ask(60 * SECOND - 1), Ask::Deny { retry_after_us: 1 });
}

#[test]
fn a_clock_at_its_ends_neither_panics_nor_wedges() {
    let ends = [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for (from, to) in ends.iter().flat_map(|from| ends.map(|to| (*from, to))) {
        let mut breaker = Breaker::new(EXACT, 7);
        once(&mut breaker, throttled(600), from);
        let wait = breaker.wait_us(to);
        assert!((0..=600 * SECOND).contains(&wait), "{from} {to}");
        breaker.ask(to);
        breaker.ask(from);
        let mut now = to;
        for _ in 0..3 {
            if let Ask::Deny { retry_after_us } = breaker.ask(now) {
                now = now.saturating_add(retry_after_us.max(31 * SECOND));
            }
        }
    }
}

#[test]
fn a_trip_from_outside_needs_the_present_generation() {
    let mut breaker = Breaker::new(EXACT, 7);
    let old = breaker.generation();
    breaker.trip(old, Cause::Throttled, Some(9 * SECOND), 0);
    assert_eq!(breaker.wait_us(0), 9 * SECOND);
    breaker.trip(breaker.generation(), Cause::Failed, Some(900 * SECOND), 0);
    assert_eq!((breaker.wait_us(0), breaker.cause()), (9 * SECOND, Some(Cause::Throttled)), "it is open already");
    let generation = probe(&mut breaker, 9 * SECOND);
    breaker.tell(generation, Verdict::Fine, 9 * SECOND);
    breaker.trip(old, Cause::Throttled, None, 10 * SECOND);
    assert!(!breaker.is_open());
}
