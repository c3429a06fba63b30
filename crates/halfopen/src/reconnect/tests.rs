use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::time::{Instant, timeout};

use super::*;

fn policy() -> ReconnectPolicy {
    ReconnectPolicy {
        at_once: true,
        first: Duration::from_secs(1),
        factor: 2.0,
        cap: Duration::from_secs(8),
        jitter: Jitter::None,
        attempts: Some(5),
        deadline: None,
        stable_after: Duration::from_secs(60),
    }
}

/// Fails `failures` times with a refusal, then gives the number of the attempt.
fn refusing(failures: u32) -> (Reconnecting<u32, io::Error>, Arc<AtomicU32>) {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let client = Reconnecting::new(policy(), move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if number < failures {
                Err(io::ErrorKind::ConnectionRefused.into())
            } else {
                Ok(number)
            }
        }
    });
    (client.on(policy(), Clock::Tokio, 1), attempts)
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_the_policy_says_and_comes_up() {
    let (mut client, _) = refusing(3);
    let began = Instant::now();
    assert_eq!(client.up().await.unwrap(), 3);
    // 1, 2 and 4 s, each rounded up to tokio's millisecond.
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_with_the_last_error_and_a_diagnosis() {
    let (mut client, attempts) = refusing(u32::MAX);
    let error = client.up().await.unwrap_err();
    assert_eq!(error.why, GaveUp::Attempts(5));
    assert_eq!(error.last.as_ref().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with("gave up after 5 attempts: never came up"), "{error}");
    assert!(client.up().await.is_err());
    assert_eq!(attempts.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_shortens_no_wait_and_counts_no_attempt_twice() {
    let (mut client, attempts) = refusing(3);
    let began = Instant::now();
    let value = loop {
        // Dropped every 100 ms.
        match timeout(Duration::from_millis(100), client.up()).await {
            Ok(value) => break value.unwrap(),
            Err(_) => assert!(began.elapsed() < Duration::from_secs(60)),
        }
    };
    assert_eq!((value, began.elapsed().as_secs()), (3, 7));
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_fails_is_a_failed_attempt() {
    let (client, _) = refusing(0);
    let mut client = client.resubscribe(|number| async move {
        if number == 2 { Ok(number) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    });
    assert_eq!(client.up().await.unwrap(), 2);
    client.lost(EndedBy::Reset, None);
    assert_eq!(client.diagnosis().pattern, Pattern::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_changed_network_ends_the_wait_of_the_next_call() {
    let (mut client, _) = refusing(4);
    assert!(timeout(Duration::from_millis(7_500), client.up()).await.is_err());
    let began = Instant::now();
    client.network_changed();
    assert_eq!(client.up().await.unwrap(), 4);
    assert!(began.elapsed() < Duration::from_millis(10));
}
