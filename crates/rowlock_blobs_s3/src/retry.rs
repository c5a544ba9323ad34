//! Trying again: what passes, a few times, with pauses that grow and differ.

use crate::failure::Failure;
use std::time::Duration;
use tokio::time::Instant;

/// How often a request is made at most.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A service with too much to do is left alone for longer.
const FIRST_PAUSE_THROTTLED: Duration = Duration::from_millis(400);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Makes a request until it succeeds, fails for good, or has failed too often or for longer than
/// `budget`. The closure gets the attempt's number, from 0.
pub(crate) async fn retrying<T, F, Fut>(budget: Duration, request: F) -> Result<T, Failure>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    retrying_while(budget, || true, request).await
}

/// As [`retrying`], as long as the request can be made again.
pub(crate) async fn retrying_while<T, F, Fut>(
    budget: Duration,
    again: impl Fn() -> bool,
    mut request: F,
) -> Result<T, Failure>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let began = Instant::now();
    let mut attempt = 0;
    loop {
        let failure = match request(attempt).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        attempt += 1;
        if !failure.passes() || attempt >= ATTEMPTS || began.elapsed() >= budget || !again() {
            return Err(failure);
        }
        tokio::time::sleep(pause(attempt, failure.is_throttle())).await;
    }
}

/// The pause before an attempt: somewhere between half and all of a time that doubles.
pub(crate) fn pause(attempt: u32, throttled: bool) -> Duration {
    let first = if throttled { FIRST_PAUSE_THROTTLED } else { FIRST_PAUSE };
    let full = (first * 2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, status: Option<u16>) -> Failure {
        Failure {
            status,
            code: code.into(),
            detail: String::new(),
            coded: false,
            date: None,
            region: None,
        }
    }

    async fn count(failure: Failure, takes: Duration) -> u32 {
        let mut made = 0;
        let result: Result<(), _> = retrying(Duration::from_secs(30), |_| {
            made += 1;
            let failure = failure.clone();
            async move {
                tokio::time::sleep(takes).await;
                Err(failure)
            }
        })
        .await;
        assert!(result.is_err());
        made
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_passes_is_tried_again_and_not_for_ever() {
        assert_eq!(count(failure("SlowDown", Some(503)), Duration::ZERO).await, 4);
        assert_eq!(count(failure("odd", Some(500)), Duration::ZERO).await, 4);
        assert_eq!(count(failure("AccessDenied", Some(403)), Duration::ZERO).await, 1);
        let slow = failure(crate::failure::TIMEOUT, None);
        assert_eq!(count(slow, Duration::from_secs(30)).await, 1);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for attempt in 1..40 {
            assert!(pause(attempt, false) <= LONGEST_PAUSE);
            assert!(pause(attempt, true) >= FIRST_PAUSE_THROTTLED / 2);
        }
    }
}
