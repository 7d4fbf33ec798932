//! The breakers under a scheduler that decides at every lock which thread goes on. The module is compiled here once more,
//! with the scheduler's locks in place of the standard library's.
//!
//! `cargo test -p kit --test breaker_shuttle`; `BREAKER_SCHEDULES` raises the number of orders that are tried. A failure
//! prints a schedule, which `shuttle::replay` takes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, unused_imports, reason = "the module is used in part here")]

/// What `kit::sync` is to the module there.
mod sync {
    pub(crate) use shuttle::sync::{Arc, Mutex};
    pub(crate) use std::sync::PoisonError;
}

#[path = "../../../templates/kit/core/src/breaker/mod.rs"]
mod breaker;

use std::sync::atomic::{AtomicUsize, Ordering};

use breaker::{Breakers, LevelSettings, Settings, ThrottleScope, Verdict, Who};
use shuttle::thread;
use sync::Arc;

const SECOND: i64 = 1_000_000;

/// Each test's share of the schedules.
fn schedules() -> usize {
    std::env::var("BREAKER_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

fn breakers() -> Arc<Breakers> {
    let breaker = Settings { base_us: 0, ..Settings::default() };
    Breakers::new(LevelSettings { breaker, capacity: 4, ..LevelSettings::default() }, 7)
}

fn who(tenant: &str) -> Who<'_> {
    Who { integration: "crm", tenant, account: "one", own_app: false }
}

fn throttled(seconds: i64) -> Verdict {
    Verdict::Throttled { retry_after_us: Some(seconds * SECOND) }
}

/// Opens the breaker of `tenant` for a minute.
fn open(breakers: &Arc<Breakers>, tenant: &str, scope: ThrottleScope) {
    breakers.ask(&who(tenant), 0).unwrap().tell(throttled(60), scope, 0);
}

/// A counter outside of the scheduler.
type Count = std::sync::Arc<AtomicUsize>;

#[test]
fn of_many_that_ask_at_once_one_is_the_probe_and_none_other_passes() {
    for scope in [ThrottleScope::Account, ThrottleScope::App] {
        let run = move || {
            let (all, sent, probing) = (breakers(), Count::default(), Count::default());
            open(&all, "a", scope);
            let threads = (0..4).map(|n| {
                let (all, sent, probing) = (all.clone(), sent.clone(), probing.clone());
                thread::spawn(move || {
                    let Ok(permit) = all.ask(&who("a"), 60 * SECOND) else { return };
                    assert!(permit.is_probe());
                    assert_eq!(probing.fetch_add(1, Ordering::SeqCst), 0, "two probes at once");
                    sent.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    probing.fetch_sub(1, Ordering::SeqCst);
                    // The first one leaves, the others are told to wait.
                    match n {
                        0 => drop(permit),
                        _ => drop(permit.tell(throttled(60), scope, 60 * SECOND)),
                    }
                })
            });
            threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
            let sent = sent.load(Ordering::SeqCst);
            assert!((1..=2).contains(&sent), "{sent} went out");
            // No wedge: when that time is over too, one goes out again and closes it.
            let probe = all.ask(&who("a"), 200 * SECOND).unwrap();
            assert!(probe.is_probe() || sent == 1);
            probe.tell(Verdict::Fine, ThrottleScope::Unsaid, 200 * SECOND);
            assert!(all.open(200 * SECOND).is_empty());
        };
        shuttle::check_random(run, schedules());
        shuttle::check_pct(run, schedules(), 3);
    }
}

#[test]
fn a_storm_reaches_the_upstream_no_more_often_than_the_threshold_and_what_was_out_already() {
    let run = || {
        let (all, sent) = (breakers(), Count::default());
        let threads = (0..6).map(|_| {
            let (all, sent) = (all.clone(), sent.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    let Ok(permit) = all.ask(&who("a"), 0) else { continue };
                    sent.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    permit.tell(throttled(1), ThrottleScope::Unsaid, 0);
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        // The third answer opens it; the five other threads may have one request out by then.
        assert!((3..=3 + 5).contains(&sent.load(Ordering::SeqCst)));
        assert!(all.ask(&who("a"), 0).is_err());
        assert_eq!(all.kept(), (1, 1));
    };
    shuttle::check_random(run, schedules());
    shuttle::check_pct(run, schedules(), 3);
}

#[test]
fn tenants_that_come_and_go_at_the_bound_leave_nothing_behind() {
    let run = || {
        let all = breakers();
        let threads = (0..4).map(|n| {
            let all = all.clone();
            thread::spawn(move || {
                for round in 0..3 {
                    let tenant = format!("t{}", (n + round) % 3);
                    let Ok(permit) = all.ask(&Who { own_app: n == 0, ..who(&tenant) }, 0) else { continue };
                    thread::yield_now();
                    match (n + round) % 3 {
                        0 => drop(permit),
                        1 => drop(permit.tell(Verdict::Fine, ThrottleScope::Unsaid, 0)),
                        _ => drop(permit.tell(Verdict::Failed, ThrottleScope::Unsaid, 0)),
                    }
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        for n in 0..3 {
            let tenant = format!("t{n}");
            all.ask(&who(&tenant), 0).unwrap().tell(Verdict::Fine, ThrottleScope::Unsaid, 0);
        }
        assert_eq!(all.kept(), (0, 1));
    };
    shuttle::check_random(run, schedules());
}
