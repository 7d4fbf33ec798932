//! Replicas: processes of their own on one store. Of all that find an expired token one refreshes it; when that one is
//! killed or stopped at any point, no refresh token is ever used by two at once, nothing is corrupted, and at most what
//! cannot be saved says that a person has to connect again.
//!
//! `REPLICAS_ROUNDS` sets the rounds at each point (20).
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, a replica speaks on its output"
)]

mod authority;
#[path = "../common/postgres.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod postgres;
mod process;
mod store;

use std::time::{Duration, Instant};

use authority::{Authority, CLIENT_ID, CLIENT_SECRET, Use};
use kit::boot::Kit;
use kit::operator::NewConnection;
use kit::secret::Secret;
use kit::upstream::refresh::Timing;
use kit_native::testing::TempFolder;
use process::{Came, Point, Replica, SHORT};
use store::Place;
use tokio::runtime::Runtime;

/// A slow machine may take this long for what takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    runtime: Runtime,
    authority: Authority,
    place: Place,
    operator: Kit,
    _folder: TempFolder,
}

impl Stage {
    /// On PostgreSQL.
    fn new() -> Self {
        let server = postgres::shared();
        // Over the socket, without a password: deriving a key from one takes a while in an unoptimised build.
        Self::on(|runtime| server.socket_url(&runtime.block_on(server.database())))
    }

    fn on(url: impl FnOnce(&Runtime) -> String) -> Self {
        let runtime = Runtime::new().unwrap();
        let url = url(&runtime);
        let authority = Authority::start(&runtime);
        let folder = TempFolder::new();
        let place = Place::new(folder.path().to_owned(), url);
        let operator = runtime.block_on(async {
            let kit = process::kit(&place, &authority.address.to_string(), Timing::default(), None).await;
            kit.operator.app_set("real", None, CLIENT_ID, Secret::from(CLIENT_SECRET)).await.unwrap();
            kit
        });
        Self { runtime, authority, place, operator, _folder: folder }
    }

    fn replica(&self) -> Replica {
        Replica::start(&self.place, &self.authority.address.to_string(), false, None)
    }

    /// One that gives up soon, and perhaps one that stops.
    fn short(&self, fault: Option<Point>) -> Replica {
        Replica::start(&self.place, &self.authority.address.to_string(), true, fault)
    }

    /// A tenant whose connection has a refresh token and no access token yet.
    fn tenant(&self, name: &str) {
        let token = self.authority.family(name);
        self.runtime.block_on(async {
            self.operator.operator.tenant_add(name).await.unwrap();
            let new = NewConnection::new(name, "real", Secret::from(token.as_str()));
            self.operator.operator.connection_set(new).await.unwrap();
        });
    }

    fn state(&self, tenant: &str) -> String {
        let list = self.runtime.block_on(self.operator.operator.connection_list(tenant)).unwrap();
        list[0].state.as_str().to_owned()
    }
}

/// No two uses of one token overlap.
fn never_at_once(uses: &[Use]) {
    for (n, one) in uses.iter().enumerate() {
        for other in &uses[n + 1..] {
            let apart = one.ended <= other.began || other.ended <= one.began;
            assert!(one.token != other.token || apart, "{one:?}\n{other:?}");
        }
    }
}

/// This binary as a replica; a test that does nothing when it is run as one.
#[test]
fn replica_process() {
    process::live();
}

#[test]
fn a_hundred_calls_on_three_processes_with_an_expired_token_ask_for_one() {
    ask_for_one(&Stage::new());
}

#[test]
fn the_same_on_one_file() {
    ask_for_one(&Stage::on(|_| String::new()));
}

fn ask_for_one(stage: &Stage) {
    let mut replicas = [(); 3].map(|()| stage.replica());
    for round in 0..5 {
        let tenant = format!("round-{round}");
        stage.tenant(&tenant);
        stage.authority.delay(&tenant, Duration::from_millis(30));
        replicas.iter_mut().zip([34, 33, 33]).for_each(|(replica, count)| replica.begin(&tenant, count));
        let came: Vec<Came> = replicas.iter_mut().flat_map(Replica::end).collect();
        let failed: Vec<&Came> = came.iter().filter(|one| **one != Came::To(tenant.clone())).collect();
        assert!(failed.is_empty() && came.len() == 100, "round {round}: {failed:?}");
        assert_eq!(stage.authority.uses(&tenant).len(), 1, "round {round}");
    }
}

fn rounds() -> usize {
    std::env::var("REPLICAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// How a leader is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// As `kill -9` does.
    Kill,
    /// All its threads, for longer than its lease.
    Pause,
}

/// One leader is stopped at `point` in each round; two others are asked all the while.
fn leader_stopped(point: Point, stop: Stop) {
    let stage = Stage::new();
    let mut others = [(); 2].map(|()| stage.short(None));
    let mut leader = stage.short(Some(point));
    for round in 0..rounds() {
        let tenant = (0..20).map(|attempt| format!("round-{round}-{attempt}")).find(|tenant| {
            stage.tenant(tenant);
            if point == Point::InFlight {
                stage.authority.delay(tenant, Duration::from_millis(150));
            }
            leader.begin(tenant, 1);
            leader.stops()
        });
        let tenant = tenant.unwrap_or_else(|| panic!("{point:?} round {round}: no call comes to its fault"));
        if point == Point::InFlight {
            stage.authority.wait_for(&tenant);
            stage.authority.delay(&tenant, Duration::ZERO);
        }
        match stop {
            Stop::Kill => leader.kill(),
            Stop::Pause => leader.pause(),
        }
        let settled = until_settled(&mut others, &tenant);
        match stop {
            Stop::Kill => leader = stage.short(Some(point)),
            Stop::Pause => {
                leader.resume();
                // It says what the others say, or that it was overtaken.
                let came = leader.end();
                let harmless = came.iter().all(|one| *one == settled || one.is("unavailable"));
                assert!(harmless, "{point:?} round {round}: {came:?}, others {settled:?}");
            }
        }
        let uses = stage.authority.uses(&tenant);
        never_at_once(&uses);
        // The provider has rotated and nobody has what it gave: the one case that only a person can mend.
        let saved = matches!(point, Point::BeforeTheCall | Point::AfterTheCommit);
        let state = if saved { "active" } else { "needs_reconnect" };
        let right = |came: &Came| if saved { *came == Came::To(tenant.clone()) } else { came.is("reconnect_required") };
        assert!(right(&settled), "{point:?} round {round}: {settled:?} {uses:?}");
        assert_eq!(stage.state(&tenant), state, "{point:?} round {round}: {uses:?}");
        assert_eq!(uses.len(), if saved { 1 } else { 2 }, "{point:?} round {round}: {uses:?}");
        // What is settled stays: all replicas agree, and the provider hears nothing more of it.
        for other in &mut others {
            other.begin(&tenant, 2);
            let came = other.end();
            assert!(came.iter().all(right), "{point:?} round {round}: {came:?}");
        }
        assert_eq!(stage.authority.uses(&tenant).len(), uses.len(), "{point:?} round {round}");
    }
}

/// Asks until there is an answer that is not "try again".
fn until_settled(others: &mut [Replica; 2], tenant: &str) -> Came {
    let end = Instant::now() + PATIENCE;
    loop {
        others.iter_mut().for_each(|other| other.begin(tenant, 3));
        let came: Vec<Came> = others.iter_mut().flat_map(Replica::end).collect();
        if let Some(settled) = came.into_iter().find(|one| !one.is("unavailable")) {
            return settled;
        }
        assert!(Instant::now() < end, "the others never settle; the lease is {:?}", SHORT.lease);
    }
}

macro_rules! stopped {
    ($($name:ident: $point:ident, $stop:ident;)*) => {
        $(#[test]
        fn $name() {
            leader_stopped(Point::$point, Stop::$stop);
        })*
    };
}

stopped! {
    a_leader_killed_before_it_asks: BeforeTheCall, Kill;
    a_leader_killed_while_it_asks: InFlight, Kill;
    a_leader_killed_before_it_commits: BeforeTheCommit, Kill;
    a_leader_killed_after_it_commits: AfterTheCommit, Kill;
    a_leader_paused_before_it_asks: BeforeTheCall, Pause;
    a_leader_paused_while_it_asks: InFlight, Pause;
    a_leader_paused_before_it_commits: BeforeTheCommit, Pause;
    a_leader_paused_after_it_commits: AfterTheCommit, Pause;
}
