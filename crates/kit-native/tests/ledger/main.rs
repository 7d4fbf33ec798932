//! The ledger: what is written of a call and when, what becomes of it while the store fails, and what nobody can do to it
//! unnoticed. On both engines where the engine has a part in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "postgres")]
#[path = "../common/postgres.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod postgres;

#[path = "../common/in_place.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod in_place;

/// Each test once on SQLite and once on PostgreSQL.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident) $body:block)+) => {
        $($(#[$doc])* async fn $name($world: $crate::world::World) $body)+

        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::world::World::on_sqlite().await).await;
            })+
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::world::World::on_postgres().await).await;
            })+
        }
    };
}

mod capture;
mod commit;
mod cost;
mod faults;
mod kill;
mod purge;
mod spill;
mod tamper;
mod tap;
mod world;
