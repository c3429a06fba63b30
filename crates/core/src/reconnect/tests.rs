use super::*;

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plain() -> Policy {
    Policy {
        at_once: true,
        first: secs(1),
        factor: 2.0,
        cap: secs(10),
        jitter: Jitter::None,
        attempts: None,
        deadline: None,
        stable_after: secs(60),
    }
}

struct Client {
    reconnect: Reconnect,
    chance: Chance,
    now: Moment,
}

impl Client {
    fn new(policy: Policy) -> Self {
        Self { reconnect: Reconnect::new(policy, at(0)), chance: Chance::new(1), now: at(0) }
    }

    /// Waits as it is told to; the attempt number, or why it gave up.
    fn attempt(&mut self) -> Result<u32, GaveUp> {
        loop {
            match self.reconnect.poll(self.now) {
                Next::Connect { attempt } => return Ok(attempt),
                Next::WaitUntil(until) => self.now = until,
                Next::GiveUp(why) => return Err(why),
                Next::Up => panic!("it is up"),
            }
        }
    }

    fn fails(&mut self, by: FailedBy) {
        self.reconnect.handle_failed(self.now, by, &mut self.chance);
    }

    /// One life, and the way to it.
    fn lives(&mut self, lasted: Duration, by: EndedBy, idle: Option<Duration>) {
        self.attempt().unwrap();
        self.reconnect.handle_up(self.now, Some([10, 0, 0, 1].into()));
        self.now.0 += lasted;
        self.reconnect.handle_lost(self.now, by, idle, &mut self.chance);
    }
}

#[test]
fn waits_grow_to_the_cap_and_the_first_attempt_comes_at_once() {
    let mut client = Client::new(plain());
    let mut moments = Vec::new();
    for _ in 0..7 {
        client.attempt().unwrap();
        moments.push(client.now.0.as_secs());
        client.fails(FailedBy::Refused);
    }
    assert_eq!(moments, [0, 1, 3, 7, 15, 25, 35]);
}

#[test]
fn full_jitter_stays_below_the_plain_wait_and_uses_all_of_it() {
    let full = Policy { jitter: Jitter::Full, ..plain() };
    let equal = Policy { jitter: Jitter::Equal, ..plain() };
    let mut chance = Chance::new(9);
    let waits: Vec<_> = (0..1000).map(|_| full.wait(3, &mut chance)).collect();
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*least < secs(1) && *most > secs(3) && *most < secs(4), "{least:?} {most:?}");
    assert!((0..1000).all(|_| (secs(2)..secs(4)).contains(&equal.wait(3, &mut chance))));
}

#[test]
fn it_gives_up_after_the_last_attempt_and_stays_so() {
    let mut client = Client::new(Policy { attempts: Some(3), ..plain() });
    for number in 1..=3 {
        assert_eq!(client.attempt(), Ok(number));
        client.fails(FailedBy::Refused);
    }
    assert_eq!(client.attempt(), Err(GaveUp::Attempts(3)));
    assert_eq!(client.attempt(), Err(GaveUp::Attempts(3)));
}

#[test]
fn the_deadline_is_kept_to_the_moment() {
    let mut client = Client::new(Policy { deadline: Some(secs(20)), ..plain() });
    let why = loop {
        match client.attempt() {
            Ok(_) => client.fails(FailedBy::TimedOut),
            Err(why) => break why,
        }
    };
    assert_eq!((why, client.now), (GaveUp::Deadline(secs(20)), at(20)));
}

#[test]
fn only_a_stable_life_begins_anew() {
    let mut client = Client::new(plain());
    for _ in 0..3 {
        client.lives(secs(59), EndedBy::Reset, None);
    }
    assert_eq!(client.reconnect.attempts(), 3);
    client.lives(secs(60), EndedBy::Reset, None);
    assert_eq!(client.reconnect.attempts(), 0);
    let before = client.now;
    client.attempt().unwrap();
    assert_eq!(client.now, before);
}

#[test]
fn an_attempt_that_was_cancelled_is_told_again_and_not_counted_twice() {
    let mut client = Client::new(plain());
    assert_eq!(client.attempt(), Ok(1));
    assert_eq!(client.attempt(), Ok(1));
}

#[test]
fn a_changed_network_ends_the_wait() {
    let mut client = Client::new(plain());
    for _ in 0..5 {
        client.attempt().unwrap();
        client.fails(FailedBy::Unreachable);
    }
    let before = client.now;
    client.reconnect.handle_network_changed(before);
    client.attempt().unwrap();
    assert_eq!(client.now, before);
}

#[test]
fn a_loss_is_told_once() {
    let mut client = Client::new(plain());
    client.lives(secs(5), EndedBy::Reset, None);
    let before = client.reconnect.poll(client.now);
    client.reconnect.handle_lost(client.now, EndedBy::Silence, None, &mut client.chance);
    assert_eq!(client.reconnect.poll(client.now), before);
}

/// Each history, and the sentence that it is told in.
#[test]
fn every_pattern_and_cause_is_told_from_its_history() {
    let told = |act: &dyn Fn(&mut Client)| {
        let mut client = Client::new(plain());
        act(&mut client);
        client.reconnect.diagnosis().to_string()
    };
    let failing = |by: FailedBy| {
        told(&move |client| {
            for _ in 0..4 {
                client.attempt().unwrap();
                client.fails(by);
            }
        })
    };
    let sentences = [
        told(&|_| {}),
        failing(FailedBy::Refused),
        failing(FailedBy::TimedOut),
        failing(FailedBy::Unreachable),
        failing(FailedBy::Name),
        failing(FailedBy::LocalLimit),
        failing(FailedBy::Rejected),
        told(&|client| client.lives(secs(100), EndedBy::Reset, None)),
        told(&|client| {
            for extra in [0, 200, 1000, 90] {
                let idle = Some(secs(350 + extra / 100));
                client.lives(secs(400 + extra), EndedBy::Reset, idle);
            }
        }),
        told(&|client| {
            for extra in [0, 3, 9] {
                client.lives(secs(172_800 + extra), EndedBy::Finished, Some(secs(extra)));
            }
        }),
        told(&|client| {
            for _ in 0..4 {
                client.lives(Duration::from_millis(30), EndedBy::Reset, None);
            }
        }),
        told(&|client| {
            for lasted in [100, 5000, 900] {
                client.lives(secs(lasted), EndedBy::OwnPause, None);
            }
        }),
        told(&|client| {
            for (number, lasted) in [100, 5000, 900].into_iter().enumerate() {
                client.attempt().unwrap();
                let local = [10, 0, 0, 1 + u8::try_from(number).unwrap()];
                client.reconnect.handle_up(client.now, Some(local.into()));
                client.now.0 += secs(lasted);
                client.reconnect.handle_lost(
                    client.now,
                    EndedBy::Silence,
                    None,
                    &mut client.chance,
                );
            }
        }),
        told(&|client| {
            client.lives(secs(100), EndedBy::Reset, None);
            for _ in 0..5 {
                client.attempt().unwrap();
                client.fails(FailedBy::TimedOut);
            }
        }),
    ];
    insta::assert_snapshot!(sentences.join("\n"));
}
