//! Clients that write all the time, to whoever is the primary, and note what two replicas have confirmed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use parking_lot::Mutex;
use quiver_resp::Value;
use quiver_testkit::Connection;

/// Elements of a writer's vector set.
pub(crate) const ELEMENTS: u64 = 200;

/// All writers.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    target: Mutex<SocketAddr>,
    paused: AtomicBool,
    resting: AtomicUsize,
    stopped: AtomicBool,
    /// Last number of each writer that WAIT 2 confirmed.
    confirmed: Vec<AtomicU64>,
}

impl Writers {
    pub(crate) fn start(threads: usize, target: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            paused: AtomicBool::new(false),
            resting: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            confirmed: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        });
        for writer in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || write(writer, &shared));
        }
        Self { shared, threads }
    }

    /// The primary is there from now on.
    pub(crate) fn go_to(&self, target: SocketAddr) {
        *self.shared.target.lock() = target;
    }

    /// Lets all writers rest, and waits until they do; or lets them go on.
    pub(crate) fn pause(&self, yes: bool) {
        self.shared.paused.store(yes, SeqCst);
        while yes && self.shared.resting.load(SeqCst) < self.threads {
            sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, SeqCst);
    }

    /// The last number of each writer that is on two replicas.
    pub(crate) fn confirmed(&self) -> Vec<u64> {
        self.shared.confirmed.iter().map(|number| number.load(SeqCst)).collect()
    }

    pub(crate) fn confirmed_total(&self) -> u64 {
        self.confirmed().iter().sum()
    }
}

fn write(writer: usize, shared: &Shared) {
    let mut number = 0;
    while !shared.stopped.load(SeqCst) {
        let target = *shared.target.lock();
        if let Ok(mut connection) = Connection::connect(target) {
            while target == *shared.target.lock() && !shared.stopped.load(SeqCst) {
                rest(shared);
                number += 1;
                if step(&mut connection, writer, number, shared).is_none() {
                    break;
                }
            }
        }
        rest(shared);
        sleep(Duration::from_millis(5));
    }
    shared.resting.fetch_add(1, SeqCst);
}

fn rest(shared: &Shared) {
    if shared.paused.load(SeqCst) {
        shared.resting.fetch_add(1, SeqCst);
        while shared.paused.load(SeqCst) {
            sleep(Duration::from_millis(2));
        }
        shared.resting.fetch_sub(1, SeqCst);
    }
}

/// One round of writes; `None` when the server is gone or is no primary.
fn step(connection: &mut Connection, writer: usize, number: u64, shared: &Shared) -> Option<()> {
    let angle = number as f32 * 0.37;
    let vector: Vec<String> = (0..8).map(|i| format!("{:.4}", (angle + i as f32).sin())).collect();
    let lines = [
        format!("SET last:{writer} {number}"),
        format!("INCR count:{writer}"),
        format!("SET string:{writer}:{} {number} PX 600000", number % 300),
        "MULTI".to_owned(),
        format!("HSET hash:{writer} f{} {number}", number % 50),
        format!("RPUSH list:{writer} {number}"),
        format!("LTRIM list:{writer} -100 -1"),
        "EXEC".to_owned(),
        format!(
            "VADD vectors:{writer} VALUES 8 {} e{} SETATTR {{\"n\":{number}}}",
            vector.join(" "),
            number % ELEMENTS
        ),
        format!("VREM vectors:{writer} e{}", (number * 7) % ELEMENTS),
        format!("VSETATTR vectors:{writer} e{} {{\"n\":{number}}}", (number + 1) % ELEMENTS),
        "WAIT 2 300".to_owned(),
    ];
    for line in &lines {
        connection.send(&line.split(' ').collect::<Vec<_>>()).ok()?;
    }
    let mut last = None;
    for _ in &lines {
        let reply = connection.receive().ok()?.value;
        if let Value::Error(_) = reply {
            return None;
        }
        last = Some(reply);
    }
    if matches!(last, Some(Value::Integer(2..))) {
        shared.confirmed[writer].store(number, SeqCst);
    }
    Some(())
}
