// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The breaker of a whole app. It opens when the provider says that the app is limited, or when several tenants trip at
//! nearly the same time: then it is not their quotas. One tenant's trouble alone never opens it, however few others there
//! are.

use super::{Breaker, Cause, Settings};

/// What makes an app's breaker open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// This many tenants that trip within the window.
    pub tenants: usize,
    /// Or this part of those that are active, in percent, but two at least.
    pub share_percent: usize,
    /// The window, in microseconds.
    pub window_us: i64,
    /// A tenant is active for this long after a request.
    pub active_us: i64,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { tenants: 3, share_percent: 20, window_us: 30_000_000, active_us: 300_000_000 }
    }
}

impl AppSettings {
    /// With as many active tenants as this, `tenants` is always reached before `share_percent`; so no more need be known.
    fn counted(&self) -> usize {
        (self.tenants.saturating_sub(1) * 100 / self.share_percent.max(1)).clamp(2, 1_000) + 1
    }
}

/// The breaker of an app, with what it has to know of the app's tenants. Its lists are short, whatever their number.
pub(super) struct App {
    pub(super) breaker: Breaker,
    /// Requests that are out.
    pub(super) out: u32,
    settings: AppSettings,
    tripped: Vec<(Box<str>, i64)>,
    active: Vec<(Box<str>, i64)>,
}

impl App {
    pub(super) fn new(breaker: Settings, settings: AppSettings, seed: u64) -> Self {
        Self { breaker: Breaker::new(breaker, seed), out: 0, settings, tripped: Vec::new(), active: Vec::new() }
    }

    /// `tenant` has a request.
    pub(super) fn seen(&mut self, tenant: &str, now_us: i64) {
        note(&mut self.active, tenant, now_us, self.settings.counted());
    }

    /// A breaker of `tenant` has opened, for a reason that may be the app's.
    pub(super) fn tripped(&mut self, tenant: &str, cause: Cause, now_us: i64) {
        let AppSettings { tenants, share_percent, window_us, active_us } = self.settings;
        note(&mut self.tripped, tenant, now_us, tenants.max(2));
        retain(&mut self.tripped, now_us, window_us);
        retain(&mut self.active, now_us, active_us);
        let (tripped, active) = (self.tripped.len(), self.active.len());
        let few = tripped >= 2 && tripped * 100 >= active * share_percent;
        if few || tripped >= tenants.max(2) {
            // Not for as long as one of them was told: that is its own breaker's business, and this is a guess.
            self.breaker.trip(self.breaker.generation(), cause, None, now_us);
            self.tripped.clear();
        }
    }
}

/// Puts `tenant` at the end of `list`, the latest; the earliest goes when there are more than `most`.
fn note(list: &mut Vec<(Box<str>, i64)>, tenant: &str, now_us: i64, most: usize) {
    match list.iter().position(|(name, _)| **name == *tenant) {
        // Most calls: the tenant that called last calls again.
        Some(at) if at + 1 == list.len() => list[at].1 = now_us,
        Some(at) => {
            let (name, _) = list.remove(at);
            list.push((name, now_us));
        }
        None => {
            if list.len() >= most {
                list.remove(0);
            }
            list.push((tenant.into(), now_us));
        }
    }
}

/// Drops what is older than `window_us`. What lies ahead was noted before the clock jumped back: it counts as of now.
fn retain(list: &mut Vec<(Box<str>, i64)>, now_us: i64, window_us: i64) {
    list.iter_mut().for_each(|(_, at_us)| *at_us = (*at_us).min(now_us));
    list.retain(|(_, at_us)| now_us.saturating_sub(*at_us) < window_us);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_noted_last_stays_longest() {
        let mut list = Vec::new();
        let mut noted = |name: &str, at_us| {
            note(&mut list, name, at_us, 3);
            list.iter().map(|(name, at_us)| format!("{name}{at_us}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(["a", "b", "c"].map(|name| noted(name, 1)), ["a1", "a1 b1", "a1 b1 c1"]);
        assert_eq!(noted("c", 2), "a1 b1 c2");
        assert_eq!(noted("a", 3), "b1 c2 a3");
        assert_eq!(noted("d", 4), "c2 a3 d4");
    }

    #[test]
    fn the_lists_of_an_app_are_short_whatever_the_number_of_its_tenants() {
        let mut app = App::new(Settings::default(), AppSettings::default(), 7);
        for n in 0..300_000_i64 {
            app.seen(&n.to_string(), n);
            app.tripped(&n.to_string(), Cause::Failed, n);
            assert!(app.active.len() <= 11 && app.tripped.len() <= 3);
        }
    }
}
