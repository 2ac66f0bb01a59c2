//! The words of GEOSEARCH, GEORADIUS and their like.

use quiver_resp::Argv;

use super::super::args::{integer, is};
use super::super::zset::number::parse_double;
use super::{place, unit_m};
use crate::command::CommandResult;
use crate::error::CommandError;
use crate::geo::Place;
use crate::geo::search::Shape;
use crate::types::zset::SortedSet;

const NO_SUCH_MEMBER: CommandError = CommandError::text("ERR could not decode requested zset member");

/// Which command it is, as far as the words differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
    /// GEORADIUS, which may store unless it is the _RO form.
    Radius { stores: bool },
    /// GEORADIUSBYMEMBER, likewise.
    RadiusByMember { stores: bool },
}

impl Form {
    /// Index of the key that is searched.
    pub(super) const fn source_at(self) -> usize {
        if matches!(self, Self::SearchStore) { 2 } else { 1 }
    }

    /// Whether middle and shape are among the options.
    const fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }

    const fn may_store(self) -> bool {
        matches!(self, Self::Radius { stores: true } | Self::RadiusByMember { stores: true })
    }
}

/// In which order places are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As they are found.
    Any,
    /// Nearest first.
    Ascending,
    /// Farthest first.
    Descending,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Unknown only where there is no set.
    pub(super) centre: Option<Place>,
    pub(super) shape: Option<Shape>,
    /// Metres in the unit of the shape, in which distances are answered.
    pub(super) unit_m: f64,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_coordinates: bool,
    pub(super) order: Order,
    /// How many at most; 0 for all.
    pub(super) count: usize,
    /// The first that are found do.
    pub(super) any: bool,
    /// Where the result is stored, if it is.
    pub(super) store_at: Option<&'a [u8]>,
    /// Distances are stored in the place of places.
    pub(super) store_distances: bool,
    from_member: bool,
    from_place: bool,
}

impl<'a> Request<'a> {
    /// Reads a command's words; `set` is what will be searched.
    pub(super) fn parse(argv: Argv<'a>, form: Form, set: Option<&SortedSet>) -> Result<Self, CommandError> {
        let mut request = Request {
            centre: None,
            shape: None,
            unit_m: 1.0,
            with_distance: false,
            with_hash: false,
            with_coordinates: false,
            order: Order::Any,
            count: 0,
            any: false,
            store_at: (form == Form::SearchStore).then(|| argv.at(1)),
            store_distances: false,
            from_member: false,
            from_place: false,
        };
        let first = match form {
            Form::Search => 2,
            Form::SearchStore => 3,
            Form::Radius { .. } => {
                request.centre = Some(place(argv.at(2), argv.at(3))?);
                request.take_circle(argv.at(4), argv.at(5))?;
                6
            }
            Form::RadiusByMember { .. } => {
                if set.is_some() {
                    request.take_member(set, argv.at(2))?;
                    request.take_circle(argv.at(3), argv.at(4))?;
                }
                5
            }
        };
        let mut at = first;
        while at < argv.len() {
            at += request.take(argv, at, form, set)?;
        }
        request.check(argv, form)?;
        Ok(request)
    }

    /// Takes the option at a place; the words it has.
    fn take(&mut self, argv: Argv<'a>, at: usize, form: Form, set: Option<&SortedSet>) -> Result<usize, CommandError> {
        let (word, left) = (argv.at(at), argv.len() - at - 1);
        let value = |i: usize| argv.at(at + i);
        match word {
            _ if is(word, "withdist") => self.with_distance = true,
            _ if is(word, "withhash") => self.with_hash = true,
            _ if is(word, "withcoord") => self.with_coordinates = true,
            _ if is(word, "any") => self.any = true,
            _ if is(word, "asc") => self.order = Order::Ascending,
            _ if is(word, "desc") => self.order = Order::Descending,
            _ if is(word, "count") && left >= 1 => {
                let count = usize::try_from(integer(value(1))?).ok().filter(|count| *count > 0);
                self.count = count.ok_or(CommandError::text("ERR COUNT must be > 0"))?;
                return Ok(2);
            }
            _ if form.may_store() && left >= 1 && (is(word, "store") || is(word, "storedist")) => {
                (self.store_at, self.store_distances) = (Some(value(1)), is(word, "storedist"));
                return Ok(2);
            }
            _ if form.is_search() => return self.take_of_search(argv, at, form, set),
            _ => return Err(CommandError::Syntax),
        }
        Ok(1)
    }

    /// Options that only GEOSEARCH and GEOSEARCHSTORE have.
    fn take_of_search(
        &mut self,
        argv: Argv<'a>,
        at: usize,
        form: Form,
        set: Option<&SortedSet>,
    ) -> Result<usize, CommandError> {
        let (word, left) = (argv.at(at), argv.len() - at - 1);
        let value = |i: usize| argv.at(at + i);
        match word {
            _ if is(word, "frommember") && left >= 1 && !self.from_place => {
                self.take_member(set, value(1))?;
                self.from_member = true;
                Ok(2)
            }
            _ if is(word, "fromlonlat") && left >= 2 && !self.from_member => {
                self.centre = Some(place(value(1), value(2))?);
                self.from_place = true;
                Ok(3)
            }
            _ if is(word, "byradius") && left >= 2 && !matches!(self.shape, Some(Shape::Box { .. })) => {
                self.take_circle(value(1), value(2))?;
                Ok(3)
            }
            _ if is(word, "bybox") && left >= 3 && !matches!(self.shape, Some(Shape::Circle { .. })) => {
                self.take_box(value(1), value(2), value(3))?;
                Ok(4)
            }
            _ if is(word, "storedist") && form == Form::SearchStore => {
                self.store_distances = true;
                Ok(1)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn take_member(&mut self, set: Option<&SortedSet>, member: &[u8]) -> CommandResult {
        let Some(set) = set else { return Ok(()) };
        self.centre = Some(set.score(member).map(Place::of_score).ok_or(NO_SUCH_MEMBER)?);
        Ok(())
    }

    fn take_circle(&mut self, radius: &[u8], unit: &[u8]) -> CommandResult {
        let radius = parse_double(radius).ok_or(CommandError::text("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(CommandError::text("ERR radius cannot be negative"));
        }
        self.unit_m = unit_m(unit)?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit_m });
        Ok(())
    }

    fn take_box(&mut self, width: &[u8], height: &[u8], unit: &[u8]) -> CommandResult {
        let width = parse_double(width).ok_or(CommandError::text("ERR need numeric width"))?;
        let height = parse_double(height).ok_or(CommandError::text("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::text("ERR height or width cannot be negative"));
        }
        self.unit_m = unit_m(unit)?;
        self.shape = Some(Shape::Box { width: width * self.unit_m, height: height * self.unit_m });
        Ok(())
    }

    /// What must hold of all words together.
    fn check(&mut self, argv: Argv<'_>, form: Form) -> CommandResult {
        let refuse = |text: String| Err(CommandError::owned(text));
        if self.store_at.is_some() && (self.with_distance || self.with_hash || self.with_coordinates) {
            let what = if form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return refuse(format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"));
        }
        let name = || String::from_utf8_lossy(argv.at(0)).into_owned();
        if form.is_search() && !self.from_member && !self.from_place {
            let name = name();
            return refuse(format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"));
        }
        if form.is_search() && self.shape.is_none() {
            let name = name();
            return refuse(format!("ERR exactly one of BYRADIUS and BYBOX can be specified for {name}"));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        // The first so many are the nearest, unless any will do.
        if self.count > 0 && self.order == Order::Any && !self.any {
            self.order = Order::Ascending;
        }
        Ok(())
    }
}
