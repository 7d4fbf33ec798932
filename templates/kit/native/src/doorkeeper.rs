// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The limit before anybody is known: by address, in this process, before a key is looked at or a body is read. It is wide
//! enough for a client vendor's servers, through which many tenants call; a wrong key costs more, so that keys cannot be guessed.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use kit::limit::memory::MemoryLimits;
use kit::limit::{Charge, Decision};

use crate::client_ip;
use crate::settings::PerAddress;

/// A request with a wrong key costs as much as so many with a good one.
const WRONG_KEY: u32 = 20;

/// Counts requests by address.
pub(crate) struct Doorkeeper {
    limits: MemoryLimits,
    rules: RwLock<Arc<PerAddress>>,
}

impl Doorkeeper {
    pub(crate) fn new(rules: &PerAddress) -> Self {
        Self { limits: MemoryLimits::default(), rules: RwLock::new(Arc::new(rules.clone())) }
    }

    /// Replaces the rules.
    pub(crate) fn set_rules(&self, rules: PerAddress) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<PerAddress> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bucket of whoever sends this.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> String {
        client_ip::bucket(client_ip::client(peer.to_canonical(), headers, &self.rules().trusted))
    }

    /// The answer to a request that is not let in.
    pub(crate) fn refuse(&self, caller: &str, now_us: i64) -> Option<Response> {
        let rate = self.rules().rate?;
        let wait_us = match self.limits.decide(&[Charge { key: caller, rate, cost: 1 }], now_us) {
            Decision::Admitted { .. } => return None,
            Decision::Denied { retry_after_us, .. } => retry_after_us,
            // So many addresses at once are an attack: who is new comes back later, who was here goes on.
            Decision::Saturated | Decision::Unavailable => 1_000_000,
        };
        let seconds = wait_us.div_euclid(1_000_000) + i64::from(wait_us.rem_euclid(1_000_000) > 0);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let window = rate.interval_us.saturating_mul(i64::from(rate.burst)) / 1_000_000;
        let fields = [
            (header::RETRY_AFTER.as_str(), seconds.to_string()),
            ("ratelimit-policy", format!("\"address\";q={};w={}", rate.burst, window.max(1))),
            ("ratelimit", format!("\"address\";r=0;t={seconds}")),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        Some(response)
    }

    /// Charges a wrong key.
    pub(crate) fn turned_away(&self, caller: &str, now_us: i64) {
        if let Some(rate) = self.rules().rate {
            let cost = (WRONG_KEY - 1).min(rate.burst);
            let _ = self.limits.decide(&[Charge { key: caller, rate, cost }], now_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::limit::Rate;

    use super::*;

    fn doorkeeper(burst: u32) -> Doorkeeper {
        Doorkeeper::new(&PerAddress { rate: Some(Rate::per_minute(60, burst)), trusted: Vec::new() })
    }

    #[test]
    fn who_knocks_too_often_is_told_when_to_come_back() {
        let doorkeeper = doorkeeper(2);
        assert!(doorkeeper.refuse("192.0.2.7", 0).is_none());
        assert!(doorkeeper.refuse("192.0.2.7", 0).is_none());
        let refused = doorkeeper.refuse("192.0.2.7", 500_000).unwrap();
        let field = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(field("retry-after"), "1");
        assert_eq!(field("ratelimit-policy"), "\"address\";q=2;w=2");
        assert_eq!(field("ratelimit"), "\"address\";r=0;t=1");
        assert!(doorkeeper.refuse("192.0.2.8", 500_000).is_none(), "another address has its own");
        assert!(doorkeeper.refuse("192.0.2.7", 1_500_000).is_none());
    }

    /// More than it can count at once: who is new waits a second, who was here goes on, and nothing grows.
    #[test]
    fn three_hundred_thousand_addresses_find_no_more_room_than_there_is() {
        let doorkeeper = doorkeeper(2);
        let refused = |n: u32| doorkeeper.refuse(&std::net::Ipv4Addr::from_bits(n).to_string(), 0);
        let mut turned_away = 0;
        for n in 0..300_000 {
            if let Some(response) = refused(n) {
                assert_eq!(response.headers()["retry-after"], "1");
                turned_away += 1;
            }
        }
        assert_eq!((turned_away, doorkeeper.limits.len()), (200_000, 100_000));
        assert!(refused(7).is_none(), "its second");
        assert!(refused(7).is_some(), "its third");
    }

    #[test]
    fn wrong_keys_use_the_allowance_up_sooner() {
        let doorkeeper = doorkeeper(100);
        let mut tries = 0;
        while doorkeeper.refuse("192.0.2.7", 0).is_none() {
            doorkeeper.turned_away("192.0.2.7", 0);
            tries += 1;
        }
        assert_eq!(tries, 5);
    }
}
