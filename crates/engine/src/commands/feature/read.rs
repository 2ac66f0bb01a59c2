//! FEAT.GET: features of many entities from many views in one answer, by columns.
//!
//! The answer is a map from view to a map from feature to its column, an array of two or three: the values, one for each
//! entity; the statuses, as many bytes in one string; and with WITHTIMES the event times. A value is there only with
//! status `P`; else null stands in its place.
//!
//! | status | |
//! |---|---|
//! | `P` | present |
//! | `N` | null: the feature was said to have no value |
//! | `-` | not found: nothing was said, or it has expired |
//! | `O` | outside the view's maximum age |
//! | `!` | what is stored is no value of the feature's type |
//!
//! With PACKED numbers and vectors are not an array but one string for the column: little-endian, f64, i64 and timestamp
//! in 8 bytes, f32 in 4, bool in 1, a vector in 4 for each component; NaN or zero where there is none. So are the times,
//! 8 bytes each, zero where there is none.
//!
//! Hashes are read row by row, each in one pass, while every column grows in its own buffer.

use std::rc::Rc;

use quiver_resp::{Argv, Encoder, Protocol};
use quiver_structures::listpack::Item;

use super::open::{Opened, open};
use super::times::{Stamp, stamps};
use super::view::{Kind, View};
use super::write::counted;
use crate::command::{CommandResult, KeyFlags};
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::hash::{AsOf, FieldSet, Hash, ItemText};

const READS: KeyFlags = KeyFlags::RO.with(KeyFlags::ACCESS);

/// Most values of one answer.
const CELLS_MAX: usize = 1 << 18;

/// Most bytes of one answer's packed values.
const PACKED_BYTES_MAX: usize = 1 << 28;

/// Most views in one command.
const VIEWS_MAX: usize = 64;

/// What is wanted.
struct Request<'a> {
    entities: Argv<'a>,
    /// Names of views, with features of each or all.
    views: Vec<(&'a [u8], Option<Argv<'a>>)>,
    times: bool,
    packed: bool,
}

impl<'a> Request<'a> {
    /// `FEAT.GET ENTITIES n entity ... VIEW name [FEATURES n feature ...] [VIEW ...] [WITHTIMES] [PACKED]`
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let (entities, mut at) = counted(argv, 1, "ENTITIES", 1)?;
        let mut request = Self { entities, views: Vec::new(), times: false, packed: false };
        while let Some(word) = argv.get(at) {
            at += 1;
            if is(word, "VIEW") {
                request.views.push((argv.get(at).ok_or(CommandError::Syntax)?, None));
                at += 1;
            } else if is(word, "FEATURES")
                && let Some((_, features @ None)) = request.views.last_mut()
            {
                let (names, behind) = counted(argv, at - 1, "FEATURES", 1)?;
                *features = Some(names);
                at = behind;
            } else if is(word, "WITHTIMES") {
                request.times = true;
            } else if is(word, "PACKED") {
                request.packed = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        match request.views.len() {
            0 => Err(CommandError::text("ERR VIEW and the name of a view are needed")),
            1..=VIEWS_MAX => Ok(request),
            _ => Err(CommandError::owned(format!("ERR at most {VIEWS_MAX} views can be read at once"))),
        }
    }
}

/// `FEAT.GET ENTITIES n entity ... VIEW name [FEATURES n feature ...] [VIEW ...] [WITHTIMES] [PACKED]`
pub(super) fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(argv)?;
    let names: Vec<&[u8]> = request.views.iter().map(|(name, _)| *name).collect();
    let Some(opened) = open(ctx, argv, &names, request.entities.iter(), READS)? else { return Ok(()) };
    let wanted = opened.views.iter().zip(&request.views).map(|(view, (_, features))| Wanted::new(view, *features));
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let count = request.entities.len();
    let cells = wanted.iter().map(|wanted| wanted.kinds.len()).sum::<usize>();
    let row_bytes: usize = wanted.iter().flat_map(|wanted| &wanted.kinds).filter_map(|kind| kind.width()).sum();
    if cells.saturating_mul(count) > CELLS_MAX || request.packed && row_bytes.saturating_mul(count) > PACKED_BYTES_MAX {
        return Err(CommandError::text("ERR too many values"));
    }
    let form = Form { packed: request.packed, times: request.times, protocol: ctx.reply.protocol() };
    let columns = wanted.iter().enumerate().map(|(view, wanted)| read_view(ctx, &opened, view, wanted, count, form));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    ctx.reply.map(wanted.len());
    for (wanted, columns) in wanted.iter().zip(&columns) {
        ctx.reply.bulk(&wanted.view.name);
        ctx.reply.map(columns.len());
        for ((name, kind), column) in wanted.fields.names().zip(&wanted.kinds).zip(columns) {
            ctx.reply.bulk(name);
            column.write(&mut ctx.reply, *kind, form);
        }
    }
    Ok(())
}

/// How an answer is written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) packed: bool,
    pub(super) times: bool,
    pub(super) protocol: Protocol,
}

/// Features of a view.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Wanted {
    pub(in crate::commands) view: Rc<View>,
    /// The names, and behind them the field of the times.
    fields: Rc<FieldSet>,
    kinds: Vec<Kind>,
}

impl Wanted {
    pub(in crate::commands) fn new(view: &Rc<View>, features: Option<Argv<'_>>) -> Result<Self, CommandError> {
        let Some(features) = features else {
            let kinds = view.features.iter().map(|feature| feature.kind).collect();
            return Ok(Self { view: Rc::clone(view), fields: Rc::clone(&view.fields), kinds });
        };
        let kinds = features.iter().map(|name| Ok(view.features[view.place(name)?].kind));
        let kinds = kinds.collect::<Result<_, CommandError>>()?;
        let fields = FieldSet::new(features.iter().chain([view.times_field()]));
        let fields = Rc::new(fields.ok_or(CommandError::text("ERR a feature is named twice"))?);
        Ok(Self { view: Rc::clone(view), fields, kinds })
    }

    /// The features of one entity: its values, null where there is none, and the statuses.
    pub(in crate::commands) fn write_one(
        &self,
        reply: &mut Encoder<'_>,
        hash: Option<&Hash>,
        as_of: AsOf,
        now_ms: i64,
    ) {
        let form = Form { packed: false, times: false, protocol: reply.protocol() };
        let mut columns = vec![Column::default(); self.kinds.len()];
        self.read(&mut columns, hash, as_of, now_ms, form);
        reply.array(2);
        reply.array(columns.len());
        columns.iter().for_each(|column| reply.raw(&column.values));
        reply.bulk(&columns.iter().flat_map(|column| column.statuses.clone()).collect::<Vec<u8>>());
    }

    /// Appends the features of one entity to their columns.
    fn read(&self, columns: &mut [Column], hash: Option<&Hash>, as_of: AsOf, now_ms: i64, form: Form) {
        let nothing = || vec![None; self.fields.len()];
        let found = hash.map_or_else(nothing, |hash| hash.get_all(&self.fields, as_of));
        let stamps = stamps(&self.fields, &found);
        for (i, column) in columns.iter_mut().enumerate() {
            let outdated =
                |stamp: Stamp| self.view.max_age_ms.is_some_and(|max| now_ms.saturating_sub(stamp.at_ms) > max);
            let status = match (found[i], stamps[i]) {
                (_, Some(stamp)) if outdated(stamp) => b'O',
                (None, Some(_)) => b'N',
                (None, None) => b'-',
                (Some(_), _) => b'P',
            };
            column.push(self.kinds[i], found[i], status, stamps[i], now_ms, form);
        }
    }
}

/// The columns of a view.
fn read_view(
    ctx: &mut Ctx<'_>,
    opened: &Opened,
    view: usize,
    wanted: &Wanted,
    count: usize,
    form: Form,
) -> Result<Vec<Column>, CommandError> {
    let (as_of, now_ms) = (ctx.ks.as_of(), ctx.ks.now_ms);
    let mut columns: Vec<Column> = wanted.kinds.iter().map(|kind| Column::with_room(*kind, count)).collect();
    for entity in 0..count {
        let hash = ctx.ks.value::<Hash>(opened.key(view, entity))?;
        wanted.read(&mut columns, hash, as_of, now_ms, form);
    }
    Ok(columns)
}

/// A feature of all entities.
#[derive(Clone, Debug, Default)]
struct Column {
    /// Packed, or one reply after the other.
    values: Vec<u8>,
    statuses: Vec<u8>,
    times: Vec<Option<i64>>,
}

impl Column {
    fn with_room(kind: Kind, count: usize) -> Self {
        const REPLY_BYTES: usize = 16;
        let bytes = count * kind.width().unwrap_or(REPLY_BYTES).max(REPLY_BYTES);
        Self { values: Vec::with_capacity(bytes), statuses: Vec::with_capacity(count), times: Vec::new() }
    }

    fn push(&mut self, kind: Kind, value: Option<Item<'_>>, status: u8, stamp: Option<Stamp>, now_ms: i64, form: Form) {
        if let (Kind::Window(window), Some(tiles)) = (kind, value) {
            let told = window.tell(ItemText::new(tiles).as_bytes(), now_ms).map(|told| told.to_string());
            let (told, status) = (told.as_ref().map(|told| Item::Str(told.as_bytes())), told.as_ref().map(|_| status));
            return self.push(Kind::F64, told, status.unwrap_or(b'-'), stamp, now_ms, form);
        }
        let packed = form.packed && kind.width().is_some();
        let value = value.filter(|_| status == b'P');
        let valid = value.is_some_and(|value| kind.pack(value, packed.then_some(&mut self.values)));
        match value {
            _ if packed && valid => {}
            _ if packed => kind.pack_nothing(&mut self.values),
            Some(value) if valid => {
                Encoder::new(&mut self.values, form.protocol).bulk(ItemText::new(value).as_bytes());
            }
            _ => Encoder::new(&mut self.values, form.protocol).null(),
        }
        self.statuses.push(if value.is_some() && !valid { b'!' } else { status });
        if form.times {
            self.times.push(stamp.map(|stamp| stamp.at_ms));
        }
    }

    fn write(&self, reply: &mut Encoder<'_>, kind: Kind, form: Form) {
        reply.array(if form.times { 3 } else { 2 });
        if form.packed && kind.width().is_some() {
            reply.bulk(&self.values);
        } else {
            reply.array(self.statuses.len());
            reply.raw(&self.values);
        }
        reply.bulk(&self.statuses);
        if form.times && form.packed {
            reply.bulk(&self.times.iter().flat_map(|at_ms| at_ms.unwrap_or(0).to_le_bytes()).collect::<Vec<u8>>());
        } else if form.times {
            reply.array(self.times.len());
            for at_ms in &self.times {
                match at_ms {
                    Some(at_ms) => reply.integer(*at_ms),
                    None => reply.null(),
                }
            }
        }
    }
}
