//! Replicas: processes of their own on one store. Of all that find an expired token one refreshes it; when that one is
//! killed or stopped at any point, no refresh token is ever used by two at once, nothing is corrupted, and at most what
//! cannot be saved says that a person has to connect again.
//!
//! `REPLICAS_ROUNDS` sets the rounds at each point (20).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, a replica speaks on its output"
)]

mod authority;
mod process;
mod store;

use std::time::{Duration, Instant};

use authority::{Authority, CLIENT_ID, CLIENT_SECRET, Use};
use kit::boot::Kit;
use kit::operator::NewConnection;
use kit::secret::Secret;
use kit::upstream::refresh::Timing;
use kit_native::testing::TempFolder;
use process::{Came, Point, Replica, SHORT, Stop};
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
    fn new(expires_in: i64) -> Self {
        let runtime = Runtime::new().unwrap();
        let authority = Authority::start(&runtime, expires_in);
        let folder = TempFolder::new();
        let place = Place::new(folder.path().to_owned());
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
    fn short(&self, fault: Option<(Point, Stop)>) -> Replica {
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
    let stage = Stage::new(3_600);
    let mut replicas = [(); 3].map(|()| stage.replica());
    for round in 0..5 {
        let tenant = format!("round-{round}");
        stage.tenant(&tenant);
        stage.authority.delay(&tenant, Duration::from_millis(30));
        replicas.iter_mut().zip([34, 33, 33]).for_each(|(replica, count)| replica.begin(&tenant, count));
        let came: Vec<Came> = replicas.iter_mut().flat_map(Replica::end).collect();
        assert_eq!(came, vec![Came::To(tenant.clone()); 100], "round {round}");
        assert_eq!(stage.authority.uses(&tenant).len(), 1, "round {round}");
    }
}

fn rounds() -> usize {
    std::env::var("REPLICAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// One leader is stopped at `point` in each round; two others are asked all the while.
fn leader_stopped(point: Point, stop: Stop) {
    let stage = Stage::new(3_600);
    let mut others = [(); 2].map(|()| stage.short(None));
    let mut paused = (stop == Stop::Pause).then(|| stage.short(Some((point, stop))));
    for round in 0..rounds() {
        let tenant = format!("round-{round}");
        stage.tenant(&tenant);
        if point == Point::InFlight {
            stage.authority.delay(&tenant, Duration::from_millis(150));
        }
        let mut killed = (stop == Stop::Kill).then(|| stage.short(Some((point, stop))));
        let leader = killed.as_mut().or(paused.as_mut()).unwrap();
        leader.begin(&tenant, 1);
        leader.until("stopping");
        let settled = until_settled(&mut others, &tenant);
        if stop == Stop::Pause {
            leader.signal("-CONT");
            let came = leader.end();
            assert!(
                came.iter().all(|one| harmless(one, &settled)),
                "{point:?} round {round}: {came:?}, others {settled:?}"
            );
        }
        let uses = stage.authority.uses(&tenant);
        never_at_once(&uses);
        let saved = matches!(point, Point::BeforeTheCall | Point::AfterTheCommit);
        let (state, came) = match saved {
            true => ("active", Came::To(tenant.clone())),
            // The provider has rotated and nobody has what it gave: the one case that only a person can mend.
            false => ("needs_reconnect", Came::Failed("reconnect_required".to_owned())),
        };
        assert_eq!((stage.state(&tenant).as_str(), &settled), (state, &came), "{point:?} round {round}: {uses:?}");
        assert_eq!(uses.len(), if saved { 1 } else { 2 }, "{point:?} round {round}: {uses:?}");
        // What is settled stays: all replicas agree, and the provider hears nothing more of it.
        for other in &mut others {
            other.begin(&tenant, 2);
            assert_eq!(other.end(), vec![came.clone(); 2], "{point:?} round {round}");
        }
        assert_eq!(stage.authority.uses(&tenant).len(), uses.len(), "{point:?} round {round}");
    }
}

/// What a leader that was stopped may say when it goes on: what the others say, or that it was overtaken.
fn harmless(one: &Came, settled: &Came) -> bool {
    one == settled || *one == Came::Failed("unavailable".to_owned())
}

/// Asks until there is an answer that is not "try again".
fn until_settled(others: &mut [Replica; 2], tenant: &str) -> Came {
    let end = Instant::now() + PATIENCE;
    loop {
        others.iter_mut().for_each(|other| other.begin(tenant, 3));
        let came: Vec<Came> = others.iter_mut().flat_map(Replica::end).collect();
        if let Some(settled) = came.into_iter().find(|one| *one != Came::Failed("unavailable".to_owned())) {
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
