// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Single flight: of all that want the same thing done at one moment, one does it and the others wait for that. An entry
//! goes when its work ends, however it ends. Work that must not be lost is spawned, so that a caller who is cancelled takes
//! nothing with it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::Shared;

use crate::ports::{BoxFuture, Spawn};

/// Work under way; cloning waits for the same work.
pub(crate) type Flight<T> = Shared<BoxFuture<'static, T>>;

/// Work under way, by key.
pub(crate) struct Flights<K: Hash + Eq, T: Clone>(Mutex<HashMap<K, Flight<T>>>);

impl<K: Hash + Eq + Clone + Send + 'static, T: Clone + Send + Sync + 'static> Flights<K, T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// How much is under way.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Joins the work for `key`, starting it with `work` if there is none. It goes on for as long as somebody waits.
    pub(crate) fn join(self: &Arc<Self>, key: K, work: impl FnOnce() -> BoxFuture<'static, T>) -> Flight<T> {
        self.board(key, work).0
    }

    /// The same; it goes on to its end, whether somebody waits or not.
    pub(crate) fn launch(
        self: &Arc<Self>,
        key: K,
        spawn: &dyn Spawn,
        work: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Flight<T> {
        let (flight, first) = self.board(key, work);
        if first {
            spawn.spawn(flight.clone().map(drop).boxed());
        }
        flight
    }

    /// The work for `key`, and whether it begins with this.
    fn board(self: &Arc<Self>, key: K, work: impl FnOnce() -> BoxFuture<'static, T>) -> (Flight<T>, bool) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = running.get(&key) {
            return (flight.clone(), false);
        }
        let (landing, work) = (Landing { flights: self.clone(), key: key.clone() }, work());
        let flight = async move {
            let _landing = landing;
            work.await
        };
        let flight = flight.boxed().shared();
        running.insert(key, flight.clone());
        (flight, true)
    }
}

/// Takes the entry away when the work ends, in a panic too: an entry that stays would stop its connection for ever.
struct Landing<K: Hash + Eq, T: Clone> {
    flights: Arc<Flights<K, T>>,
    key: K,
}

impl<K: Hash + Eq, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
