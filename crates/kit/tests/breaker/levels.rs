//! Both levels, and what is kept and forgotten.

use std::sync::Arc;

use kit::breaker::{AppSettings, Breakers, Cause, Denied, LevelSettings, Settings, ThrottleScope, Verdict, View, Who};

const SECOND: i64 = 1_000_000;

fn settings(capacity: usize) -> LevelSettings {
    let breaker = Settings { base_us: 0, ..Settings::default() };
    LevelSettings { breaker, app: AppSettings::default(), capacity }
}

fn breakers(capacity: usize) -> Arc<Breakers> {
    Breakers::new(settings(capacity), 7)
}

fn who<'a>(tenant: &'a str, account: &'a str) -> Who<'a> {
    Who { integration: "crm", tenant, account, own_app: false }
}

fn throttled(seconds: i64) -> Verdict {
    Verdict::Throttled { retry_after_us: Some(seconds * SECOND) }
}

/// Asks, must be let through, and tells.
fn once(
    breakers: &Arc<Breakers>,
    who: &Who<'_>,
    verdict: Verdict,
    scope: ThrottleScope,
    now_us: i64,
) -> Option<Denied> {
    breakers.ask(who, now_us).expect("a permit").tell(verdict, scope, now_us)
}

fn wait(breakers: &Arc<Breakers>, who: &Who<'_>, now_us: i64) -> Option<i64> {
    breakers.ask(who, now_us).err().map(|denied| denied.retry_after_us)
}

fn open(integration: &str, tenant: Option<&str>, account: Option<&str>, seconds: i64) -> View {
    let (tenant, account) = (tenant.map(str::to_owned), account.map(str::to_owned));
    let integration = integration.to_owned();
    View { integration, tenant, account, cause: Cause::Throttled, retry_after_us: seconds * SECOND }
}

#[test]
fn one_account_that_is_limited_stops_no_other_and_no_other_tenant() {
    let all = breakers(100);
    let told = once(&all, &who("a", "one"), throttled(60), ThrottleScope::Unsaid, 0);
    assert_eq!(told, Some(Denied { retry_after_us: 60 * SECOND, cause: Cause::Throttled }));
    assert_eq!(wait(&all, &who("a", "one"), SECOND), Some(59 * SECOND));
    assert_eq!([("a", "two"), ("b", "one")].map(|(t, a)| wait(&all, &who(t, a), SECOND)), [None, None]);
    let elsewhere = Who { integration: "crm_eu", ..who("a", "one") };
    assert_eq!(wait(&all, &elsewhere, SECOND), None);
    assert_eq!(all.open(0), [open("crm", Some("a"), Some("one"), 60)]);
}

#[test]
fn a_limit_of_the_app_stops_all_its_tenants_at_once_and_no_account_remembers_it() {
    let all = breakers(100);
    let told = once(&all, &who("a", "one"), throttled(47), ThrottleScope::App, 0);
    assert_eq!(told.map(|denied| denied.retry_after_us), Some(47 * SECOND));
    assert_eq!(["a", "b", "c"].map(|tenant| wait(&all, &who(tenant, "one"), 0)), [Some(47 * SECOND); 3]);
    assert_eq!(all.open(0), [open("crm", None, None, 47)]);
    // One probe for all of them.
    let probe = all.ask(&who("b", "one"), 47 * SECOND).expect("the probe");
    assert!(probe.is_probe());
    assert_eq!(wait(&all, &who("a", "one"), 47 * SECOND), Some(SECOND));
    probe.tell(Verdict::Fine, ThrottleScope::Unsaid, 47 * SECOND);
    assert_eq!(["a", "b", "c"].map(|tenant| wait(&all, &who(tenant, "one"), 47 * SECOND)), [None; 3]);
    assert_eq!(all.kept(), (0, 1));
}

#[test]
fn a_tenant_with_an_app_of_its_own_stands_alone() {
    let all = breakers(100);
    let own = Who { own_app: true, ..who("a", "one") };
    once(&all, &own, throttled(60), ThrottleScope::App, 0);
    assert_eq!((wait(&all, &own, 0), wait(&all, &who("b", "one"), 0)), (Some(60 * SECOND), None));
    once(&all, &who("b", "one"), throttled(90), ThrottleScope::App, 0);
    assert_eq!((wait(&all, &own, 0), wait(&all, &who("c", "one"), 0)), (Some(60 * SECOND), Some(90 * SECOND)));
    assert_eq!(all.open(0), [open("crm", None, None, 90), open("crm", Some("a"), None, 60)]);
}

#[test]
fn the_third_tenant_that_trips_within_half_a_minute_opens_the_app() {
    for (third, opens) in [(29 * SECOND, true), (30 * SECOND, false)] {
        let all = breakers(100);
        // Enough others that two of them are less than a fifth.
        for n in 0..20 {
            once(&all, &who(&format!("t{n}"), "one"), Verdict::Fine, ThrottleScope::Unsaid, 0);
        }
        for (tenant, account, now) in [("t0", "one", 0), ("t0", "two", 0), ("t1", "one", 0), ("t2", "one", third)] {
            once(&all, &who(tenant, account), throttled(600), ThrottleScope::Unsaid, now);
        }
        let app = all.open(third).iter().any(|view| view.account.is_none());
        assert_eq!(app, opens, "{third}");
        // For the base and not for the ten minutes that each of them was told.
        assert_eq!(wait(&all, &who("t9", "one"), third), opens.then_some(SECOND));
    }
}

#[test]
fn a_fifth_of_the_active_tenants_opens_the_app_but_never_one_alone() {
    for (others, opens) in [(0, true), (8, true), (9, false)] {
        let all = breakers(100);
        // A tenant that was active long ago does not count.
        once(&all, &who("gone", "one"), Verdict::Fine, ThrottleScope::Unsaid, 0);
        let now = 300 * SECOND;
        for n in 0..others {
            once(&all, &who(&format!("t{n}"), "one"), Verdict::Fine, ThrottleScope::Unsaid, now);
        }
        once(&all, &who("a", "one"), throttled(600), ThrottleScope::Unsaid, now);
        assert!(all.open(now).iter().all(|view| view.account.is_some()), "one alone");
        once(&all, &who("b", "one"), throttled(600), ThrottleScope::Unsaid, now);
        assert_eq!(all.open(now).iter().any(|view| view.account.is_none()), opens, "{others}");
    }
}

#[test]
fn limits_that_are_said_to_be_the_accounts_never_open_the_app() {
    let all = breakers(100);
    for n in 0..10 {
        once(&all, &who(&format!("t{n}"), "one"), throttled(600), ThrottleScope::Account, 0);
    }
    assert_eq!((wait(&all, &who("x", "one"), 0), all.kept()), (None, (10, 1)));
}

#[test]
fn tenants_whose_requests_fail_open_the_app_and_say_why() {
    let all = breakers(100);
    for tenant in ["a", "b"] {
        for _ in 0..5 {
            once(&all, &who(tenant, "one"), Verdict::Failed, ThrottleScope::Unsaid, 0);
        }
    }
    assert_eq!(all.ask(&who("x", "one"), 0).err(), Some(Denied { retry_after_us: SECOND, cause: Cause::Failed }));
}

#[test]
fn a_probe_of_the_app_that_meets_its_own_accounts_limit_decides_nothing() {
    let all = breakers(100);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::App, 0);
    let probe = all.ask(&who("b", "one"), 60 * SECOND).expect("the probe");
    probe.tell(throttled(600), ThrottleScope::Account, 60 * SECOND);
    let next = all.ask(&who("c", "one"), 60 * SECOND).expect("another probe");
    assert!(next.is_probe());
    next.tell(throttled(70), ThrottleScope::App, 60 * SECOND);
    assert_eq!(wait(&all, &who("d", "one"), 60 * SECOND), Some(70 * SECOND));
}

#[test]
fn a_limit_of_the_app_does_not_close_the_account_that_probes() {
    let all = breakers(100);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    let probe = all.ask(&who("a", "one"), 60 * SECOND).expect("the probe");
    probe.tell(throttled(60), ThrottleScope::App, 60 * SECOND);
    let probe = all.ask(&who("a", "one"), 120 * SECOND).expect("the probe of both");
    assert!(probe.is_probe() && all.open(120 * SECOND).len() == 2);
    probe.tell(Verdict::Fine, ThrottleScope::Unsaid, 120 * SECOND);
    assert_eq!(all.open(120 * SECOND), []);
}

#[test]
fn a_permit_that_is_dropped_frees_both_slots_and_counts_nothing() {
    let all = breakers(100);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    once(&all, &who("b", "one"), throttled(60), ThrottleScope::App, 0);
    for _ in 0..100 {
        let probe = all.ask(&who("a", "one"), 60 * SECOND).expect("the probe");
        assert!(probe.is_probe() && all.ask(&who("a", "one"), 60 * SECOND).is_err());
        drop(probe);
    }
    for _ in 0..100 {
        drop(all.ask(&who("z", "one"), 60 * SECOND));
    }
    assert_eq!(all.kept(), (1, 1));
}

#[test]
fn a_denied_account_does_not_take_the_apps_probe() {
    let all = breakers(100);
    once(&all, &who("a", "one"), throttled(600), ThrottleScope::Account, 0);
    once(&all, &who("b", "one"), throttled(60), ThrottleScope::App, 0);
    assert_eq!(wait(&all, &who("a", "one"), 60 * SECOND), Some(540 * SECOND));
    assert!(all.ask(&who("b", "one"), 60 * SECOND).expect("the probe").is_probe());
}

#[test]
fn who_is_denied_by_both_is_told_the_longer_wait() {
    for (account, app) in [(600, 60), (60, 600)] {
        let all = breakers(100);
        once(&all, &who("a", "one"), throttled(account), ThrottleScope::Account, 0);
        once(&all, &who("b", "one"), throttled(app), ThrottleScope::App, 0);
        assert_eq!(wait(&all, &who("a", "one"), 0), Some(600 * SECOND));
    }
}

#[test]
fn trips_that_have_opened_the_app_do_not_open_it_again() {
    let all = breakers(100);
    for tenant in ["a", "b"] {
        once(&all, &who(tenant, "one"), throttled(600), ThrottleScope::Unsaid, 0);
    }
    once(&all, &who("c", "one"), Verdict::Fine, ThrottleScope::Unsaid, SECOND);
    once(&all, &who("c", "one"), throttled(600), ThrottleScope::Unsaid, SECOND);
    assert_eq!(wait(&all, &who("d", "one"), SECOND), None);
}

#[test]
fn trips_from_before_a_jump_of_the_clock_count_for_half_a_minute_more() {
    for (pause, opens) in [(29 * SECOND, true), (30 * SECOND, false)] {
        let all = breakers(100);
        once(&all, &who("a", "one"), throttled(60), ThrottleScope::Unsaid, 3_600 * SECOND);
        // Its breaker tells when the clock has gone back, and the app's notes it.
        for tenant in ["x", "y", "z", "u", "v", "w", "p", "q", "r", "s"] {
            once(&all, &who(tenant, "one"), Verdict::Fine, ThrottleScope::Unsaid, 0);
        }
        once(&all, &who("b", "one"), throttled(60), ThrottleScope::Unsaid, 0);
        for tenant in ["c", "e"] {
            // The first of them may open it.
            if let Ok(permit) = all.ask(&who(tenant, "one"), pause) {
                permit.tell(throttled(60), ThrottleScope::Unsaid, pause);
            }
        }
        assert_eq!(wait(&all, &who("d", "one"), pause).is_some(), opens, "{pause}");
    }
}

#[test]
fn at_the_bound_a_clock_that_jumps_back_does_not_stop_the_sweep() {
    let all = breakers(1);
    let day = 86_400 * SECOND;
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, day);
    // A sweep that finds nothing.
    once(&all, &who("b", "one"), Verdict::Fine, ThrottleScope::Account, day);
    let probe = all.ask(&who("a", "one"), day + 60 * SECOND).expect("the probe");
    drop(probe);
    once(&all, &who("b", "one"), throttled(60), ThrottleScope::Account, 0);
    assert_eq!((wait(&all, &who("b", "one"), 0), all.untracked()), (Some(60 * SECOND), 1));
}

#[test]
fn what_goes_well_leaves_nothing_behind_however_many_there_are() {
    let all = breakers(10_000);
    for n in 0..300_000 {
        let name = n.to_string();
        let who = Who { own_app: n % 2 == 0, ..who(&name, "one") };
        once(&all, &who, Verdict::Fine, ThrottleScope::Unsaid, n);
    }
    assert_eq!((all.kept(), all.untracked()), ((0, 1), 0));
}

#[test]
fn three_hundred_thousand_that_count_or_are_open_are_kept_within_the_bound() {
    let all = breakers(1_000);
    for n in 0..300_000_i64 {
        let name = n.to_string();
        let verdict = if n % 3 == 0 { throttled(3_600) } else { throttled(1) };
        let scope = if n % 2 == 0 { ThrottleScope::App } else { ThrottleScope::Account };
        let who = Who { own_app: true, ..who(&name, "one") };
        once(&all, &who, verdict, scope, n);
        let (accounts, apps) = all.kept();
        assert!(accounts <= 1_000 && apps <= 1_000, "{accounts} {apps}");
    }
    assert!(all.untracked() > 0);
}

#[test]
fn at_the_bound_the_one_asked_longest_ago_goes_and_an_open_one_never() {
    let all = breakers(3);
    once(&all, &who("open", "one"), throttled(60), ThrottleScope::Account, 0);
    for tenant in ["old", "young", "old"] {
        once(&all, &who(tenant, "one"), throttled(1), ThrottleScope::Account, 0);
    }
    once(&all, &who("new", "one"), throttled(1), ThrottleScope::Account, 0);
    // `young` was forgotten, so it needs three more; `old` has one to go.
    assert!(once(&all, &who("old", "one"), throttled(1), ThrottleScope::Account, 0).is_some());
    assert_eq!(wait(&all, &who("open", "one"), 0), Some(60 * SECOND));
    assert_eq!(all.kept().0, 3);
}

#[test]
fn where_all_are_open_the_next_one_passes_and_is_counted_until_one_is_over() {
    let all = breakers(2);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    once(&all, &who("b", "one"), throttled(90), ThrottleScope::Account, 0);
    assert_eq!(once(&all, &who("c", "one"), throttled(60), ThrottleScope::Account, SECOND), None);
    assert_eq!((all.kept().0, all.untracked()), (2, 1));
    once(&all, &who("c", "one"), throttled(60), ThrottleScope::Account, 60 * SECOND);
    assert_eq!((wait(&all, &who("c", "one"), 60 * SECOND), all.untracked()), (Some(60 * SECOND), 1));
    assert_eq!(wait(&all, &who("b", "one"), 60 * SECOND), Some(30 * SECOND));
}

#[test]
fn a_breaker_is_kept_while_a_request_is_out_so_that_its_answer_meets_no_younger_one() {
    let all = breakers(100);
    let late = all.ask(&who("a", "one"), 0).expect("a permit");
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    let probe = all.ask(&who("a", "one"), 60 * SECOND).expect("the probe");
    probe.tell(Verdict::Fine, ThrottleScope::Unsaid, 60 * SECOND);
    assert_eq!(all.kept().0, 1);
    assert_eq!(late.tell(throttled(3_600), ThrottleScope::Account, 61 * SECOND), None);
    assert_eq!((wait(&all, &who("a", "one"), 61 * SECOND), all.kept().0), (None, 0));
}

#[test]
fn an_app_is_kept_while_a_request_is_out_too() {
    let all = breakers(100);
    let own = Who { own_app: true, ..who("a", "one") };
    let late = all.ask(&own, 0).expect("a permit");
    once(&all, &own, Verdict::Fine, ThrottleScope::Unsaid, 0);
    assert!(late.tell(throttled(60), ThrottleScope::App, 0).is_some());
    assert_eq!(wait(&all, &own, 0), Some(60 * SECOND));
}

#[test]
fn tenants_that_trip_open_the_app_again_once_it_is_closed() {
    let all = breakers(100);
    for now in [0, 100 * SECOND, 200 * SECOND] {
        for tenant in ["a", "b", "c"] {
            // After the second the app is open.
            if let Ok(permit) = all.ask(&who(&format!("{tenant}{now}"), "one"), now) {
                permit.tell(throttled(600), ThrottleScope::Unsaid, now);
            }
        }
        assert_eq!(wait(&all, &who("x", "one"), now), Some(SECOND), "{now}");
        once(&all, &who("x", "one"), Verdict::Fine, ThrottleScope::Unsaid, now + SECOND);
        assert_eq!(wait(&all, &who("y", "one"), now + SECOND), None, "{now}");
    }
}

fn own(tenant: &str) -> Who<'_> {
    Who { own_app: true, ..who(tenant, "one") }
}

/// Whether the limit of the app of `tenant` is kept when it is told.
fn is_tracked(all: &Arc<Breakers>, who: &Who<'_>, now_us: i64) -> bool {
    once(all, who, throttled(600), ThrottleScope::App, now_us);
    wait(all, who, now_us).is_some()
}

#[test]
fn at_the_bound_tenants_apps_that_are_open_or_asked_stay_and_those_whose_time_is_over_go() {
    let all = breakers(3);
    once(&all, &own("open"), throttled(60), ThrottleScope::App, 0);
    let out = all.ask(&own("out"), 0).expect("a permit");
    once(&all, &own("over"), throttled(20), ThrottleScope::App, 0);
    assert_eq!(all.kept().1, 3);
    // No room.
    assert!(!is_tracked(&all, &own("more"), SECOND));
    assert_eq!(all.kept().1, 3);
    // Twenty seconds later there is, for one.
    assert!(is_tracked(&all, &own("more"), 20 * SECOND));
    assert!(!is_tracked(&all, &own("too many"), 21 * SECOND));
    assert_eq!(wait(&all, &own("open"), 21 * SECOND), Some(39 * SECOND));
    assert!(out.tell(throttled(60), ThrottleScope::App, 21 * SECOND).is_some());
    assert_eq!(wait(&all, &own("out"), 21 * SECOND), Some(60 * SECOND));
}

#[test]
fn the_owners_app_is_never_without_a_breaker_and_remembers_who_tripped() {
    let all = breakers(3);
    once(&all, &who("a", "one"), throttled(600), ThrottleScope::Unsaid, 0);
    for tenant in ["x", "y"] {
        once(&all, &own(tenant), throttled(600), ThrottleScope::App, 0);
    }
    assert_eq!(all.kept().1, 3);
    // Full, and looked through: what stays closed is the owner's.
    assert!(!is_tracked(&all, &own("z"), SECOND));
    once(&all, &who("b", "one"), throttled(600), ThrottleScope::Unsaid, SECOND);
    assert_eq!(wait(&all, &who("c", "one"), SECOND), Some(SECOND), "the second that trips, of two");
    // Another integration of the owner's comes when there is no room for tenants' apps.
    let elsewhere = |tenant| Who { integration: "crm_eu", ..who(tenant, "one") };
    once(&all, &elsewhere("a"), throttled(60), ThrottleScope::App, SECOND);
    assert_eq!(wait(&all, &elsewhere("b"), SECOND), Some(60 * SECOND));
}

#[test]
fn all_are_looked_through_once_a_second_and_no_more() {
    let all = breakers(1);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    let tracked = |tenant, now| {
        once(&all, &who(tenant, "one"), throttled(1), ThrottleScope::Account, now);
        all.open(now).iter().all(|view| view.tenant.as_deref() != Some("a"))
    };
    // A look in which it is still open; its time is over half a second later, and nobody looks for another half.
    assert!(!tracked("b", 59 * SECOND + SECOND / 2));
    assert!(!tracked("b", 60 * SECOND + SECOND / 2 - 1));
    assert!(tracked("b", 60 * SECOND + SECOND / 2));
    assert_eq!(all.untracked(), 2);
}

#[test]
fn all_are_looked_through_once_at_one_time() {
    let all = breakers(1);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::Account, 0);
    let probe = all.ask(&who("a", "one"), 60 * SECOND).expect("the probe");
    drop(all.ask(&who("b", "one"), 60 * SECOND));
    // Now it could go, but it was looked at a moment ago.
    drop(probe);
    drop(all.ask(&who("b", "one"), 60 * SECOND));
    assert_eq!(all.untracked(), 2);
}

fn spent(seconds: i64) -> Verdict {
    Verdict::Spent { retry_after_us: seconds * SECOND }
}

#[test]
fn a_used_up_limit_of_an_account_stops_that_account_and_never_the_app() {
    let all = breakers(100);
    let told = once(&all, &who("a", "one"), spent(60), ThrottleScope::Account, 0);
    assert_eq!(told, Some(Denied { retry_after_us: 60 * SECOND, cause: Cause::Throttled }));
    for tenant in ["b", "c", "d", "e"] {
        once(&all, &who(tenant, "one"), spent(60), ThrottleScope::Account, 0);
    }
    let waits = [("a", "one"), ("a", "two"), ("x", "one")].map(|(t, a)| wait(&all, &who(t, a), 0));
    assert_eq!(waits, [Some(60 * SECOND), None, None]);
    assert!(all.open(0).iter().all(|view| view.account.is_some()));
}

#[test]
fn a_used_up_limit_of_the_app_stops_its_tenants_and_is_a_success_of_the_account() {
    let all = breakers(100);
    // Two of three, which the good answer makes good.
    for _ in 0..2 {
        once(&all, &who("a", "one"), throttled(1), ThrottleScope::Account, 0);
    }
    let told = once(&all, &who("a", "one"), spent(60), ThrottleScope::App, 0);
    assert_eq!(told, Some(Denied { retry_after_us: 60 * SECOND, cause: Cause::Throttled }));
    assert_eq!((wait(&all, &who("b", "one"), 0), all.open(0)), (Some(60 * SECOND), vec![open("crm", None, None, 60)]));
    assert_eq!(all.kept(), (0, 1));
    // Its probe finds no room either.
    once(&all, &who("b", "one"), spent(30), ThrottleScope::App, 60 * SECOND);
    assert_eq!(all.open(60 * SECOND), [open("crm", None, None, 30)]);
}

#[test]
fn a_probe_of_the_app_that_meets_a_used_up_account_closes_the_app() {
    let all = breakers(100);
    once(&all, &who("a", "one"), throttled(60), ThrottleScope::App, 0);
    once(&all, &who("b", "one"), spent(600), ThrottleScope::Account, 60 * SECOND);
    assert_eq!(all.open(60 * SECOND), [open("crm", Some("b"), Some("one"), 600)]);
}
