//! How a snapshot leaves the processor to those who serve clients.
//!
//! Where there are more busy threads than cores, one that never rests takes whole slices of the scheduler, some
//! milliseconds, from an I/O thread, and is put aside itself while it holds a shard's lock. So while the process uses all
//! of its cores the snapshot rests after every piece, outside of all locks, [`REST`] times as long as it worked. With a
//! core to spare it runs at full speed.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Rest for each unit of work: a quarter of a busy core is the snapshot's.
const REST: u32 = 3;

/// Work between two rests; much shorter ones than the system's timers can do would be rounded up.
const WORK: Duration = Duration::from_micros(100);

/// How often the load is looked at.
const WINDOW: Duration = Duration::from_millis(10);

/// Share of the cores' time from which on there is none to spare.
const BUSY: f64 = 0.9;

/// The pace of the thread that made it.
#[derive(Debug)]
pub(crate) struct Pace {
    cores: f64,
    window: Instant,
    /// Processor time of the process when the window began.
    used: Duration,
    busy: bool,
    /// Processor time of the thread at its last rest.
    worked: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64),
            window: Instant::now(),
            used: processor_time(ClockId::ProcessCPUTime),
            busy: false,
            worked: processor_time(ClockId::ThreadCPUTime),
        }
    }

    /// To be called after each piece, without a lock; sleeps if it is time to.
    pub(crate) fn rest(&mut self) {
        let elapsed = self.window.elapsed();
        if elapsed >= WINDOW {
            let used = processor_time(ClockId::ProcessCPUTime);
            self.busy = (used - self.used).as_secs_f64() > BUSY * self.cores * elapsed.as_secs_f64();
            (self.window, self.used) = (Instant::now(), used);
        }
        let worked = processor_time(ClockId::ThreadCPUTime);
        let work = worked - self.worked;
        if work >= WORK {
            if self.busy {
                std::thread::sleep(work * REST);
            }
            self.worked = worked;
        }
    }
}

fn processor_time(of: ClockId) -> Duration {
    let time = clock_gettime(of);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
