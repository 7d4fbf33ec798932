//! The limiter in memory: what an implementation by somebody else decides, a bounded number of buckets, and what a decision
//! costs. The vectors in `fixtures/gcra-vectors.json` were made by running PyPI `throttled-py` 3.5.0 with its clock
//! replaced; the file names its source.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use futures_util::FutureExt as _;
use kit::limit::memory::MemoryLimits;
use kit::limit::{Charge, Decision, Rate, gcra};
use kit::ports::LimitBackend;
use serde_json::Value;

const VECTORS: &str = include_str!("fixtures/gcra-vectors.json");
const SECOND: i64 = 1_000_000;

/// Times in the vectors are exact binary fractions of a second.
fn us(value: &Value) -> i64 {
    let us = value.as_f64().unwrap() * 1e6;
    assert_eq!(us.fract(), 0.0, "{value}");
    us as i64
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// Runs `each` on every step: bucket, charge and expected outcome. All of them are counted, so none drops out in silence.
fn vectors(mut each: impl FnMut(&str, Rate, u32, i64, gcra::Outcome)) {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let mut steps = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let rate = Rate { interval_us: us(&vector["emission_interval_s"]), burst: number(&vector["burst"]) };
        for step in vector["steps"].as_array().unwrap() {
            let outcome = gcra::Outcome {
                retry_after_us: us(&step["retry_after"]),
                remaining: number(&step["remaining"]),
                reset_us: us(&step["reset_after"]),
            };
            assert_eq!(step["limited"], outcome.retry_after_us > 0, "{step}");
            each(vector["id"].as_str().unwrap(), rate, number(&step["cost"]), us(&step["at"]), outcome);
            steps += 1;
        }
    }
    assert_eq!(steps, 65);
}

#[test]
fn the_arithmetic_decides_as_the_vectors_say() {
    let (mut bucket, mut tat) = (String::new(), 0);
    vectors(|id, rate, cost, now, expected| {
        if bucket != id {
            (bucket, tat) = (id.to_owned(), 0);
        }
        let outcome = gcra::decide(gcra::level_us(tat, rate, now), rate, cost);
        assert_eq!(outcome, expected, "{id} at {now}");
        tat = now + outcome.reset_us;
    });
}

#[test]
fn memory_decides_as_the_vectors_say() {
    let limits = MemoryLimits::default();
    vectors(|id, rate, cost, now, gcra::Outcome { retry_after_us, remaining, reset_us }| {
        let take = |cost| limits.take(&[Charge { key: id, rate, cost }], now).now_or_never().unwrap();
        let expected = match retry_after_us {
            0 => Decision::Admitted { layer: 0, remaining, reset_us },
            _ => Decision::Denied { layer: 0, retry_after_us, remaining },
        };
        assert_eq!(take(cost), expected, "{id} at {now}");
        // A request that costs nothing shows the time of a denied one too.
        assert_eq!(take(0), Decision::Admitted { layer: 0, remaining, reset_us }, "{id} at {now}");
    });
}

/// One token a second, one at once.
const SLOW: Rate = Rate { interval_us: SECOND, burst: 1 };

fn one(limits: &MemoryLimits, key: &str, now_us: i64) -> Decision {
    limits.decide(&[Charge { key, rate: SLOW, cost: 1 }], now_us)
}

const LAST: Decision = Decision::Admitted { layer: 0, remaining: 0, reset_us: SECOND };

fn denied(layer: usize, retry_after_us: i64) -> Decision {
    Decision::Denied { layer, retry_after_us, remaining: 0 }
}

#[test]
fn buckets_do_not_share_tokens() {
    let limits = MemoryLimits::default();
    assert_eq!(one(&limits, "a", 0), LAST);
    assert_eq!(one(&limits, "a", 0), denied(0, SECOND));
    assert_eq!(one(&limits, "b", 0), LAST);
}

#[test]
fn a_pass_is_charged_to_all_of_its_buckets_or_to_none() {
    let limits = MemoryLimits::default();
    let wide = Rate { interval_us: SECOND, burst: 3 };
    let charges = |tool| [Charge { key: "{a}", rate: wide, cost: 1 }, Charge { key: tool, rate: SLOW, cost: 1 }];
    assert_eq!(limits.decide(&charges("{a}/x"), 0), Decision::Admitted { layer: 1, remaining: 0, reset_us: SECOND });
    // The tool's bucket denies, so the tenant's keeps its token, and no bucket is made.
    assert_eq!(limits.decide(&charges("{a}/x"), 0), denied(1, SECOND));
    assert_eq!(limits.decide(&charges("{a}/y"), 0), Decision::Admitted { layer: 1, remaining: 0, reset_us: SECOND });
    let last = Decision::Admitted { layer: 0, remaining: 0, reset_us: 3 * SECOND };
    assert_eq!(limits.decide(&charges("{a}/z"), 0), last);
    assert_eq!(limits.decide(&charges("{a}/v"), 0), denied(0, SECOND));
    assert_eq!(limits.len(), 4);
}

/// Names without braces are wherever their hash says: each is found again, also by itself.
#[test]
fn a_pass_over_names_that_lie_apart_is_charged_to_each_of_them() {
    let limits = MemoryLimits::default();
    let keys: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let charges: Vec<Charge<'_>> = keys.iter().map(|key| Charge { key, rate: SLOW, cost: 1 }).collect();
    assert_eq!(limits.decide(&charges, 0), LAST);
    for key in &keys {
        assert_eq!(one(&limits, key, 0), denied(0, SECOND), "{key}");
    }
    assert_eq!((limits.len(), limits.is_empty()), (20, false));
}

#[test]
fn what_costs_nothing_opens_no_bucket() {
    let limits = MemoryLimits::new(1);
    let free = [Charge { key: "a", rate: SLOW, cost: 0 }];
    assert_eq!(limits.decide(&free, 0), Decision::Admitted { layer: 0, remaining: 1, reset_us: 0 });
    assert_eq!(limits.decide(&[], 0), Decision::Admitted { layer: 0, remaining: u32::MAX, reset_us: 0 });
    assert!(limits.is_empty());
}

/// Only what opens a bucket needs room for one.
#[test]
fn a_full_table_serves_the_buckets_that_it_has_and_what_costs_nothing() {
    let limits = MemoryLimits::new(1);
    let rate = Rate { burst: 3, ..SLOW };
    let take = |key, cost| limits.decide(&[Charge { key, rate, cost }], 0);
    for remaining in [2, 1, 0] {
        let reset_us = i64::from(3 - remaining) * SECOND;
        assert_eq!(take("a", 1), Decision::Admitted { layer: 0, remaining, reset_us });
        assert_eq!(take("b", 0), Decision::Admitted { layer: 0, remaining: 3, reset_us: 0 });
        assert_eq!(take("b", 1), Decision::Saturated);
    }
    assert_eq!(limits.len(), 1);
}

/// Each layer would count the other's bucket for a new one.
#[test]
fn a_name_that_comes_twice_is_one_bucket() {
    let limits = MemoryLimits::default();
    let charge = Charge { key: "a", rate: SLOW, cost: 1 };
    assert_eq!(limits.decide(&[charge, charge], 0), LAST);
    assert_eq!(limits.len(), 1);
}

#[test]
fn three_hundred_thousand_names_do_not_grow_a_table_of_a_hundred_thousand() {
    let limits = MemoryLimits::new(100_000);
    let (mut admitted, mut saturated) = (0, 0);
    for n in 0..300_000 {
        match one(&limits, &n.to_string(), 0) {
            Decision::Admitted { .. } => admitted += 1,
            Decision::Saturated => saturated += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((admitted, saturated, limits.len()), (100_000, 200_000, 100_000));
    // Those that are live go on, and none was given a second allowance.
    assert_eq!(one(&limits, "7", 0), denied(0, SECOND));
    assert_eq!(one(&limits, "99999", SECOND / 2), denied(0, SECOND / 2));
    // Once they are full again they make room for others.
    for n in 300_000..400_000 {
        assert_eq!(one(&limits, &n.to_string(), SECOND), LAST, "{n}");
    }
    assert_eq!((one(&limits, "7", SECOND), limits.len()), (Decision::Saturated, 100_000));
}

#[test]
fn a_full_table_is_searched_ten_times_a_second_and_no_more() {
    let limits = MemoryLimits::new(2);
    assert_eq!(one(&limits, "a", 0), LAST);
    assert_eq!(one(&limits, "b", 950_000), LAST);
    assert_eq!(one(&limits, "c", 950_000), Decision::Saturated);
    // The first is full again, and the last look was 99.999 ms ago.
    assert_eq!(one(&limits, "c", 1_049_999), Decision::Saturated);
    assert_eq!(one(&limits, "c", 1_050_000), LAST);
    assert_eq!(limits.len(), 2);
    // A clock that steps back stops nothing.
    assert_eq!(one(&limits, "d", -10 * SECOND), Decision::Saturated);
    assert_eq!(one(&limits, "d", 3 * SECOND), LAST);
    assert_eq!(limits.len(), 1);
}

#[test]
fn a_pass_that_finds_no_room_for_all_of_its_buckets_opens_none() {
    let limits = MemoryLimits::new(3);
    let pass = |keys: [&'static str; 2]| limits.decide(&keys.map(|key| Charge { key, rate: SLOW, cost: 1 }), 0);
    assert_eq!(pass(["a", "b"]), LAST);
    assert_eq!(pass(["c", "d"]), Decision::Saturated);
    assert_eq!((one(&limits, "c", 0), limits.len()), (LAST, 3));
}

#[test]
fn many_threads_get_one_burst_together() {
    let (limits, rate) = (MemoryLimits::default(), Rate { interval_us: SECOND, burst: 1_000 });
    let keys: Vec<String> = (0..8).map(|n| format!("{{{n}}}/x")).collect();
    let admitted: Vec<usize> = std::thread::scope(|scope| {
        let work = |offset: usize| {
            let (limits, keys) = (&limits, &keys);
            move || {
                // Every thread names the buckets in another order.
                let order = |n: usize| Charge { key: &keys[(n + offset) % 8], rate, cost: 1 };
                let charges: Vec<Charge<'_>> = (0..8).map(order).collect();
                (0..2_000).filter(|_| matches!(limits.decide(&charges, 0), Decision::Admitted { .. })).count()
            }
        };
        let threads: Vec<_> = (0..4).map(|offset| scope.spawn(work(offset))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((admitted.iter().sum::<usize>(), limits.len()), (1_000, 8));
}

/// CPU time of this thread.
fn cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Memory of this process that is in use.
fn resident() -> Option<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

/// CPU time of `work` for each of a million numbers.
fn each(mut work: impl FnMut(usize)) -> u64 {
    let (begin, cpu) = (Instant::now(), cpu_ns());
    (0..COUNT).for_each(&mut work);
    let wall = u64::try_from(begin.elapsed().as_nanos()).unwrap();
    cpu_ns().zip(cpu).map_or(wall, |(after, before)| after - before) / COUNT as u64
}

const COUNT: usize = 1_000_000;

/// Prints what a decision costs:
/// `cargo test --release --package kit --test limits -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, for a release build on a machine that is idle"]
fn a_million_buckets_cost_at_most_64_bytes_and_half_a_microsecond_each() {
    let rate = Rate { interval_us: SECOND, burst: 1_000_000 };
    let limits = MemoryLimits::new(COUNT);
    // As in a call, a name has just been made when it is looked for.
    let mut key = String::new();
    let mut name = |n: usize, each: &mut dyn FnMut(&str)| {
        key.clear();
        write!(key, "{{tenant-{}}}/integration_tool_{}", n / 20, n % 20).unwrap();
        each(black_box(&key));
    };
    let mut take = |n: usize| {
        name(n, &mut |key| {
            let decision = limits.take(&[Charge { key, rate, cost: 1 }], 0).now_or_never();
            assert!(matches!(decision, Some(Decision::Admitted { .. })), "{decision:?}");
        });
    };
    let before = resident();
    let new = each(&mut take);
    let bytes = resident().zip(before).map(|(after, before)| (after - before) / COUNT);
    // 7,919 is prime, so all of them come, far from each other.
    let far = |n: usize| n * 7_919 % COUNT;
    let found: Vec<u64> = (0..5).map(|_| each(|n| take(far(n)))).collect();
    let same: Vec<u64> = (0..5).map(|_| each(|n| take(n / 50_000))).collect();
    let names: Vec<u64> = (0..5).map(|_| each(|n| name(far(n), &mut |_| ()))).collect();
    let least = |of: &[u64]| *of.iter().min().unwrap();
    let [found, same, names] = [&found, &same, &names].map(|of| least(of));
    println!("CPU time of a decision: {} ns for a new bucket,", new - names);
    println!("{} ns for any of a million, {} ns for the same ones again", found - names, same - names);
    println!("bytes of a bucket: {bytes:?}");
    assert!(bytes.is_none_or(|bytes| bytes <= 64), "{bytes:?}");
    if cfg!(not(debug_assertions)) {
        assert!(found - names <= 500, "{found} - {names}");
    }
}
