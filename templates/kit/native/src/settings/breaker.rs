// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `[breaker]`: when an upstream is asked no more, and for how long.

use std::ops::RangeInclusive;

use kit::breaker::{LevelSettings, Settings};

use super::reader::Reader;

pub(super) fn read(reader: &mut Reader<'_>) -> LevelSettings {
    let default = LevelSettings::default();
    let Settings { throttles, failures, base_us, longest_us, .. } = default.breaker;
    let mut ms =
        |path, range: RangeInclusive<i64>, us: i64| reader.count(path, range, us / 1_000).saturating_mul(1_000);
    let base_us = ms("breaker.base_ms", 100..=600_000, base_us);
    let longest_us = ms("breaker.longest_ms", 1_000..=86_400_000, longest_us);
    let breaker = Settings {
        throttles: reader.count("breaker.throttles", 1..=1_000, throttles),
        failures: reader.count("breaker.failures", 1..=1_000, failures),
        base_us,
        longest_us,
        ..default.breaker
    };
    LevelSettings { breaker, ..default }
}
