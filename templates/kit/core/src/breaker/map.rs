// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The breakers of a server: one for each (integration, tenant, account), and one for each (integration, app) above them. A
//! request needs a yes of both.
//!
//! A breaker is kept only while it has something to remember: while a request is out, while it counts, while it is open.
//! So a call that goes well leaves nothing behind, whatever number of connections there are. For the others there is a
//! bound, [`LevelSettings::capacity`]. When it is reached, breakers that only count go first, the one asked longest ago
//! before the others (what is lost is a count of two at most); then those whose time is over and that nobody has asked
//! since. One that is open is never dropped: it would let a storm through. Where all are open, a connection without one
//! passes and is counted as [`untracked`](Breakers::untracked): to refuse it would make the trouble of others its own, and
//! its app's breaker still watches over it. The owner's apps are as many as there are integrations and stay; a tenant's own
//! app is kept like a connection.

use std::collections::{BTreeMap, HashMap};

use super::level::{App, AppSettings};
use super::{Ask, Breaker, Cause, Settings, ThrottleScope, Verdict, next};
use crate::sync::{Arc, Mutex, PoisonError};

/// How breakers open, at both levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSettings {
    /// Each breaker.
    pub breaker: Settings,
    /// What opens that of an app.
    pub app: AppSettings,
    /// Breakers of connections at most, and of tenants' own apps.
    pub capacity: usize,
}

impl Default for LevelSettings {
    fn default() -> Self {
        Self { breaker: Settings::default(), app: AppSettings::default(), capacity: 10_000 }
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Instance name of the integration.
    pub integration: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// The account of the connection.
    pub account: &'a str,
    /// Whether the tenant has an app of its own there.
    pub own_app: bool,
}

/// A breaker said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Microseconds until asking again is worth it.
    pub retry_after_us: i64,
    /// Why it is open.
    pub cause: Cause,
}

/// An open breaker, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Instance name of the integration.
    pub integration: String,
    /// The tenant; none for the owner's app.
    pub tenant: Option<String>,
    /// The account; none for an app.
    pub account: Option<String>,
    /// Why it is open.
    pub cause: Cause,
    /// For how much longer; 0 while it waits for a probe.
    pub retry_after_us: i64,
}

/// All breakers of a server.
pub struct Breakers(Mutex<State>);

impl Breakers {
    /// None yet. `seed` spreads the times for which they open.
    pub fn new(settings: LevelSettings, seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            settings,
            seed,
            accounts: HashMap::new(),
            counting: BTreeMap::new(),
            turn: 0,
            swept_us: None,
            apps: HashMap::new(),
            apps_swept_us: None,
            untracked: 0,
        })))
    }

    /// May a request of `who` go out at `now_us`? Whoever gets a permit tells it what came of the request, or drops it.
    pub fn ask(self: &Arc<Self>, who: &Who<'_>, now_us: i64) -> Result<Permit, Denied> {
        let ticket = self.with(|state| state.ask(who, now_us))?;
        Ok(Permit { breakers: self.clone(), ticket: Some(ticket) })
    }

    /// The open ones, sorted.
    pub fn open(&self, now_us: i64) -> Vec<View> {
        self.with(|state| state.open(now_us))
    }

    /// How many breakers of connections, and how many of apps are kept.
    pub fn kept(&self) -> (usize, usize) {
        self.with(|state| (state.accounts.len(), state.apps.len()))
    }

    /// Requests that passed without a breaker of their own, since there was no room for one.
    pub fn untracked(&self) -> u64 {
        self.with(|state| state.untracked)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request that may go out. Dropped without a word, it has not happened: its caller went away.
#[must_use]
pub struct Permit {
    breakers: Arc<Breakers>,
    ticket: Option<Ticket>,
}

impl Permit {
    /// What came of the request. Returns how long the next one would have to wait, if it would.
    pub fn tell(mut self, verdict: Verdict, scope: ThrottleScope, now_us: i64) -> Option<Denied> {
        let ticket = self.ticket.take()?;
        self.breakers.with(|state| state.tell(&ticket, verdict, scope, now_us))
    }

    /// Whether it is a probe, at either level.
    pub fn is_probe(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.probe)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breakers.with(|state| state.release(&ticket));
        }
    }
}

/// What a permit remembers: the generations in which it was given.
struct Ticket {
    tenant: Box<str>,
    /// None where there was no room for a breaker.
    account: Option<(Box<str>, u64)>,
    app: Option<(Box<str>, u64)>,
    probe: bool,
}

struct Entry {
    breaker: Breaker,
    /// Requests that are out. The entry stays while there are any, so that an answer never meets a younger breaker.
    out: u32,
    /// Its place among those that only count.
    counting: Option<u64>,
}

struct State {
    settings: LevelSettings,
    seed: u64,
    accounts: HashMap<Box<str>, Entry>,
    /// The breakers that are closed, count, and have no request out, by when they were last asked.
    counting: BTreeMap<u64, Box<str>>,
    turn: u64,
    swept_us: Option<i64>,
    apps: HashMap<Box<str>, App>,
    apps_swept_us: Option<i64>,
    untracked: u64,
}

/// None of the three names has a `/` in it.
fn account_key(who: &Who<'_>) -> Box<str> {
    [who.integration, "/", who.tenant, "/", who.account].concat().into()
}

fn app_key(who: &Who<'_>) -> Box<str> {
    [who.integration, "/", if who.own_app { who.tenant } else { "" }].concat().into()
}

impl State {
    fn ask(&mut self, who: &Who<'_>, now_us: i64) -> Result<Ticket, Denied> {
        let (account_key, app_key) = (account_key(who), app_key(who));
        let tracked = self.make_entry(&account_key, now_us);
        self.untracked += u64::from(!tracked);
        self.make_app(&app_key, who.own_app, now_us);
        let mut app = self.apps.get_mut(&app_key);
        let mut ticket = Ticket { tenant: who.tenant.into(), account: None, app: None, probe: false };
        if let Some(app) = app.as_mut() {
            app.seen(who.tenant, now_us);
        }
        if let Some(entry) = self.accounts.get_mut(&account_key) {
            if let Some(turn) = entry.counting.take() {
                self.counting.remove(&turn);
            }
            let generation = match entry.breaker.ask(now_us) {
                Ask::Pass(generation) => generation,
                Ask::Probe(generation) => {
                    ticket.probe = true;
                    generation
                }
                Ask::Deny { retry_after_us } => {
                    let cause = entry.breaker.cause().unwrap_or(Cause::Throttled);
                    let above = app.map_or(0, |app| app.breaker.wait_us(now_us));
                    self.forget_app(&app_key);
                    return Err(Denied { retry_after_us: retry_after_us.max(above), cause });
                }
            };
            entry.out += 1;
            ticket.account = Some((account_key, generation));
        }
        if let Some(app) = app {
            let generation = match app.breaker.ask(now_us) {
                Ask::Pass(generation) => generation,
                Ask::Probe(generation) => {
                    ticket.probe = true;
                    generation
                }
                Ask::Deny { retry_after_us } => {
                    let cause = app.breaker.cause().unwrap_or(Cause::Throttled);
                    self.release(&ticket);
                    return Err(Denied { retry_after_us, cause });
                }
            };
            app.out += 1;
            ticket.app = Some((app_key, generation));
        }
        Ok(ticket)
    }

    fn tell(&mut self, ticket: &Ticket, verdict: Verdict, scope: ThrottleScope, now_us: i64) -> Option<Denied> {
        let of_app = matches!(verdict, Verdict::Throttled { .. }) && scope == ThrottleScope::App;
        // An answer that only says how much is used up is a good one for the level of which it does not speak.
        let (own, above) = match verdict {
            Verdict::Spent { .. } if scope == ThrottleScope::App => (Verdict::Fine, verdict),
            Verdict::Spent { .. } => (verdict, Verdict::Fine),
            verdict => (verdict, verdict),
        };
        let (mut tripped, mut wait) = (None, None);
        if let Some((key, generation)) = &ticket.account {
            self.settle(key, |breaker| {
                // The app's limit says nothing about the account's. Not that it is over, either.
                if of_app {
                    breaker.release(*generation);
                } else if breaker.tell(*generation, own, now_us) {
                    tripped = breaker.cause();
                }
                wait = denied(breaker, now_us);
            });
        }
        let Some((key, generation)) = &ticket.app else { return wait };
        let Some(app) = self.apps.get_mut(key) else { return wait };
        app.out = app.out.saturating_sub(1);
        match above {
            Verdict::Throttled { retry_after_us } if of_app && !app.breaker.is_open() => {
                app.breaker.trip(*generation, Cause::Throttled, retry_after_us, now_us);
            }
            Verdict::Spent { .. } => drop(app.breaker.tell(*generation, above, now_us)),
            Verdict::Throttled { .. } if scope == ThrottleScope::Account => app.breaker.release(*generation),
            // A closed one counts nothing of its own: one tenant's quota must not become that of all.
            _ if app.breaker.is_open() => drop(app.breaker.tell(*generation, above, now_us)),
            _ => {}
        }
        if let Some(cause) = tripped.filter(|_| scope != ThrottleScope::Account) {
            app.tripped(&ticket.tenant, cause, now_us);
        }
        let wait_above = denied(&app.breaker, now_us);
        self.forget_app(key);
        [wait, wait_above].into_iter().flatten().max_by_key(|denied| denied.retry_after_us)
    }

    fn release(&mut self, ticket: &Ticket) {
        if let Some((key, generation)) = &ticket.account {
            self.settle(key, |breaker| breaker.release(*generation));
        }
        if let Some((key, generation)) = &ticket.app
            && let Some(app) = self.apps.get_mut(key)
        {
            app.out = app.out.saturating_sub(1);
            app.breaker.release(*generation);
            self.forget_app(key);
        }
    }

    /// Forgets a tenant's own app if nothing is left to remember.
    fn forget_app(&mut self, key: &str) {
        if !key.ends_with('/') && self.apps.get(key).is_some_and(|app| app.out == 0 && !app.breaker.is_open()) {
            self.apps.remove(key);
        }
    }

    /// Ends a request of the breaker `key` with `work`, and forgets the breaker if nothing is left to remember.
    fn settle(&mut self, key: &str, work: impl FnOnce(&mut Breaker)) {
        let Some(entry) = self.accounts.get_mut(key) else { return };
        work(&mut entry.breaker);
        entry.out = entry.out.saturating_sub(1);
        if entry.out > 0 || entry.breaker.is_open() {
            return;
        }
        if entry.breaker.is_idle() {
            self.accounts.remove(key);
            return;
        }
        self.turn += 1;
        entry.counting = Some(self.turn);
        self.counting.insert(self.turn, key.into());
    }

    /// Whether there is a breaker for `key` now.
    fn make_entry(&mut self, key: &str, now_us: i64) -> bool {
        if self.accounts.contains_key(key) {
            return true;
        }
        if self.accounts.len() >= self.settings.capacity && !self.make_room(now_us) {
            return false;
        }
        let breaker = Breaker::new(self.settings.breaker, next(&mut self.seed));
        self.accounts.insert(key.into(), Entry { breaker, out: 0, counting: None });
        true
    }

    fn make_room(&mut self, now_us: i64) -> bool {
        if let Some((_, key)) = self.counting.pop_first() {
            self.accounts.remove(&key);
            return true;
        }
        if !swept(&mut self.swept_us, now_us) {
            return false;
        }
        self.accounts.retain(|_, entry| entry.out > 0 || entry.breaker.wait_us(now_us) > 0);
        self.accounts.len() < self.settings.capacity
    }

    fn make_app(&mut self, key: &str, own: bool, now_us: i64) {
        if self.apps.contains_key(key) {
            return;
        }
        if own && self.apps.len() >= self.settings.capacity {
            if swept(&mut self.apps_swept_us, now_us) {
                self.apps.retain(|key, app| key.ends_with('/') || app.out > 0 || app.breaker.wait_us(now_us) > 0);
            }
            if self.apps.len() >= self.settings.capacity {
                return;
            }
        }
        let app = App::new(self.settings.breaker, self.settings.app, next(&mut self.seed));
        self.apps.insert(key.into(), app);
    }

    fn open(&self, now_us: i64) -> Vec<View> {
        let accounts = self.accounts.iter().map(|(key, entry)| (&**key, &entry.breaker));
        let apps = self.apps.iter().map(|(key, app)| (&**key, &app.breaker));
        let view = |(key, breaker): (&str, &Breaker)| {
            let Denied { retry_after_us, cause } = denied(breaker, now_us)?;
            let mut names = key.split('/').map(str::to_owned);
            let (integration, tenant) = (names.next()?, names.next().filter(|tenant| !tenant.is_empty()));
            Some(View { integration, tenant, account: names.next(), cause, retry_after_us })
        };
        let mut views: Vec<View> = accounts.chain(apps).filter_map(view).collect();
        let key = |view: &View| (view.integration.clone(), view.tenant.clone(), view.account.clone());
        views.sort_by_key(key);
        views
    }
}

/// Whether it is time to look at all of them: that takes long, so it is done once a second at most.
fn swept(last_us: &mut Option<i64>, now_us: i64) -> bool {
    let due = last_us.is_none_or(|at_us| now_us < at_us || now_us.saturating_sub(at_us) >= 1_000_000);
    if due {
        *last_us = Some(now_us);
    }
    due
}

fn denied(breaker: &Breaker, now_us: i64) -> Option<Denied> {
    Some(Denied { cause: breaker.cause()?, retry_after_us: breaker.wait_us(now_us) })
}
