//! Owns the statistics of arrivals by which phi judges a silence: mean and deviation, weighted so that
//! they follow a path that changes, in 24 bytes for each connection.
//! Read: Hayashibara and others (2004), section 4; the logistic fit of the normal distribution is
//! Bowling and others, "A logistic approximation to the cumulative normal distribution" (2009).

use std::time::Duration;

/// How long the peer was usually silent before it answered a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Arrivals {
    mean: f64,
    variance: f64,
    count: u32,
}

impl Arrivals {
    /// Before anything was heard: about the interval, with a deviation that forgives much.
    pub(super) const fn new(interval: Duration) -> Self {
        let mean = interval.as_secs_f64();
        Self { mean, variance: (mean / 4.0) * (mean / 4.0), count: 0 }
    }

    pub(super) fn add(&mut self, silence: Duration) {
        let difference = silence.as_secs_f64() - self.mean;
        // The first ones count for what they are, so that the guess is soon forgotten.
        self.count = self.count.saturating_add(1).min(WINDOW);
        let weight = 1.0 / (f64::from(self.count) + 1.0);
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
    }

    /// A living peer is silent for longer than this once in 10^threshold times.
    pub(super) fn improbable_after(&self, threshold: f64) -> Duration {
        let deviation = self.variance.sqrt().max(DEVIATION_MIN);
        // 1 / (1 + e^(y (1.5976 + 0.070566 y^2))) = 10^-threshold, solved for y.
        let target = (10f64.powf(threshold.clamp(0.1, 300.0)) - 1.0).ln();
        let (mut low, mut high) = (0.0, 40.0);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            let exponent = middle * (0.070_566f64.mul_add(middle * middle, 1.5976));
            if exponent < target { low = middle } else { high = middle }
        }
        Duration::try_from_secs_f64(deviation.mul_add(high, self.mean)).unwrap_or(Duration::MAX)
    }
}

/// What is older than about so many answers is forgotten.
const WINDOW: u32 = 100;
/// A path that has never varied so far may: a tenth of a second, in which TCP delays acknowledgements.
const DEVIATION_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_threshold_waits_longer_and_a_steadier_path_less() {
        let mut steady = Arrivals::new(Duration::from_secs(10));
        let before = steady.improbable_after(8.0);
        for _ in 0..200 {
            steady.add(Duration::from_millis(10_050));
        }
        let mut rough = steady;
        for number in 0..200 {
            rough.add(Duration::from_millis(10_000 + number % 4 * 1000));
        }
        assert!(steady.improbable_after(8.0) < before);
        assert!(steady.improbable_after(3.0) < steady.improbable_after(8.0));
        assert!(steady.improbable_after(8.0) < rough.improbable_after(8.0));
    }

    /// 5.6 deviations of the normal distribution are passed once in 10^8 times.
    #[test]
    fn the_threshold_means_what_it_says() {
        let mut arrivals = Arrivals::new(Duration::from_secs(10));
        for _ in 0..1000 {
            arrivals.add(Duration::from_secs(10));
        }
        let after = arrivals.improbable_after(8.0).as_secs_f64();
        assert!((10.5..10.7).contains(&after), "{after}");
    }
}
