//! Latencies, kept in buckets each of which is at most a sixteenth wider than the one before.

use std::time::Duration;

const STEPS: u64 = 16;
const BUCKETS: usize = 64 * 16;

/// How often which latency was seen.
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS] }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The latency in microseconds that this share of the calls, in thousandths, did not exceed.
    pub(crate) fn micros_at(&self, permille: u64) -> f64 {
        let rank = (self.count() * permille).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return upper(bucket) / 1000.0;
            }
        }
        0.0
    }
}

/// Below 16 each number is a bucket of its own; above, each power of two has 16 of them.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let exponent = u64::from(nanos.ilog2());
    let step = (nanos >> (exponent - 4)) - STEPS;
    usize::try_from((exponent - 3) * STEPS + step).unwrap_or(BUCKETS - 1)
}

/// The greatest number of a bucket.
fn upper(bucket: usize) -> f64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    if bucket < STEPS {
        return bucket as f64;
    }
    let exponent = bucket / STEPS + 3;
    let width = 1_u128 << (exponent - 4);
    ((u128::from(bucket % STEPS + STEPS) + 1) * width - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_bucket() {
        for nanos in [0, 1, 15, 16, 17, 31, 32, 33, 1_000, 123_456, 5_000_000_000, u64::MAX] {
            let bucket = bucket(nanos);
            assert!(nanos as f64 <= upper(bucket), "{nanos}");
            assert!(bucket == 0 || nanos as f64 > upper(bucket - 1), "{nanos}");
        }
    }

    #[test]
    fn percentiles_are_within_a_sixteenth() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        assert!((500.0..=532.0).contains(&histogram.micros_at(500)));
        assert!((990.0..=1053.0).contains(&histogram.micros_at(990)));
    }
}
