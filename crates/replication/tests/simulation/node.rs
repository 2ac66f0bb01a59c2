//! One node: its data, its stream, the link to its primary and the replicas it feeds.

use quiver_replication::{Event, Link, Login, Point, Stream};
use quiver_resp::{Decoder, Limits, Requests, write_command};

use crate::data::Data;
use crate::wire::{Rng, Wire, take};

/// A snapshot on disk: data and where they stand.
pub(crate) type Disk = (Point, Data);

/// A node.
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) stream: Stream,
    pub(crate) disk: Option<Disk>,
    /// Whom it follows.
    pub(crate) primary: Option<usize>,
    pub(crate) link: Option<Inbound>,
    /// Replicas being fed, by number.
    pub(crate) feeds: Vec<Option<Feed>>,
}

/// The connection to the primary.
pub(crate) struct Inbound {
    link: Link,
    pub(crate) wire: Wire,
    snapshot: Option<(Point, Vec<u8>)>,
    pub(crate) up: bool,
    pending: Vec<u8>,
    decoder: Decoder,
    db: u32,
    multi: Option<Vec<(u32, Vec<String>)>>,
}

/// The primary's end of a connection.
#[derive(Default)]
pub(crate) struct Feed {
    pending: Vec<u8>,
    decoder: Decoder,
    reader: Option<Reader>,
    pub(crate) acknowledged: u64,
    /// The stream waits for the word that the snapshot is loaded.
    waits_for_ack: bool,
}

struct Reader {
    offset: u64,
    generation: u64,
    token: u64,
}

/// How a replica was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    Partial,
    Full,
    Refused,
}

/// Decodes whole commands; gives each with its bytes.
fn commands(pending: &mut Vec<u8>, decoder: &mut Decoder) -> Vec<(Vec<String>, Vec<u8>)> {
    let mut requests = Requests::new();
    let used = decoder.decode(pending, &Limits::default(), &mut requests, usize::MAX).expect("only what was written");
    let mut start = 0;
    let mut found = Vec::new();
    for (index, argv) in requests.iter(pending).enumerate() {
        let words = argv.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let end = requests.end(index);
        found.push((words, pending[start..end].to_vec()));
        start = end;
    }
    pending.drain(..used);
    found
}

impl Node {
    /// A node that starts, from its disk if there is something on it.
    pub(crate) fn start(disk: Option<Disk>, primary: Option<usize>, nodes: usize, rng: &mut Rng) -> Self {
        let mut stream = Stream::new(rng.id());
        stream.remember(backlog_size(rng), 4096);
        let mut data = Data::default();
        if let Some((point, saved)) = &disk {
            data = saved.clone();
            stream.restore(point.clone(), primary.is_some(), rng.id());
        }
        let feeds = (0..nodes).map(|_| None).collect();
        Self { data, stream, disk, primary, link: None, feeds }
    }

    /// Writes a unit of its own.
    pub(crate) fn write(&mut self, unit: &[(u32, Vec<String>)]) {
        let encoded: Vec<(u32, Vec<u8>)> = unit
            .iter()
            .map(|(db, words)| {
                self.data.run(*db, words);
                let mut bytes = Vec::new();
                write_command(&mut bytes, words);
                (*db, bytes)
            })
            .collect();
        self.stream.write_unit(encoded.iter().map(|(db, bytes)| (*db, bytes.as_slice())));
    }

    /// Follows another from now on, or nobody.
    pub(crate) fn order(&mut self, primary: Option<usize>, rng: &mut Rng) {
        self.cut_link();
        self.primary = primary;
        self.stream.new_term();
        match primary {
            Some(_) => self.stream.follow(),
            None => self.stream.promote(rng.id()),
        }
    }

    pub(crate) fn save(&mut self) {
        self.disk = Some((self.stream.point(), self.data.clone()));
    }

    /// Whether its own primary lets it be told where the stream stands.
    pub(crate) fn can_feed(&self) -> bool {
        self.primary.is_none() || self.link.as_ref().is_some_and(|link| link.up)
    }

    // --- as a replica ---------------------------------------------------------------------------------------------

    pub(crate) fn connect(&mut self) {
        let Point { id, offset, db } = self.stream.point();
        let link = Link::new(Login { resume: Some((id, offset)), version: "8.0.2", ..Login::default() });
        self.link = Some(Inbound {
            link,
            wire: Wire::default(),
            snapshot: None,
            up: false,
            pending: Vec::new(),
            decoder: Decoder::new(),
            db: db.unwrap_or(0),
            multi: None,
        });
        self.push_out();
    }

    pub(crate) fn cut_link(&mut self) {
        self.link = None;
        self.stream.drop_unfinished();
    }

    pub(crate) fn acknowledge(&mut self) {
        let end = self.stream.end();
        if let Some(inbound) = self.link.as_mut().filter(|inbound| inbound.up) {
            inbound.link.acknowledge(end, None);
            self.push_out();
        }
    }

    fn push_out(&mut self) {
        let inbound = self.link.as_mut().expect("called on a link");
        inbound.wire.up.extend(inbound.link.take_output());
    }

    /// Takes bytes off the wire; `false` when the link is over. `each` is called at every place between two units.
    pub(crate) fn receive(&mut self, max: usize, each: &mut dyn FnMut(&Self)) -> bool {
        let term = self.stream.term();
        let Some(inbound) = &mut self.link else { return true };
        let bytes = take(&mut inbound.wire.down, max);
        let mut events = Vec::new();
        if bytes.is_empty() {
            return true;
        }
        if inbound.link.receive(&bytes, &mut events).is_err() {
            return false;
        }
        for event in events {
            if !self.handle(event, term, each) {
                return false;
            }
        }
        self.push_out();
        true
    }

    fn handle(&mut self, event: Event, term: u64, each: &mut dyn FnMut(&Self)) -> bool {
        let inbound = self.link.as_mut().expect("called on a link");
        match event {
            Event::FullSync { id, offset } => {
                inbound.snapshot = Some((Point { id, offset, db: None }, Vec::new()));
            }
            Event::SnapshotLength(_) => {}
            Event::Snapshot(bytes) => inbound.snapshot.as_mut().expect("it was announced").1.extend(bytes),
            Event::SnapshotEnd => {
                let (mut point, bytes) = inbound.snapshot.take().expect("it was announced");
                let text = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let db: u32 = String::from_utf8_lossy(text).parse().expect("the first line is a database");
                let data = Data::load(&bytes[text.len() + 1..]).expect("a snapshot with its end is whole");
                point.db = Some(db);
                (inbound.db, inbound.multi, inbound.up) = (db, None, true);
                if !self.stream.adopt(term, point) {
                    return false;
                }
                self.data = data;
                each(self);
                self.acknowledge();
            }
            Event::Continue(id) => {
                if let Some(id) = id {
                    self.stream.rename(id);
                }
                inbound.up = true;
                each(self);
                self.acknowledge();
            }
            Event::Stream(bytes) => {
                inbound.pending.extend(bytes);
                for (words, bytes) in commands(&mut inbound.pending, &mut inbound.decoder) {
                    self.apply(words, &bytes);
                    each(self);
                }
            }
        }
        true
    }

    fn apply(&mut self, words: Vec<String>, bytes: &[u8]) {
        let inbound = self.link.as_mut().expect("called on a link");
        match (words[0].as_str(), &mut inbound.multi) {
            ("MULTI", _) => inbound.multi = Some(Vec::new()),
            ("SELECT", _) => inbound.db = words[1].parse().expect("a database"),
            ("EXEC", queued) => {
                for (db, words) in queued.take().expect("behind MULTI") {
                    self.data.run(db, &words);
                }
            }
            ("PING" | "REPLCONF", _) => {}
            (_, Some(queued)) => queued.push((inbound.db, words)),
            (_, None) => self.data.run(inbound.db, &words),
        }
        let (db, whole) = (inbound.db, inbound.multi.is_none());
        self.stream.take_over(bytes, db, whole);
    }

    // --- as a primary ---------------------------------------------------------------------------------------------

    /// Ends a connection that a replica had.
    pub(crate) fn drop_feed(&mut self, replica: usize) {
        let reader = self.feeds[replica].take().and_then(|feed| feed.reader);
        if let (Some(reader), Some(backlog)) = (reader, self.stream.backlog_mut()) {
            backlog.unpin(reader.token);
        }
    }

    /// Takes bytes of a replica, and answers; `None` when the connection is to be closed.
    pub(crate) fn serve(
        &mut self,
        replica: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
        rng: &mut Rng,
    ) -> Option<Option<Served>> {
        let mut feed = self.feeds[replica].take().unwrap_or_default();
        feed.pending.extend_from_slice(bytes);
        let mut served = None;
        for (words, _) in commands(&mut feed.pending, &mut feed.decoder) {
            match (words[0].as_str(), words.get(1).map(String::as_str)) {
                ("PING", _) => out.extend(b"+PONG\r\n"),
                ("REPLCONF", Some("ACK")) => {
                    feed.acknowledged = words[2].parse().expect("an offset");
                    feed.waits_for_ack = false;
                }
                ("REPLCONF", _) => out.extend(b"+OK\r\n"),
                ("PSYNC", Some(id)) => {
                    let next: i64 = words[2].parse().expect("an offset");
                    served = Some(self.begin(&mut feed, id, next, out, rng));
                }
                other => panic!("{other:?} from a replica"),
            }
        }
        self.feeds[replica] = Some(feed);
        Some(served).filter(|served| *served != Some(Served::Refused))
    }

    fn begin(&mut self, feed: &mut Feed, id: &str, next: i64, out: &mut Vec<u8>, rng: &mut Rng) -> Served {
        if !self.can_feed() {
            out.extend(b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n");
            return Served::Refused;
        }
        let wanted = u64::try_from(next - 1).ok();
        let (offset, served) = match wanted.and_then(|next| self.stream.resume(id, next)) {
            Some(offset) => {
                out.extend(format!("+CONTINUE {}\r\n", self.stream.history().id).bytes());
                (offset, Served::Partial)
            }
            None => {
                let point = self.stream.cut();
                out.extend(format!("+FULLRESYNC {} {}\r\n", point.id, point.offset).bytes());
                let mut bytes = format!("{}\n", point.db.unwrap_or(0)).into_bytes();
                bytes.extend(self.data.save());
                if rng.below(2) == 0 {
                    let mark = rng.id();
                    out.extend(format!("$EOF:{mark}\r\n").bytes().chain(bytes).chain(mark.bytes()));
                    feed.waits_for_ack = true;
                } else {
                    out.extend(format!("${}\r\n", bytes.len()).bytes().chain(bytes));
                }
                (point.offset, Served::Full)
            }
        };
        let token = self.stream.backlog_mut().expect("it is remembered").pin(offset);
        feed.reader = Some(Reader { offset, generation: self.stream.generation(), token });
        served
    }

    /// Writes more of the stream for a replica; `false` when the connection is to be closed.
    pub(crate) fn feed(&mut self, replica: usize, max: usize, out: &mut Vec<u8>) -> bool {
        let generation = self.stream.generation();
        let Some(feed) = self.feeds[replica].as_mut().filter(|feed| !feed.waits_for_ack) else { return true };
        let (Some(reader), Some(backlog)) = (&mut feed.reader, self.stream.backlog_mut()) else { return true };
        let before = out.len();
        if reader.generation != generation || !backlog.read(reader.offset, max, out) {
            return false;
        }
        reader.offset += (out.len() - before) as u64;
        backlog.move_pin(reader.token, reader.offset);
        true
    }
}

fn backlog_size(rng: &mut Rng) -> usize {
    [32, 256, 2048][rng.below(3)]
}
