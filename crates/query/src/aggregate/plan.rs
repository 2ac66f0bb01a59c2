//! From the words of a command to the steps of a pipeline, with every property at its place.

use super::{
    Arguments, MATCHED_TERMS,
    expression::{self, Expression},
    reduce::Reducer,
    sort::Sort,
};
use crate::{QueryError, limits};

/// A pipeline that can run.
#[derive(Debug)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    inputs: Vec<(Vec<u8>, usize)>,
    width: usize,
    columns: Vec<Column>,
}

/// A place in the rows that come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The property's name.
    pub name: Vec<u8>,
    /// Whether clients see it.
    pub shown: bool,
}

#[derive(Debug)]
pub(super) enum Step {
    Apply { expression: Expression, place: usize, width: usize },
    Filter(Expression),
    Arrange(Arrange),
    Group(Group),
}

/// SORTBY and LIMIT, which are one step where they stand beside each other.
#[derive(Debug, Default)]
pub(super) struct Arrange {
    pub(super) sort: Option<Sort>,
    pub(super) max: Option<usize>,
    /// How many rows are left out, and how many follow.
    pub(super) page: Option<(usize, usize)>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) keys: Vec<usize>,
    pub(super) reducers: Vec<Reducer>,
    /// The columns of the rows that are grouped.
    pub(super) columns: Vec<Column>,
}

/// Rows that a sort shows where neither MAX nor LIMIT says how many.
const SORTED_ROWS: usize = 10;

impl Arrange {
    /// Rows before the first that is shown, and behind the last.
    pub(super) fn range(&self) -> (usize, usize) {
        match (self.page, &self.sort) {
            (Some((offset, count)), _) => (offset, offset.saturating_add(count)),
            (None, Some(_)) => (0, self.max.filter(|max| *max > 0).unwrap_or(SORTED_ROWS)),
            (None, None) => (0, usize::MAX),
        }
    }
}

impl Plan {
    /// Properties that rows are given with, and their places.
    pub fn inputs(&self) -> &[(Vec<u8>, usize)] {
        &self.inputs
    }

    /// Places of a row that is given.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The columns of rows that come out.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether the rows that come out are documents still, not groups of them.
    pub fn keeps_documents(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step, Step::Group(_)))
    }

    /// Whether no row comes out before the last is in.
    pub fn holds_back(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Group(_) => true,
            Step::Arrange(arrange) => arrange.sort.is_some(),
            _ => false,
        })
    }
}

/// Reads steps.
pub struct Planner<'a> {
    /// Whether documents have a property of this name.
    known: &'a dyn Fn(&[u8]) -> bool,
    columns: Vec<Column>,
    inputs: Vec<(Vec<u8>, usize)>,
    /// Width of the rows before the first grouping, once there is one.
    width: Option<usize>,
    steps: Vec<Step>,
    bare_names: bool,
}

impl<'a> Planner<'a> {
    /// For rows of documents, of which `known` says which properties they have.
    pub fn new(known: &'a dyn Fn(&[u8]) -> bool) -> Self {
        Self { known, columns: Vec::new(), inputs: Vec::new(), width: None, steps: Vec::new(), bare_names: false }
    }

    /// Names of properties need no `@`, as FT.HYBRID has it.
    pub fn with_bare_names(mut self) -> Self {
        self.bare_names = true;
        self
    }

    /// Gives a property of documents a place (LOAD) and says which; known or not.
    ///
    /// # Errors
    /// Behind a grouping, where documents are gone.
    pub fn load(&mut self, name: &[u8]) -> Result<usize, QueryError> {
        if self.width.is_some() {
            return Err(QueryError::new("LOAD cannot be applied after projectors or reducers"));
        }
        Ok(self.place(name).unwrap_or_else(|| self.input(name)))
    }

    /// Reads a step if the next word begins one.
    ///
    /// # Errors
    /// Where the step is not as it should be.
    pub fn step(&mut self, arguments: &mut Arguments<'_>) -> Result<bool, QueryError> {
        if self.steps.len() >= limits::STEPS {
            return Err(QueryError::new(format!("Pipeline has more than {} steps", limits::STEPS)));
        }
        if arguments.take("APPLY") {
            self.apply(arguments)?;
        } else if arguments.take("FILTER") {
            let text = arguments.word("FILTER")?;
            let condition = self.expression(text)?;
            self.steps.push(Step::Filter(condition));
        } else if arguments.take("GROUPBY") {
            self.group(arguments)?;
        } else if arguments.take("SORTBY") {
            self.sort(arguments)?;
        } else if arguments.take("LIMIT") {
            self.limit(arguments)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Sorts by a property without a word of a command: what FT.HYBRID does by itself.
    ///
    /// # Errors
    /// Where there is no such property.
    pub fn sort_by(&mut self, name: &[u8], descending: bool, max: usize) -> Result<(), QueryError> {
        let place = self.resolve(name).ok_or_else(|| not_loaded(name, "schema"))?;
        let sort = Some(Sort::new(vec![(place, descending)]));
        self.steps.push(Step::Arrange(Arrange { sort, max: Some(max), page: None }));
        Ok(())
    }

    /// Whether some step sorts.
    pub fn sorts(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Arrange(arrange) if arrange.sort.is_some()))
    }

    /// The plan of all steps.
    pub fn finish(self) -> Plan {
        let width = self.width.unwrap_or(self.columns.len());
        Plan { steps: self.steps, inputs: self.inputs, width, columns: self.columns }
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    fn add(&mut self, name: &[u8]) -> usize {
        self.columns.push(Column { name: name.to_vec(), shown: name != MATCHED_TERMS });
        self.columns.len() - 1
    }

    fn input(&mut self, name: &[u8]) -> usize {
        let place = self.add(name);
        self.inputs.push((name.to_vec(), place));
        place
    }

    /// The place of a property that some step made or documents have.
    fn resolve(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.place(name);
        let documents = self.width.is_none() && (name == MATCHED_TERMS || (self.known)(name));
        if place.is_none() && documents { Some(self.input(name)) } else { place }
    }

    /// The name behind `@`.
    fn name<'w>(&self, word: &'w [u8], clause: &str) -> Result<&'w [u8], QueryError> {
        match word.strip_prefix(b"@") {
            Some(name) => Ok(name),
            None if self.bare_names => Ok(word),
            None => {
                let word = String::from_utf8_lossy(word);
                Err(QueryError::new(format!(
                    "Bad arguments for {clause}: Unknown property `{word}`. Did you mean `@{word}`?"
                )))
            }
        }
    }

    fn expression(&mut self, text: &[u8]) -> Result<Expression, QueryError> {
        expression::parse(text, &mut |name| self.resolve(name).ok_or_else(|| not_loaded(name, "pipeline")))
    }

    fn apply(&mut self, arguments: &mut Arguments<'_>) -> Result<(), QueryError> {
        let text = arguments.word("APPLY")?;
        let expression = self.expression(text)?;
        let name = if arguments.take("AS") {
            arguments.next_word().ok_or_else(|| QueryError::new("AS needs argument"))?
        } else {
            text
        };
        let place = self.place(name).unwrap_or_else(|| self.add(name));
        self.steps.push(Step::Apply { expression, place, width: self.columns.len() });
        Ok(())
    }

    fn group(&mut self, arguments: &mut Arguments<'_>) -> Result<(), QueryError> {
        let mut names = Vec::new();
        let mut keys = Vec::new();
        for word in arguments.counted("GROUPBY")?.rest() {
            let name = self.name(word, "GROUPBY")?;
            let no_such = || QueryError::new(format!("No such property `{}`", String::from_utf8_lossy(name)));
            keys.push(self.resolve(name).ok_or_else(no_such)?);
            names.push(name.to_vec());
        }
        let mut reducers = Vec::new();
        while arguments.take("REDUCE") {
            let function = arguments.word("REDUCE")?;
            let given = arguments.counted("REDUCE")?;
            let reducer = Reducer::parse(function, given, &mut |name| {
                let name = name.strip_prefix(b"@").unwrap_or(name);
                self.resolve(name).ok_or_else(|| not_loaded(name, "pipeline"))
            })?;
            reducers.push(reducer);
            names.push(match arguments.take("AS") {
                true => arguments.word("REDUCE")?.to_vec(),
                false => generated_alias(function, given.rest()),
            });
            if reducers.len() > limits::FIELDS {
                return Err(QueryError::new(format!("Group has more than {} reducers", limits::FIELDS)));
            }
        }
        self.width.get_or_insert(self.columns.len());
        let columns = names.into_iter().map(|name| Column { name, shown: true }).collect();
        let columns = std::mem::replace(&mut self.columns, columns);
        self.steps.push(Step::Group(Group { keys, reducers, columns }));
        Ok(())
    }

    fn sort(&mut self, arguments: &mut Arguments<'_>) -> Result<(), QueryError> {
        let mut words = arguments.counted("SORTBY")?;
        let mut keys = Vec::new();
        while let Some(word) = words.next_word() {
            let name = self.name(word, "SORTBY").map_err(|error| match keys.is_empty() {
                true => error,
                false => {
                    let word = String::from_utf8_lossy(word);
                    QueryError::new(format!("Bad arguments for SORTBY: MISSING ASC or DESC after sort field ({word})"))
                }
            })?;
            let place = self.resolve(name).ok_or_else(|| not_loaded(name, "schema"))?;
            let descending = words.take("DESC");
            if !descending {
                words.take("ASC");
            }
            keys.push((place, descending));
            if keys.len() > limits::SORT_KEYS {
                return Err(QueryError::new(format!("Cannot sort by more than {} fields", limits::SORT_KEYS)));
            }
        }
        let max = if arguments.take("MAX") { Some(arguments.count("SORTBY")?) } else { None };
        let arrange = self.arrange();
        if arrange.sort.is_some() {
            return Err(QueryError::new(
                "Multiple SORTBY steps are not allowed. Sort multiple fields in a single step",
            ));
        }
        arrange.sort = (!keys.is_empty()).then(|| Sort::new(keys));
        arrange.max = max.map(|max| max.min(limits::RESULTS));
        Ok(())
    }

    fn limit(&mut self, arguments: &mut Arguments<'_>) -> Result<(), QueryError> {
        let two_numbers = |_| QueryError::new("LIMIT needs two numeric arguments");
        let offset = arguments.count("LIMIT").map_err(two_numbers)?;
        let count = arguments.count("LIMIT").map_err(two_numbers)?;
        if offset > limits::RESULTS {
            return Err(QueryError::new(format!("OFFSET exceeds maximum of {}", limits::RESULTS)));
        }
        if count > limits::RESULTS {
            return Err(QueryError::new(format!("LIMIT exceeds maximum of {}", limits::RESULTS)));
        }
        self.arrange().page = Some((offset, count));
        Ok(())
    }

    /// The step that arranges rows, if that is the last one; else a new one.
    fn arrange(&mut self) -> &mut Arrange {
        if !matches!(self.steps.last(), Some(Step::Arrange(_))) {
            self.steps.push(Step::Arrange(Arrange::default()));
        }
        match self.steps.last_mut() {
            Some(Step::Arrange(arrange)) => arrange,
            _ => unreachable!("one was just pushed"),
        }
    }
}

fn not_loaded(name: &[u8], place: &str) -> QueryError {
    let name = String::from_utf8_lossy(name);
    QueryError::new(format!("Property `{name}` not loaded nor in {place}"))
}

/// Name of a reducer's outcome where none is given.
fn generated_alias(function: &[u8], arguments: &[&[u8]]) -> Vec<u8> {
    let arguments: Vec<_> = arguments.iter().map(|word| word.strip_prefix(b"@").unwrap_or(word)).collect();
    [b"__generated_alias", &function.to_ascii_lowercase()[..], &arguments.join(&b","[..])].concat().to_ascii_lowercase()
}
