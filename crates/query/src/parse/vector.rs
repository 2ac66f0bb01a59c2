//! What asks for neighbours: `[KNN 10 @field $vector ...]` and `[VECTOR_RANGE 0.5 $vector]`.

use super::{
    grammar::{Parser, node},
    lexer::Token,
};
use crate::{
    FieldKind, QueryError, VectorAlgorithm, VectorField, VectorType,
    ast::{Kind, Knn, Node, Policy},
};

/// Most neighbours one may ask for; what is there bounds the answer.
const K_MAX: u64 = 1 << 58;

impl Parser<'_> {
    /// `[KNN ...]`, behind the arrow, and the attributes behind it.
    pub(super) fn knn(&mut self, root: &Node) -> Result<Knn, QueryError> {
        if !self.lexer.take(b'[') {
            return Err(self.lexer.error());
        }
        match self.lexer.next() {
            Token::Term(word) if word.eq_ignore_ascii_case(b"knn") => {}
            _ => return Err(self.lexer.error()),
        }
        let k = self.neighbours()?;
        let Token::Field(name) = self.lexer.next() else { return Err(self.lexer.error()) };
        let field = self.vector_field(&name)?;
        let vector = self.vector(field)?;
        let mut knn =
            Knn { k, field, vector, ef_runtime: None, policy: None, batch_size: None, distance_as: Vec::new() };
        let mut named = Vec::new();
        while !self.lexer.take(b']') {
            let Token::Term(option) = self.lexer.next() else { return Err(self.lexer.error()) };
            let value = self.value()?;
            self.knn_option(&mut knn, &option, value, &mut named)?;
        }
        if self.attributes_follow() {
            let mut given = Vec::new();
            self.each_attribute(|name, value| {
                given.push((name.to_vec(), value.to_vec()));
                Ok(())
            })?;
            for (option, value) in given {
                self.knn_option(&mut knn, &option, value, &mut named)?;
            }
        }
        check_policy(&knn, root)?;
        if knn.distance_as.is_empty() {
            knn.distance_as = [b"__", &name[..], b"_score"].concat();
        } else if self.options.schema.field(&knn.distance_as).is_some() {
            let name = String::from_utf8_lossy(&knn.distance_as);
            return Err(QueryError::new(format!("Property `{name}` already exists in schema")));
        }
        Ok(knn)
    }

    /// How many neighbours.
    fn neighbours(&mut self) -> Result<usize, QueryError> {
        let (text, parameter) = match self.lexer.next() {
            Token::Number(text) => (text, None),
            Token::Parameter(name) => (self.options.parameter(&name)?.to_vec(), Some(name)),
            _ => return Err(self.lexer.error()),
        };
        let text = String::from_utf8_lossy(&text);
        match (text.parse::<u64>(), parameter) {
            (Ok(k), _) if k <= K_MAX => Ok(usize::try_from(k).unwrap_or(usize::MAX)),
            (Ok(_), _) => Err(QueryError::new("Error parsing vector similarity query: query K is too large")),
            (Err(_), None) => Err(self.lexer.error()),
            (Err(_), Some(name)) => {
                let name = String::from_utf8_lossy(&name);
                Err(QueryError::new(format!("Invalid numeric value ({text}) for parameter `{name}`")))
            }
        }
    }

    /// `$vector`, of the size that the field asks for.
    fn vector(&mut self, field: u16) -> Result<Vec<u8>, QueryError> {
        let Token::Parameter(name) = self.lexer.next() else { return Err(self.lexer.error()) };
        let vector = self.options.parameter(&name)?.to_vec();
        let expected = self.declared(field).map_or(0, |field| field.dim.saturating_mul(bytes(field.component)));
        if vector.len() != expected {
            return Err(QueryError::new(format!(
                "Error parsing vector similarity query: query vector blob size ({}) does not match index's expected size ({expected}).",
                vector.len()
            )));
        }
        Ok(vector)
    }

    fn declared(&self, field: u16) -> Option<&VectorField> {
        match &self.options.schema.fields[usize::from(field)].kind {
            FieldKind::Vector(field) => Some(field),
            _ => None,
        }
    }

    fn knn_option(
        &self,
        knn: &mut Knn,
        option: &[u8],
        value: Vec<u8>,
        named: &mut Vec<Vec<u8>>,
    ) -> Result<(), QueryError> {
        let option = option.to_ascii_uppercase();
        if named.contains(&option) {
            return Err(wrong("Parameter was specified twice"));
        }
        let graph =
            !matches!(self.declared(knn.field).map(|field| &field.algorithm), Some(VectorAlgorithm::Flat { .. }));
        match option.as_slice() {
            b"AS" | b"YIELD_DISTANCE_AS" => knn.distance_as = value,
            b"EF_RUNTIME" | b"SEARCH_WINDOW_SIZE" if graph => knn.ef_runtime = Some(positive(&value)?),
            b"SEARCH_BUFFER_CAPACITY" if graph => drop(positive(&value)?),
            b"USE_SEARCH_HISTORY" if graph => {}
            b"BATCH_SIZE" => knn.batch_size = Some(positive(&value)?),
            b"HYBRID_POLICY" => {
                knn.policy = Some(match value.to_ascii_uppercase().as_slice() {
                    b"ADHOC_BF" => Policy::AdHoc,
                    b"BATCHES" => Policy::Batches,
                    _ => return Err(wrong("invalid hybrid policy was given")),
                });
            }
            b"SHARD_K_RATIO" => match std::str::from_utf8(&value).ok().and_then(|text| text.parse::<f64>().ok()) {
                Some(ratio) if ratio > 0.0 && ratio <= 1.0 => {}
                _ => return Err(QueryError::new("Invalid shard k ratio value: Value must be between 0 and 1")),
            },
            b"EPSILON" => return Err(wrong("range query attributes were sent for a non-range query")),
            b"WEIGHT" => {}
            _ => return Err(wrong("Invalid option")),
        }
        named.push(option);
        Ok(())
    }

    /// `[VECTOR_RANGE radius $vector ...]`, behind the word.
    pub(super) fn vector_range(&mut self, field: u16) -> Result<Node, QueryError> {
        let (text, parameter) = match self.lexer.next() {
            Token::Number(text) => (text, None),
            Token::Term(text) if text.eq_ignore_ascii_case(b"inf") => (text, None),
            Token::Parameter(name) => (self.options.parameter(&name)?.to_vec(), Some(name)),
            _ => return Err(self.lexer.error()),
        };
        let text = String::from_utf8_lossy(&text);
        let radius: f64 = text.parse().map_err(|_| {
            let name = parameter.as_deref().unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            QueryError::new(format!("Invalid numeric value ({text}) for parameter `{name}`"))
        })?;
        if radius.is_nan() || radius < 0.0 {
            return Err(QueryError::new(format!(
                "Error parsing vector similarity query: negative radius ({radius}) given in a range query"
            )));
        }
        let vector = self.vector(field)?;
        let (mut epsilon, mut distance_as) = (None, None);
        while !self.lexer.take(b']') {
            let Token::Term(option) = self.lexer.next() else { return Err(self.lexer.error()) };
            let value = self.value()?;
            match option.to_ascii_uppercase().as_slice() {
                b"EPSILON" if epsilon.is_none() => {
                    let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<f64>().ok());
                    epsilon =
                        Some(number.filter(|number| *number > 0.0).ok_or_else(|| wrong("Invalid value was given"))?);
                }
                b"AS" if distance_as.is_none() => distance_as = Some(value),
                b"EPSILON" | b"AS" => return Err(wrong("Parameter was specified twice")),
                b"HYBRID_POLICY" | b"BATCH_SIZE" => {
                    return Err(wrong("hybrid query attributes were sent for a non-hybrid query"));
                }
                _ => return Err(wrong("Invalid option")),
            }
        }
        Ok(node(Kind::VectorRange { field, radius, vector, epsilon, distance_as }))
    }
}

/// Whether what is said of finding neighbours among a condition's documents fits together.
fn check_policy(knn: &Knn, root: &Node) -> Result<(), QueryError> {
    let hybrid = root.kind != Kind::All;
    match knn.policy {
        Some(_) if !hybrid => Err(wrong("hybrid query attributes were sent for a non-hybrid query")),
        None if !hybrid && knn.batch_size.is_some() => {
            Err(wrong("hybrid query attributes were sent for a non-hybrid query"))
        }
        Some(Policy::AdHoc) if knn.batch_size.is_some() => {
            Err(wrong("'batch size' is irrelevant for the selected policy"))
        }
        Some(Policy::AdHoc) if knn.ef_runtime.is_some() => {
            Err(wrong("'EF_RUNTIME' is irrelevant for the selected policy"))
        }
        _ => Ok(()),
    }
}

/// Bytes of a component.
fn bytes(component: VectorType) -> usize {
    match component {
        VectorType::Float64 => 8,
        VectorType::Float32 => 4,
        VectorType::Float16 | VectorType::BFloat16 => 2,
        VectorType::Int8 | VectorType::Uint8 => 1,
    }
}

fn positive(text: &[u8]) -> Result<usize, QueryError> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
    number
        .filter(|number| *number > 0)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| wrong("Invalid value was given"))
}

fn wrong(what: &str) -> QueryError {
    QueryError::new(format!("Error parsing vector similarity parameters: {what}"))
}
