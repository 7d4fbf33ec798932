//! Limits on a real Redis: they decide as the vectors and as memory do, replicas on one server admit what one bucket holds,
//! and whatever the server does, a call waits a bounded time and the server is used again by itself.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::redis::Server;
use common::{Spy, app, certificates, settings};
use kit::limit::memory::MemoryLimits;
use kit::limit::outage::{Outage, Outages};
use kit::limit::{Charge, Decision, Rate, gcra};
use kit::pipeline::Caller;
use kit::ports::{Clock, LimitBackend};
use kit::tenant::TenantId;
use kit_native::clock::SystemClock;
use kit_native::failure::Hinted;
use kit_native::host;
use kit_native::kek_file::write_private;
use kit_native::redis::{Bounds, RedisLimits, Target, Traffic, script};
use kit_native::settings::KekSource;
use kit_native::testing::{ManualClock, TempFolder};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;

/// Bounds that no test meets by accident, however slow the machine is.
const PATIENT: Bounds =
    Bounds { answer: Duration::from_secs(600), connect: Duration::from_secs(600), again: Duration::from_secs(1) };

/// What nobody settled.
fn local() -> Outages {
    Outages::default()
}

/// One of `replicas`, and its clock.
fn replica(target: &Target, replicas: u32, outages: Outages, bounds: Bounds) -> (RedisLimits, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (RedisLimits::new(target, "acme", replicas, outages, bounds, clock.clone()).unwrap(), clock)
}

/// The only replica, connected, by the time of its callers.
async fn virtual_time(server: &Server) -> RedisLimits {
    let limits = replica(&server.target(), 1, local(), PATIENT).0.in_virtual_time();
    limits.connect().await.unwrap();
    limits
}

async fn one(limits: &RedisLimits, key: &str, rate: Rate, now_us: i64) -> Decision {
    limits.take(&[Charge { key, rate, cost: 1 }], now_us).await
}

fn is_admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admitted { .. })
}

// The arithmetic.

/// Made by running PyPI `throttled-py` 3.5.0; the file names its source.
const VECTORS: &str = include_str!("../../kit/tests/fixtures/gcra-vectors.json");

#[tokio::test]
async fn it_decides_as_the_vectors_say() {
    let server = Server::start(&[]);
    let limits = virtual_time(&server).await;
    let us = |value: &Value| (value.as_f64().unwrap() * 1e6) as i64;
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let mut steps = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let rate = Rate { interval_us: us(&vector["emission_interval_s"]), burst: number(&vector["burst"]) };
        for step in vector["steps"].as_array().unwrap() {
            let charge = |cost| [Charge { key: vector["id"].as_str().unwrap(), rate, cost }];
            let (remaining, reset_us) = (number(&step["remaining"]), us(&step["reset_after"]));
            let admitted = Decision::Admitted { layer: 0, remaining, reset_us };
            let expected = match us(&step["retry_after"]) {
                0 => admitted,
                retry_after_us => Decision::Denied { layer: 0, retry_after_us, remaining },
            };
            let now = us(&step["at"]);
            assert_eq!(limits.take(&charge(number(&step["cost"])), now).await, expected, "{vector} {step}");
            // A request that costs nothing shows the time of a denied one too.
            assert_eq!(limits.take(&charge(0), now).await, admitted, "{vector} {step}");
            steps += 1;
        }
    }
    assert_eq!((steps, limits.traffic().failed), (65, 0));
}

#[tokio::test]
async fn a_pass_is_charged_to_all_of_its_buckets_or_to_none() {
    let server = Server::start(&[]);
    let limits = virtual_time(&server).await;
    let rate = |burst| Rate { interval_us: SECOND, burst };
    let pass = |tool| {
        let charges = [Charge { key: "{a}", rate: rate(3), cost: 1 }, Charge { key: tool, rate: rate(1), cost: 1 }];
        let limits = &limits;
        async move { limits.take(&charges, 0).await }
    };
    let tool = Decision::Admitted { layer: 1, remaining: 0, reset_us: SECOND };
    assert_eq!(pass("{a}/x").await, tool);
    assert_eq!(pass("{a}/x").await, Decision::Denied { layer: 1, retry_after_us: SECOND, remaining: 0 });
    assert_eq!(pass("{a}/y").await, tool);
    assert_eq!(pass("{a}/z").await, Decision::Admitted { layer: 0, remaining: 0, reset_us: 3 * SECOND });
    assert_eq!(pass("{a}/v").await, Decision::Denied { layer: 0, retry_after_us: SECOND, remaining: 0 });
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut server.admin()).unwrap();
    keys.sort_unstable();
    assert_eq!(keys, ["acme:{a}", "acme:{a}/x", "acme:{a}/y", "acme:{a}/z"]);
}

/// A double holds whole numbers up to 2^53. Lua's own way to print one keeps 14 digits of them.
#[tokio::test]
async fn the_largest_numbers_keep_their_last_digit() {
    let server = Server::start(&[]);
    let (limits, memory) = (virtual_time(&server).await, MemoryLimits::default());
    let mut admin = server.admin();
    // The year 2184, less than a bucket before the end of what a double holds.
    let late = (1 << 53) - gcra::MAX_WINDOW_US - 1;
    let rate = Rate { interval_us: 1_234_567, burst: 3 };
    let charge = [Charge { key: "{a}", rate, cost: 1 }];
    for now in [late - 3, late - 2, late - 1, late] {
        assert_eq!(limits.take(&charge, now).await, memory.decide(&charge, now), "{now}");
    }
    let tat: String = redis::cmd("GET").arg("acme:{a}").query(&mut admin).unwrap();
    assert_eq!(tat, (late - 3 + 3 * rate.interval_us).to_string());
    // Rates whose numbers are beyond it: a hundred million tokens at one a day, and one token in 292,000 years.
    let absurd = [
        Rate { interval_us: 86_400 * SECOND, burst: 100_000_000 },
        Rate { interval_us: i64::MAX, burst: 1 },
        Rate { interval_us: i64::MAX, burst: u32::MAX },
        Rate { interval_us: 0, burst: u32::MAX },
    ];
    for (n, rate) in absurd.into_iter().enumerate() {
        for (cost, now) in [(1, late), (7, late), (u32::MAX, late), (1, late + 1), (1, 0), (1, 1)] {
            let key = format!("{{b}}/{n}");
            let charge = [Charge { key: &key, rate, cost }];
            assert_eq!(limits.take(&charge, now).await, memory.decide(&charge, now), "{rate:?} {cost} {now}");
        }
    }
    assert_eq!(limits.traffic().failed, 0);
}

/// What somebody else wrote there is a full bucket.
#[tokio::test]
async fn a_value_that_is_no_number_is_none() {
    let server = Server::start(&[]);
    let limits = virtual_time(&server).await;
    let rate = Rate { interval_us: SECOND, burst: 2 };
    for value in ["", "nan", "-nan", "x", "-inf", "0x"] {
        let () = redis::cmd("SET").arg("acme:{a}").arg(value).query(&mut server.admin()).unwrap();
        let full = Decision::Admitted { layer: 0, remaining: 1, reset_us: SECOND };
        assert_eq!(one(&limits, "{a}", rate, 5 * SECOND).await, full, "{value}");
    }
    let () = redis::cmd("SET").arg("acme:{a}").arg("inf").query(&mut server.admin()).unwrap();
    let empty = Decision::Denied { layer: 0, retry_after_us: SECOND, remaining: 0 };
    assert_eq!(one(&limits, "{a}", rate, 5 * SECOND).await, empty, "empty, and full again after its window");
    assert_eq!(limits.traffic().failed, 0);
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A pass at random: up to three buckets of one tenant, seldom at another rate than before, and the time goes on, seldom by
/// much, very seldom back.
struct Step {
    keys: Vec<String>,
    rates: Vec<Rate>,
    costs: Vec<u32>,
    now_us: i64,
}

impl Step {
    fn next(random: &mut Random, prefix: &str, now_us: i64) -> Self {
        let tenant = random.below(50);
        let layers = 1 + random.below(3);
        let names = ["", "/search", "/spend"].into_iter().take(usize::try_from(layers).unwrap());
        let keys = names.map(|name| format!("{{{prefix}{tenant}}}{name}")).collect();
        let rates = (0..layers).map(|layer| {
            let other = u64::from(random.below(50) == 0);
            let interval_us =
                [1_000_000, 333_333, 7, 4_000_000][usize::try_from((tenant + layer + other) % 4).unwrap()];
            Rate { interval_us, burst: u32::try_from(1 + (tenant * 7 + layer + other) % 20).unwrap() }
        });
        let rates: Vec<Rate> = rates.collect();
        let costs = rates.iter().map(|rate| match random.below(10) {
            0 => 0,
            1 => u32::try_from(random.below(u64::from(rate.burst) + 2)).unwrap(),
            _ => 1,
        });
        let costs = costs.collect();
        let passed = match random.below(1_000) {
            0 => -i64::try_from(random.below(60_000_000)).unwrap(),
            1..20 => i64::try_from(random.below(10_000_000)).unwrap(),
            _ => i64::try_from(random.below(100_000)).unwrap(),
        };
        Self { keys, rates, costs, now_us: (now_us + passed).max(0) }
    }

    fn charges(&self) -> Vec<Charge<'_>> {
        let parts = self.keys.iter().zip(&self.rates).zip(&self.costs);
        parts.map(|((key, rate), cost)| Charge { key, rate: *rate, cost: *cost }).collect()
    }
}

/// How many steps: `REDIS_STEPS`, a million unless set.
fn steps() -> usize {
    std::env::var("REDIS_STEPS").map_or(1_000_000, |count| count.parse().unwrap())
}

/// Runs `count` steps of the script that replicas run, a thousand in one call; how many were denied and admitted.
fn agree(server: &Server, prefix: &str, seed: u64, count: usize) -> [usize; 2] {
    let mut connection = server.admin();
    let many = format!(
        "local take = function(KEYS, ARGV) {} end
         local out = {{}}
         for _, step in ipairs(cjson.decode(ARGV[1])) do
           for _, level in ipairs(take(step[1], step[2])) do out[#out + 1] = level end
         end
         return out",
        script::TAKE
    );
    let many = redis::Script::new(&many);
    let (memory, mut random, mut now_us) = (MemoryLimits::default(), Random(seed), 1_700_000_000_000_000);
    let (mut left, mut kinds) = (count, [0; 2]);
    while left > 0 {
        let next = |_| {
            let step = Step::next(&mut random, prefix, now_us);
            now_us = step.now_us;
            step
        };
        let batch: Vec<Step> = (0..left.min(1_000)).map(next).collect();
        left -= batch.len();
        let mut asked = String::from("[");
        for step in &batch {
            let arguments = script::arguments(&step.charges(), Some(step.now_us));
            write!(asked, "[{:?},{arguments:?}],", step.keys).unwrap();
        }
        asked.replace_range(asked.len() - 1.., "]");
        let levels: Vec<i64> = many.arg(asked).invoke(&mut connection).unwrap();
        let mut levels = &levels[..];
        for step in batch {
            let (these, rest) = levels.split_at(step.keys.len());
            levels = rest;
            let charges = step.charges();
            let decision = script::decision(&charges, these).unwrap();
            assert_eq!(memory.decide(&charges, step.now_us), decision, "{charges:?} at {}", step.now_us);
            kinds[usize::from(is_admitted(decision))] += 1;
        }
        assert!(levels.is_empty());
    }
    kinds
}

#[test]
fn memory_and_redis_agree_on_a_million_random_steps() {
    let (server, half) = (Server::start(&[]), steps() / 2);
    let [[denied, admitted], [denied_too, admitted_too]] = std::thread::scope(|scope| {
        let server = &server;
        let halves = [("x", 0x2f7c_1e55), ("y", 0x1e55_2f7c)]
            .map(|(prefix, seed)| scope.spawn(move || agree(server, prefix, seed, half)));
        halves.map(|half| half.join().unwrap())
    });
    let (denied, admitted) = (denied + denied_too, admitted + admitted_too);
    println!("{denied} denied, {admitted} admitted");
    assert_eq!(denied + admitted, half * 2);
    assert!(denied > half / 5 && admitted > half / 5, "of both kinds: {denied}, {admitted}");
}

#[tokio::test]
async fn memory_and_the_backend_agree_on_random_steps() {
    let server = Server::start(&[]);
    let (limits, memory) = (virtual_time(&server).await, MemoryLimits::default());
    let (mut random, mut now_us) = (Random(0x1e55_2f7c), 1_700_000_000_000_000);
    let count = 5_000;
    for _ in 0..count {
        let step = Step::next(&mut random, "t", now_us);
        now_us = step.now_us;
        let (charges, decision) = (step.charges(), memory.decide(&step.charges(), now_us));
        assert_eq!(limits.take(&charges, now_us).await, decision, "{charges:?} at {now_us}");
    }
    let expected = Traffic { asked: count, failed: 0, attempts: 1, connected: 1 };
    assert_eq!(limits.traffic(), expected);
}

// Time.

/// An hour's wait for the second token, so that no test sees it come.
const HOURLY: Rate = Rate { interval_us: 3_600 * SECOND, burst: 3 };

#[tokio::test]
async fn replicas_with_different_clocks_share_a_bucket() {
    let server = Server::start(&[]);
    let ((one_of, _), (other, clock)) =
        (replica(&server.target(), 2, local(), PATIENT), replica(&server.target(), 2, local(), PATIENT));
    clock.advance_ms(1_000_000_000);
    one_of.connect().await.unwrap();
    other.connect().await.unwrap();
    let pass = |limits, now_us| one(limits, "{a}/x", HOURLY, now_us);
    let mut admitted = Vec::new();
    for (limits, now_us) in [(&one_of, 0), (&other, 1_000_000 * SECOND), (&one_of, -5), (&other, 0)] {
        admitted.push(is_admitted(pass(limits, now_us).await));
    }
    assert_eq!(admitted, [true, true, true, false]);
    let left: i64 = redis::cmd("PTTL").arg("acme:{a}/x").query(&mut server.admin()).unwrap();
    assert!((1..=3 * 3_600_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_bucket_that_is_full_again_is_gone() {
    let server = Server::start(&[]);
    let limits = replica(&server.target(), 1, local(), PATIENT).0;
    limits.connect().await.unwrap();
    assert!(is_admitted(one(&limits, "{a}", Rate { interval_us: 20_000, burst: 1 }, 0).await));
    let (end, mut admin) = (Instant::now() + Duration::from_secs(30), server.admin());
    while redis::cmd("DBSIZE").query::<u32>(&mut admin).unwrap() > 0 {
        assert!(Instant::now() < end, "it stays");
    }
}

/// What the host makes of `settings`, not what a test makes of the limiter.
#[tokio::test]
async fn a_server_for_tenants_leaves_the_time_to_redis() {
    let (server, folder) = (Server::start(&[]), TempFolder::new());
    write_private(&folder.path().join("kek"), &common::live::random_key()).unwrap();
    let mut monitor = TcpStream::connect(server.address()).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let mut monitor = BufReader::new(monitor).lines().map(Result::unwrap);
    assert_eq!(monitor.next().unwrap(), "+OK");

    let (spy, url) = (Spy::default(), format!("redis://{}", server.address()));
    let app = app(&spy);
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let environment = [("MCP__LIMITS__REDIS_URL", url.as_str()), ("MCP__STORAGE__DATABASE_URL", store.as_str())];
    let mut settings = settings(&app, &environment);
    settings.vault.kek = Some(KekSource::File(folder.path().join("kek")));
    let kit = host::live(&app, &settings).await.unwrap();
    kit.operator.tenant_add("t1").await.unwrap();
    let ctx = kit.authenticator.local(&TenantId::parse("t1").unwrap()).await.unwrap();
    kit.pipeline.prompt(&ctx, "crm_hello", json!({}), Caller::patient()).await.unwrap();

    let line = monitor.find(|line| line.contains("\"EVALSHA\"") && line.contains("hello")).unwrap();
    let hash = redis::Script::new(script::TAKE).get_hash().to_owned();
    // 600 a minute and 60 at once are the defaults: a window of 6 s, and 0.1 s for one.
    let expected = format!("\"EVALSHA\" \"{hash}\" \"1\" \"acme:{{t1}}/crm_hello\" \"\" \"6000000\" \"100000\"");
    assert!(line.ends_with(&expected), "{line}");
    assert!(monitor.next().unwrap().contains("[0 lua] \"TIME\""));
}

// Replicas.

/// All buckets of a tenant are on one node.
#[tokio::test]
async fn a_pass_stays_on_one_node_of_a_cluster() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    let mut admin = server.admin();
    let () = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).query(&mut admin).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !redis::cmd("CLUSTER").arg("INFO").query::<String>(&mut admin).unwrap().contains("cluster_state:ok") {
        assert!(Instant::now() < end, "there is no cluster");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let limits = virtual_time(&server).await;
    let pass = |keys: [&'static str; 3]| {
        let charges = keys.map(|key| Charge { key, rate: HOURLY, cost: 1 });
        let limits = &limits;
        async move { limits.take(&charges, 0).await }
    };
    assert!(is_admitted(pass(["{a}", "{a}/x", "{a}/y"]).await));
    assert_eq!(limits.traffic().failed, 0);
}

/// Ten a second and thirty at once, for three replicas.
const SHARED: Rate = Rate { interval_us: 100_000, burst: 30 };

/// Everybody takes what there is, every 10 ms from `begin` on for ten seconds; how much each of `active` got.
async fn greedy(replicas: &[RedisLimits], active: usize, begin_us: i64) -> Vec<usize> {
    let mut admitted = vec![0; replicas.len()];
    for now_us in (begin_us..begin_us + 10 * SECOND).step_by(10_000) {
        for (limits, admitted) in replicas.iter().zip(&mut admitted).take(active) {
            *admitted += usize::from(is_admitted(one(limits, "{a}/x", SHARED, now_us).await));
        }
    }
    admitted
}

async fn three(server: &Server) -> Vec<RedisLimits> {
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let limits = replica(&server.target(), 3, local(), PATIENT).0.in_virtual_time();
        limits.connect().await.unwrap();
        replicas.push(limits);
    }
    replicas
}

#[tokio::test]
async fn greedy_replicas_share_one_bucket_and_their_parts_of_it_while_redis_is_gone() {
    let mut server = Server::start(&[]);
    let replicas = three(&server).await;
    // A full bucket and 10 s of it, less the token that is due at the end.
    assert_eq!(greedy(&replicas, 3, 0).await.iter().sum::<usize>(), 30 + 99);
    server.stop();
    // A third of the rate each. Their buckets are empty: all that came before was charged to them too.
    let alone = greedy(&replicas, 3, 10 * SECOND).await;
    assert_eq!(alone, [33; 3]);
    let asked: Vec<u64> = replicas.iter().map(|limits| limits.traffic().asked).collect();
    assert_eq!(asked, [1_001; 3], "each found out for itself, once");
}

#[tokio::test]
async fn an_outage_gives_away_a_burst_a_replica_at_the_most() {
    let mut server = Server::start(&[]);
    let replicas = three(&server).await;
    assert_eq!(greedy(&replicas, 1, 0).await, [129, 0, 0]);
    server.stop();
    // Two of them were idle, and have their parts of the burst still: 10 of 30.
    assert_eq!(greedy(&replicas, 3, 10 * SECOND).await, [33, 43, 43]);
}

// What the server does.

/// Until `limits` are shared again; time goes on by a second whenever it is not.
async fn returns(limits: &RedisLimits, clock: &ManualClock) {
    let end = Instant::now() + Duration::from_secs(60);
    while !limits.is_shared() {
        assert!(Instant::now() < end, "it does not return");
        clock.advance_ms(1_000);
        one(limits, "{other}", HOURLY, 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Passes one after the other; how long the slowest took.
async fn passes(limits: &RedisLimits, count: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for n in 0..count {
        let begin = Instant::now();
        one(limits, &format!("{{a}}/{n}"), HOURLY, 0).await;
        slowest = slowest.max(begin.elapsed());
    }
    slowest
}

/// No machine is so slow that a wait of 50 ms takes longer, and none of 30 s is shorter.
const GENEROUS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_server_that_restarts_is_used_again_and_is_empty() {
    let mut server = Server::start(&[]);
    let (limits, clock) = replica(&server.target(), 1, local(), PATIENT);
    limits.connect().await.unwrap();
    passes(&limits, 1).await;
    server.stop();
    passes(&limits, 1_000).await;
    assert_eq!(limits.traffic(), Traffic { asked: 2, failed: 1, attempts: 1, connected: 1 });
    server.start_again();
    assert!(!limits.is_shared(), "nobody asks before a second has passed");
    returns(&limits, &clock).await;
    passes(&limits, 10).await;
    let Traffic { asked, failed, connected, .. } = limits.traffic();
    assert_eq!((failed, connected), (1, 2));
    assert!(asked >= 12, "{asked}");
    assert_eq!(redis::cmd("EXISTS").arg("acme:{a}/9").query::<u32>(&mut server.admin()).unwrap(), 1);
}

/// A connection that is cut after a while is no outage: the next one is made at once.
#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_at_once() {
    let server = Server::start(&[]);
    let (limits, clock) = replica(&server.target(), 1, local(), PATIENT);
    limits.connect().await.unwrap();
    clock.advance_ms(60_000);
    let () = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut server.admin()).unwrap();
    assert!(is_admitted(one(&limits, "{a}", HOURLY, 0).await));
    let end = Instant::now() + Duration::from_secs(60);
    while !limits.is_shared() {
        assert!(Instant::now() < end, "it does not return");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(limits.traffic(), Traffic { asked: 1, failed: 1, attempts: 2, connected: 2 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_costs_its_deadline_once() {
    let server = Server::start(&[]);
    let (limits, clock) = replica(&server.target(), 1, local(), Bounds::default());
    let limits = Arc::new(limits);
    returns(&limits, &clock).await;
    let before = limits.traffic();
    server.freeze();
    // Those that are with it when it hangs wait together, not one after the other.
    let begin = Instant::now();
    let first: Vec<_> = (0..100)
        .map(|n| {
            let limits = limits.clone();
            tokio::spawn(async move { is_admitted(one(&limits, &format!("{{b}}/{n}"), HOURLY, 0).await) })
        })
        .collect();
    for pass in first {
        assert!(pass.await.unwrap());
    }
    assert!(begin.elapsed() < GENEROUS, "{:?}", begin.elapsed());
    let asked = limits.traffic().asked;
    assert!((1..=100).contains(&(asked - before.asked)), "{asked}");
    // Nobody asks any more, and for every second that passes there is one attempt, in which nobody waits.
    let begin = Instant::now();
    for _ in 0..5 {
        passes(&limits, 200).await;
        clock.advance_ms(1_000);
    }
    assert!(begin.elapsed() < GENEROUS, "{:?}", begin.elapsed());
    let after = limits.traffic();
    assert_eq!((after.asked, after.connected), (asked, before.connected));
    assert!(after.attempts - before.attempts <= 6, "{after:?}");
    server.thaw();
    returns(&limits, &clock).await;
    // The answers to questions that nobody waits for any more are for nobody.
    let full = Decision::Admitted { layer: 0, remaining: 2, reset_us: HOURLY.interval_us };
    for n in 0..100 {
        assert_eq!(one(&limits, &format!("{{c}}/{n}"), HOURLY, 0).await, full);
    }
}

#[tokio::test]
async fn a_listener_that_never_answers_costs_nothing_after_the_first_attempt() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = Target::parse(&format!("redis://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || listener.incoming().map(Result::unwrap).collect::<Vec<_>>());
    let (limits, clock) = replica(&target, 1, local(), Bounds::default());
    assert_eq!(limits.connect().await.unwrap_err().to_string(), "failed to reach the limits: no answer within 500 ms");
    let begin = Instant::now();
    passes(&limits, 1_000).await;
    assert!(begin.elapsed() < GENEROUS, "{:?}", begin.elapsed());
    assert_eq!(limits.traffic(), Traffic { asked: 0, failed: 0, attempts: 1, connected: 0 });
    for attempts in 2..5 {
        clock.advance_ms(999);
        passes(&limits, 10).await;
        tokio::task::yield_now().await;
        assert_eq!(limits.traffic().attempts, attempts - 1);
        clock.advance_ms(1);
        passes(&limits, 10).await;
        tokio::task::yield_now().await;
        assert_eq!(limits.traffic().attempts, attempts);
    }
    assert_eq!(limits.traffic().asked, 0);
}

/// Half of `times` took no longer, and 99 of 100, in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| times[times.len() * percent / 100].as_secs_f64() * 1_000.0)
}

/// How long each of `count` calls took that come a millisecond apart, whatever becomes of those before them.
async fn arrivals(limits: &Arc<RedisLimits>, count: usize) -> Vec<Duration> {
    let calls: Vec<_> = (0..count as u64)
        .map(|n| {
            let limits = limits.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(n)).await;
                let begin = Instant::now();
                one(&limits, &format!("{{t{n}}}"), HOURLY, 0).await;
                begin.elapsed()
            })
        })
        .collect();
    let mut times = Vec::new();
    for call in calls {
        times.push(call.await.unwrap());
    }
    times
}

/// Prints what an outage costs the calls that come during it, in real time and with the bounds that a server has:
/// `scripts/soak outage`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for a release build on a machine that is idle"]
async fn an_outage_costs_its_first_calls_55_ms_and_the_others_nothing() {
    let server = Server::start(&[]);
    let clock = Arc::new(SystemClock);
    let limits = RedisLimits::new(&server.target(), "acme", 1, local(), Bounds::default(), clock).unwrap();
    let limits = Arc::new(limits);
    limits.connect().await.unwrap();
    let healthy = quantiles(arrivals(&limits, 1_000).await);
    server.freeze();
    let mut during = arrivals(&limits, 3_000).await;
    let later = quantiles(during.split_off(1_000));
    // Those that were with it when it hung: a call a millisecond, for as long as one of them waits.
    during.sort_unstable();
    let first = quantiles(during.split_off(during.len() - 50));
    let attempts = limits.traffic();
    server.thaw();
    let wait = Instant::now();
    while !limits.is_shared() {
        one(&limits, "{other}", HOURLY, 0).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("ms, half of the calls and 99 of 100: {healthy:.3?} before, {first:.3?} the fifty slowest of the first");
    println!("{later:.3?} after the first second; shared again {} ms after its return", wait.elapsed().as_millis());
    println!("{attempts:?}");
    if cfg!(not(debug_assertions)) {
        assert!(first[1] - healthy[0] <= 55.0 && later[1] <= 1.0, "{first:?} {later:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_emptied_goes_on_with_full_buckets() {
    let server = Server::start(&[]);
    let limits = virtual_time(&server).await;
    let mut admin = server.admin();
    let take = |now_us| {
        let limits = &limits;
        async move {
            let mut admitted = 0;
            for _ in 0..10 {
                admitted += u32::from(is_admitted(one(limits, "{a}", HOURLY, now_us).await));
            }
            admitted
        }
    };
    assert_eq!(take(0).await, 3);
    let () = redis::cmd("FLUSHALL").query(&mut admin).unwrap();
    assert_eq!(take(0).await, 3);
    // Without its scripts too: they are brought again.
    let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut admin).unwrap();
    assert_eq!(take(HOURLY.interval_us).await, 1);
    assert_eq!(limits.traffic(), Traffic { asked: 30, failed: 0, attempts: 1, connected: 1 });
}

/// A server that refuses to write is one that is gone.
#[tokio::test]
async fn a_server_that_cannot_write_is_replaced_too() {
    let server = Server::start(&[]);
    let (limits, clock) = replica(&server.target(), 1, local(), PATIENT);
    limits.connect().await.unwrap();
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).query(&mut server.admin()).unwrap();
    assert!(is_admitted(one(&limits, "{a}", HOURLY, 0).await));
    assert_eq!((limits.traffic().failed, limits.is_shared()), (1, false));
    let () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).query(&mut server.admin()).unwrap();
    returns(&limits, &clock).await;
    assert!(is_admitted(one(&limits, "{a}", HOURLY, 0).await));
    assert_eq!(limits.traffic().failed, 1);
}

// What the owner settled.

#[tokio::test]
async fn while_redis_is_gone_a_tool_does_as_was_settled_for_it() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let target = Target::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
    let tools = [("paid", Outage::Deny), ("free", Outage::Allow)].map(|(name, outage)| (name.to_owned(), outage));
    let outages = Outages { default: Outage::Local, tools: BTreeMap::from(tools) };
    let limits = replica(&target, 3, outages, PATIENT).0;
    let pass = |tool: &'static str| {
        let charges = ["{a}", tool].map(|key| Charge { key, rate: HOURLY, cost: 1 });
        let limits = &limits;
        async move { limits.take(&charges, 0).await }
    };
    assert_eq!(pass("{a}/paid").await, Decision::Unavailable);
    for _ in 0..10 {
        let free = Decision::Admitted { layer: 0, remaining: u32::MAX, reset_us: 0 };
        assert_eq!(pass("{a}/free").await, free);
    }
    // A third of the rate and of the burst, and the tenant's one token went to the tool that is settled otherwise.
    let denied = Decision::Denied { layer: 0, retry_after_us: 3 * HOURLY.interval_us, remaining: 0 };
    assert_eq!(pass("{a}/local").await, denied);
    let tenant = Decision::Admitted { layer: 0, remaining: 0, reset_us: 3 * HOURLY.interval_us };
    assert_eq!(one(&limits, "{b}/local", HOURLY, 0).await, tenant);
    // A request that the whole bucket could hold is not refused for ever.
    let dear = |cost| [Charge { key: "{c}/local", rate: HOURLY, cost }];
    assert!(is_admitted(limits.take(&dear(3), 0).await));
    assert!(!is_admitted(limits.take(&dear(4), i64::MAX).await));
    assert_eq!(limits.traffic().asked, 0);
}

// What a stranger reads who sets it up wrong.

async fn refused(url: &str) -> (String, String) {
    let limits = replica(&Target::parse(url).unwrap(), 1, local(), PATIENT).0;
    let error: Hinted = limits.connect().await.unwrap_err();
    (error.to_string(), error.hint().to_owned())
}

#[tokio::test]
async fn what_is_wrong_is_told_with_the_way_out() {
    let mut server = Server::start(&["--requirepass", "right"]);
    let address = server.address();
    let limits = replica(&Target::parse(&format!("redis://:right@{address}/3")).unwrap(), 1, local(), PATIENT).0;
    limits.connect().await.unwrap();
    let user =
        "correct user and password in `limits.redis_url`; the user must be allowed EVALSHA, SCRIPT, TIME, GET, SET";
    let error = |cause: &str, hint: &str| (format!("failed to reach the limits: {cause}"), hint.to_owned());
    assert_eq!(refused(&format!("redis://{address}")).await, error("it refuses the user or the password", user));
    assert_eq!(
        refused(&format!("redis://:canary@{address}")).await,
        error("it refuses the user or the password", user)
    );
    server.stop();
    let reach = "see that Redis runs and can be reached from here, or correct `limits.redis_url`";
    assert_eq!(refused(&format!("redis://{address}")).await, error("nobody listens there", reach));
}

#[tokio::test]
async fn over_a_socket_and_over_tls_it_is_the_same() {
    let folder = TempFolder::new();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    let (certificate, key, authority) = (file("server.crt"), file("server.key"), file("ca.crt"));
    let server = Server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ]);
    let tls = format!("rediss://localhost:{port}");
    for url in [server.socket_url(), format!("{tls}?sslrootcert={authority}")] {
        let limits = replica(&Target::parse(&url).unwrap(), 1, local(), PATIENT).0;
        limits.connect().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(is_admitted(one(&limits, "{a}", HOURLY, 0).await), "{url}");
        assert_eq!(limits.traffic(), Traffic { asked: 1, failed: 0, attempts: 1, connected: 1 }, "{url}");
    }
    let taken: String = redis::cmd("GET").arg("acme:{a}").query(&mut server.admin()).unwrap();
    assert!(!taken.is_empty());
    // An authority that this machine does not trust, and a name that is not the certificate's.
    assert_eq!(refused(&tls).await.0, "failed to reach the limits: I/O error");
    let other = format!("rediss://127.0.0.1:{port}?sslrootcert={authority}");
    assert_eq!(refused(&other).await.0, "failed to reach the limits: I/O error");
}

// Processes.

/// Ten a second, six at once.
const FAST: Rate = Rate { interval_us: 100_000, burst: 6 };
const PROCESSES: u32 = 3;

/// The life of a replica. Does nothing unless this process was started as one: then it takes what there is for as many
/// milliseconds as each line of its input says, and prints how much that was, and how often it asked and failed.
#[test]
fn replica_process() {
    let Ok(url) = std::env::var("REDIS_REPLICA") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let target = Target::parse(&url).unwrap();
    let limits = RedisLimits::new(&target, "acme", PROCESSES, local(), PATIENT, clock).unwrap();
    let limits = Arc::new(limits);
    runtime.block_on(limits.connect()).unwrap();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let end = Instant::now() + Duration::from_millis(line.unwrap().parse().unwrap());
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let limits = limits.clone();
                runtime.spawn(async move {
                    let mut admitted = 0;
                    while Instant::now() < end {
                        let now_us = SystemClock.monotonic_us();
                        admitted += u32::from(is_admitted(one(&limits, "{a}/x", FAST, now_us).await));
                        tokio::task::yield_now().await;
                    }
                    admitted
                })
            })
            .collect();
        let admitted: u32 = callers.into_iter().map(|caller| runtime.block_on(caller).unwrap()).sum();
        let Traffic { asked, failed, .. } = limits.traffic();
        println!("{}", json!([admitted, asked, failed]));
    }
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "replica_process", "--nocapture", "--test-threads=1"]).env("REDIS_REPLICA", url);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, input, output };
        while !process.line().ends_with("ready") {}
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the replica ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of them take for so long; how much all got, and how often all asked and failed so far.
fn all_take(processes: &mut [Process], ms: u64) -> [u64; 3] {
    processes.iter_mut().for_each(|process| writeln!(process.input, "{ms}").unwrap());
    let mut sums = [0; 3];
    for process in processes {
        let line: [u64; 3] = serde_json::from_str(&process.line()).unwrap();
        sums.iter_mut().zip(line).for_each(|(sum, count)| *sum += count);
    }
    sums
}

#[test]
fn three_processes_on_one_redis_admit_what_one_bucket_holds() {
    let mut server = Server::start(&[]);
    let url = format!("redis://{}", server.address());
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| Process::start(&url)).collect();
    // What came due until now, the time by which they end taking included: on a busy machine that is later than they were
    // told.
    let begin = Instant::now();
    let due = |begin: Instant| u64::try_from(begin.elapsed().as_micros()).unwrap() / 100_000 + 1;
    let [shared, asked, failed] = all_take(&mut processes, 2_000);
    let bound = 6 + due(begin);
    println!("{shared} of {asked} admitted, at most {bound}");
    assert!(shared <= bound && failed == 0, "{shared} of {bound}, {failed} failed");
    assert!(shared >= 6 + 10, "the bucket was used: {shared}");

    server.stop();
    let [alone, asked_then, _] = all_take(&mut processes, 1_500);
    // Two of the six a replica, and what a rounded part of the rate may add.
    let bound = bound.max(6 + due(begin)) + u64::from(PROCESSES) * 2;
    println!("{alone} more without Redis, at most {bound} together");
    assert!(shared + alone <= bound, "{shared} + {alone} of {bound}");
    assert!(asked_then - asked <= 4 * u64::from(PROCESSES), "only calls under way met it: {}", asked_then - asked);

    server.start_again();
    let [again, asked_now, _] = all_take(&mut processes, 3_000);
    // It is empty, so its whole burst is there once more.
    let bound = 6 + due(begin) + u64::from(PROCESSES) * 2 + 6;
    println!("{again} more after its return, at most {bound} together");
    assert!(shared + alone + again <= bound, "{shared} + {alone} + {again} of {bound}");
    assert!(asked_now > asked_then + 100, "they are back: {asked_now}");
}
